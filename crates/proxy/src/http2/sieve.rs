//! Finds the header blocks among the bytes that a peer of HTTP/2 sends, and puts what `h2` is to read in the place of malformed ones.
//!
//! Between a socket and `h2`, in both directions of the proxy. Bytes pass as they are and where they are, but for a header block that has not come
//! to its end: that waits here. What it does not understand, because `h2` will end the connection for it, or because a head is far larger
//! than allowed, it lets pass, and looks at nothing any more.

use super::fields::{Fields, Side};
use std::{
    io,
    task::{Context, Poll, ready},
};
use tokio::io::ReadBuf;

/// RFC 9113, section 3.4.
const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;
/// What each of us allows a peer: the default (section 6.5.2).
const FRAME_MAX: usize = 16 * 1024;
/// Kinds of frames (section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const INITIAL_WINDOW_SIZE: u8 = 4;
/// Bytes of a setting.
const SETTING: usize = 6;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Flags of HEADERS; the first is also that of an acknowledgement.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const HAS_PRIORITY: u8 = 0x20;
/// Frames of one head, beyond those that it needs. `h2` takes fewer.
const FRAMES_MAX: usize = 32;
/// What a head may take in bytes beyond its text: encodings that are no shorter.
const SLACK: usize = 32 * 1024;

/// What ends a connection, and is told by a code that `h2` has not for it (RFC 9113, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// A window that cannot be (section 6.5.2): `FLOW_CONTROL_ERROR`.
    FlowControl,
    /// A frame of a length that its kind cannot have (section 4.2): `FRAME_SIZE_ERROR`.
    FrameSize,
    /// A header block that cannot be decoded (section 4.3): `COMPRESSION_ERROR`.
    Compression,
}

impl Breach {
    /// The code of GOAWAY.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::FlowControl => 3,
            Self::FrameSize => 6,
            Self::Compression => 9,
        }
    }
}

/// The head of a frame (section 4.1).
#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    fn of(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<FRAME_HEAD>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Self { length, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff })
    }

    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether its kind cannot have this length. What is too long for all is left to `h2`, and so is PRIORITY, which ends only its stream.
    fn is_misfit(self) -> bool {
        match self.kind {
            RST_STREAM | WINDOW_UPDATE => self.length != 4,
            PING => self.length != 8,
            SETTINGS if self.has(END_STREAM) => self.length != 0,
            SETTINGS => !self.length.is_multiple_of(6),
            GOAWAY => self.length < 8,
            _ => false,
        }
    }
}

/// What is to be done with the first bytes.
enum Step {
    /// So many pass as they are.
    Pass(usize),
    /// These stand for so many.
    Replace(usize, Vec<u8>),
    /// They are not all here.
    More,
    /// All pass from now on.
    Leave,
}

/// A header block that is here to its end.
struct Block {
    /// With all frames.
    length: usize,
    stream: u32,
    ends_stream: bool,
    fragments: Vec<u8>,
}

/// The bytes of one peer.
#[derive(Debug)]
pub(crate) struct Sieve {
    side: Side,
    fields: Fields,
    /// Bytes of a payload that are still to come.
    skip: usize,
    /// What waits for the rest of it.
    held: Vec<u8>,
    /// What goes on instead, before what is read next; and how much of it has gone.
    instead: Vec<u8>,
    gone: usize,
    held_max: usize,
    last_stream: u32,
    leaves: bool,
    breach: Option<Breach>,
    malformed: u32,
}

impl Sieve {
    /// Of a connection that begins. `head_max`: bytes of a head that `h2` takes.
    pub(crate) fn new(side: Side, head_max: usize) -> Self {
        Self {
            side,
            fields: Fields::of(side),
            skip: if side == Side::Requests { PREFACE } else { 0 },
            held: Vec::new(),
            instead: Vec::new(),
            gone: 0,
            held_max: head_max + SLACK,
            last_stream: 0,
            leaves: false,
            breach: None,
            malformed: 0,
        }
    }

    /// For what the connection must end. Nothing of it or behind it is handed on.
    pub(crate) fn breach(&self) -> Option<Breach> {
        self.breach
    }

    /// How many malformed messages have come since this was last asked.
    pub(crate) fn take_malformed(&mut self) -> u32 {
        std::mem::take(&mut self.malformed)
    }

    /// Reads from a socket by `read` what `h2` is to see.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        mut read: impl FnMut(&mut Context<'_>, &mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.gone < self.instead.len() {
                let part = (self.instead.len() - self.gone).min(buf.remaining());
                buf.put_slice(&self.instead[self.gone..self.gone + part]);
                self.gone += part;
                return Poll::Ready(Ok(()));
            }
            (self.instead, self.gone) = (Vec::new(), 0);
            if self.breach.is_some() {
                // Whoever drives the connection looks for it when `h2` waits, and ends it.
                return Poll::Pending;
            }
            let before = buf.filled().len();
            ready!(read(cx, buf))?;
            let fresh = &buf.filled()[before..];
            if fresh.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let passed = self.take(fresh);
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Takes what was read; so many bytes of it may stay where they are, and `instead` comes behind them.
    fn take(&mut self, fresh: &[u8]) -> usize {
        if self.leaves {
            return fresh.len();
        }
        let mut passed = 0;
        if self.held.is_empty() {
            while passed < fresh.len() {
                match self.next(&fresh[passed..]) {
                    Some(Step::Pass(bytes)) => passed += bytes,
                    Some(Step::Leave) => return fresh.len(),
                    Some(Step::Replace(bytes, instead)) => {
                        self.instead = instead;
                        self.held.extend_from_slice(&fresh[passed + bytes..]);
                        break;
                    }
                    Some(Step::More) => {
                        self.held.extend_from_slice(&fresh[passed..]);
                        return passed;
                    }
                    None => return passed,
                }
            }
        } else {
            self.held.extend_from_slice(fresh);
        }
        self.sift();
        passed
    }

    /// Moves what is held and complete to what goes on.
    fn sift(&mut self) {
        let held = std::mem::take(&mut self.held);
        let mut done = 0;
        while done < held.len() {
            match self.next(&held[done..]) {
                Some(Step::Pass(bytes)) => {
                    self.instead.extend_from_slice(&held[done..done + bytes]);
                    done += bytes;
                }
                Some(Step::Replace(bytes, instead)) => {
                    self.instead.extend_from_slice(&instead);
                    done += bytes;
                }
                Some(Step::Leave) => {
                    self.instead.extend_from_slice(&held[done..]);
                    return;
                }
                Some(Step::More) if done == 0 => {
                    self.held = held;
                    return;
                }
                Some(Step::More) => break,
                None => return,
            }
        }
        self.held = held[done..].to_vec();
    }

    /// What is to be done with the first of these bytes. `None`: the connection must end.
    fn next(&mut self, bytes: &[u8]) -> Option<Step> {
        if self.skip > 0 {
            let part = self.skip.min(bytes.len());
            self.skip -= part;
            return Some(Step::Pass(part));
        }
        let Some(head) = Head::of(bytes) else { return Some(Step::More) };
        if self.side == Side::Requests {
            if head.is_misfit() {
                return self.breaks(Breach::FrameSize);
            }
            if head.kind == SETTINGS && head.length <= FRAME_MAX {
                let Some(settings) = bytes[FRAME_HEAD..].get(..head.length) else { return Some(Step::More) };
                if settings.chunks_exact(SETTING).any(grows_too_large) {
                    return self.breaks(Breach::FlowControl);
                }
            }
        }
        match head.kind {
            HEADERS => self.headers(bytes),
            // A block that we have not seen the begin of, or that nobody may send us.
            CONTINUATION | PUSH_PROMISE => Some(self.leave()),
            _ => {
                self.skip = head.length;
                Some(Step::Pass(FRAME_HEAD))
            }
        }
    }

    fn headers(&mut self, bytes: &[u8]) -> Option<Step> {
        let block = match gather(bytes, self.held_max) {
            Ok(Some(block)) => block,
            Ok(None) => return Some(Step::More),
            Err(Foreign) => return Some(self.leave()),
        };
        let trailers = self.side == Side::Requests && block.stream <= self.last_stream;
        self.last_stream = self.last_stream.max(block.stream);
        match self.fields.read(&block.fragments, trailers) {
            Ok(None) => Some(Step::Pass(block.length)),
            Ok(Some(instead)) => {
                self.malformed += 1;
                Some(Step::Replace(block.length, frames(&block, &instead)))
            }
            Err(_) if self.side == Side::Requests => self.breaks(Breach::Compression),
            Err(_) => Some(self.leave()),
        }
    }

    fn breaks(&mut self, breach: Breach) -> Option<Step> {
        self.breach = Some(breach);
        None
    }

    fn leave(&mut self) -> Step {
        self.leaves = true;
        Step::Leave
    }
}

/// Whether a setting is a window above 2^31 - 1 (section 6.5.2).
fn grows_too_large(setting: &[u8]) -> bool {
    matches!(setting, [0, INITIAL_WINDOW_SIZE, first, ..] if *first & 0x80 != 0)
}

/// No block that we know how to read.
struct Foreign;

/// The header block that begins with these bytes. `None`: it is not here to its end.
fn gather(bytes: &[u8], held_max: usize) -> Result<Option<Block>, Foreign> {
    let Some(first) = Head::of(bytes) else { return Ok(None) };
    let frames_max = FRAMES_MAX + held_max / FRAME_MAX;
    let (mut head, mut at, mut fragments) = (first, 0, Vec::new());
    for _ in 0..frames_max {
        let begins = at + FRAME_HEAD;
        if head.length > FRAME_MAX || begins > held_max {
            return Err(Foreign);
        }
        let Some(payload) = bytes.get(begins..begins + head.length) else { return Ok(None) };
        let fragment = if head.kind == HEADERS { fragment(head, payload).ok_or(Foreign)? } else { payload };
        fragments.extend_from_slice(fragment);
        at = begins + head.length;
        if head.has(END_HEADERS) {
            let (stream, ends_stream) = (first.stream, first.has(END_STREAM));
            return Ok(Some(Block { length: at, stream, ends_stream, fragments }));
        }
        let Some(next) = Head::of(&bytes[at..]) else { return Ok(None) };
        if next.kind != CONTINUATION || next.stream != first.stream || first.stream == 0 {
            return Err(Foreign);
        }
        head = next;
    }
    Err(Foreign)
}

/// What HEADERS has without padding and priority (section 6.2).
fn fragment(head: Head, payload: &[u8]) -> Option<&[u8]> {
    let (padding, rest) = match head.has(PADDED) {
        true => payload.split_first().map(|(padding, rest)| (usize::from(*padding), rest))?,
        false => (0, payload),
    };
    let rest = if head.has(HAS_PRIORITY) { rest.get(5..)? } else { rest };
    rest.get(..rest.len().checked_sub(padding)?)
}

/// A block in as few frames as it takes.
fn frames(block: &Block, fragments: &[u8]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(fragments.len() + FRAME_HEAD);
    let mut parts = fragments.chunks(FRAME_MAX).peekable();
    let (mut kind, mut flags) = (HEADERS, if block.ends_stream { END_STREAM } else { 0 });
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            flags |= END_HEADERS;
        }
        let length = u32::try_from(part.len()).unwrap_or(0).to_be_bytes();
        frames.extend_from_slice(&length[1..]);
        frames.extend_from_slice(&[kind, flags]);
        frames.extend_from_slice(&block.stream.to_be_bytes());
        frames.extend_from_slice(part);
        (kind, flags) = (CONTINUATION, 0);
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    const GOOD: &[u8] = &[0x88, 0x40, 1, b'a', 1, b'b'];

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// What `h2` gets of these bytes when they come in parts of these lengths.
    fn sifted(sieve: &mut Sieve, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
        let (mut rest, mut out) = (bytes, Vec::new());
        let mut cuts = cuts.iter().copied().cycle();
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            rest = behind;
            let passed = sieve.take(part);
            out.extend_from_slice(&part[..passed]);
            out.append(&mut sieve.instead);
            let bound = sieve.held_max + FRAME_MAX + part.len() + FRAME_HEAD;
            assert!(sieve.held.len() <= bound, "{} bytes are held", sieve.held.len());
        }
        out
    }

    #[test]
    fn a_malformed_block_is_replaced_where_it_was() {
        let [before, behind] = [frame(0, 0, 1, b"body"), frame(6, 0, 0, &[0; 8])];
        let block = [GOOD, &[0, 1, b'A', 0]].concat();
        let bytes = [before.clone(), frame(1, 1, 3, &block[..5]), frame(9, 4, 3, &block[5..]), behind.clone()].concat();
        for cut in [1, 10, 1000] {
            let mut sieve = Sieve::new(Side::Answers, 1000);
            let instead = [GOOD, &[0, 1, b'x', 0], b"\x00\x0aconnection\x00"].concat();
            let wanted = [before.clone(), frame(1, 5, 3, &instead), behind.clone()].concat();
            assert_eq!(sifted(&mut sieve, &bytes, &[cut]), wanted, "{cut}");
            assert_eq!(sieve.take_malformed(), 1);
        }
    }

    #[test]
    fn a_breach_is_told_and_nothing_behind_it_is_handed_on() {
        for (breaks, breach) in [
            (frame(6, 0, 0, b"short"), Breach::FrameSize),
            (frame(1, 4, 3, &[0x80]), Breach::Compression),
            (frame(4, 0, 0, &[0, 3, 0, 0, 0, 1, 0, 4, 0x80, 0, 0, 0]), Breach::FlowControl),
        ] {
            for cut in [1, 1000] {
                let before = [&[b'P'; PREFACE][..], &frame(0, 0, 1, b"body")].concat();
                let bytes = [&before[..], &breaks, &frame(0, 0, 1, b"more")].concat();
                let mut sieve = Sieve::new(Side::Requests, 1000);
                let passed = sifted(&mut sieve, &bytes[..before.len() + breaks.len()], &[cut]);
                assert_eq!((passed, sieve.breach()), (before, Some(breach)));
            }
        }
    }

    #[test]
    fn a_head_that_never_ends_is_left_to_h2() {
        for part in [&b""[..], &[0; 100]] {
            let mut sieve = Sieve::new(Side::Answers, 1000);
            let bytes = [frame(1, 0, 1, &[0x88]), frame(9, 0, 1, part).repeat(10_000)].concat();
            assert_eq!(sifted(&mut sieve, &bytes, &[9, 500]), bytes);
            assert!(sieve.leaves);
        }
    }

    proptest! {
        #[test]
        fn good_frames_pass_as_they_are_however_they_are_cut(
            kinds in vec(0_usize..4, 1..20),
            cuts in vec(1_usize..60, 1..10),
        ) {
            let frames = [
                frame(0, 0, 1, &[7; 300]),
                frame(1, 4, 1, GOOD),
                [frame(1, 0, 1, &GOOD[..4]), frame(9, 0, 1, &[]), frame(9, 4, 1, &GOOD[4..])].concat(),
                frame(4, 0, 0, &[]),
            ];
            let bytes = kinds.iter().flat_map(|kind| frames[*kind].clone()).collect::<Vec<_>>();
            prop_assert_eq!(sifted(&mut Sieve::new(Side::Answers, 1000), &bytes, &cuts), bytes);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, cuts in vec(1_usize..60, 1..10)) {
            sifted(&mut Sieve::new(Side::Answers, 100), &bytes, &cuts);
            sifted(&mut Sieve::new(Side::Requests, 100), &[&[0; PREFACE][..], &bytes].concat(), &cuts);
        }
    }
}

//! Watches the frames that a client of HTTP/2 sends: when they begin to be requests, when a head has begun and not ended, and when they are a
//! flood.
//!
//! Fed by `io` with every byte before `h2` sees it, because `h2` answers what costs us work and the client nothing (PING, SETTINGS,
//! streams that are reset at once) for as long as it comes. Reads no payload and judges no grammar: that is `h2`'s business, and so
//! are floods that it ends itself (CONTINUATION, empty DATA). Pure: time is passed in.

use evenkeel_telemetry::Http2Fault;

/// RFC 9113, section 3.4.
const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;
/// Kinds of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Flag of SETTINGS and PING: an answer to ours.
const ACK: u8 = 1;
/// Flag of HEADERS and CONTINUATION: the head is complete.
const END_HEADERS: u8 = 4;
/// RFC 9113, section 4.1: the highest bit is reserved.
const STREAM: u32 = 0x7fff_ffff;

/// Frames that ask us to do something and carry no request: at once, and for each second. gRPC clients measure the line with a PING for
/// each round trip in which data moved, and some libraries give back the window twice for each DATA frame; both follow what
/// has moved, which is credited.
const CONTROL: Budget = Budget { most: 1000, each_second: 100 };
/// In halves of a reset. A request is credited with one half, so a client may for ever give up every second one of its requests
/// (Envoy draws its line at the same share: `overload.premature_reset_total_stream_count`).
const RESETS: Budget = Budget { most: 512, each_second: 100 };
/// So much used up is more than an ordinary client does.
const RESETS_SUSPECT: u64 = 20;
/// What one reset costs.
const RESET: u64 = 2;
/// Frames that a client may send for a request or a part of a body beyond its share of bytes.
const CREDIT: u64 = 2;
/// Bytes that are worth a frame.
const BYTES: u64 = 1024;

/// What may be used up.
#[derive(Clone, Copy, Debug)]
struct Budget {
    most: u64,
    each_second: u64,
}

/// What is left of a budget.
#[derive(Debug)]
struct Left {
    budget: Budget,
    left: u64,
    /// When it was last refilled, in milliseconds.
    at: u64,
}

impl Left {
    fn new(budget: Budget, now: u64) -> Self {
        Self { budget, left: budget.most, at: now }
    }

    fn credit(&mut self, amount: u64) {
        self.left = self.left.saturating_add(amount).min(self.budget.most);
    }

    /// Whether there was enough.
    fn spend(&mut self, amount: u64, now: u64) -> bool {
        let refill = now.saturating_sub(self.at).saturating_mul(self.budget.each_second) / 1000;
        if refill > 0 {
            self.credit(refill);
            self.at = now;
        }
        let rest = self.left.checked_sub(amount);
        self.left = rest.unwrap_or(0);
        rest.is_some()
    }
}

/// The frames of one client.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the preface or of a payload that are still to come.
    skip: usize,
    head: [u8; FRAME_HEAD],
    /// Bytes of `head` that are there.
    have: usize,
    /// A frame has come: the preface is over.
    begun: bool,
    last_stream: u32,
    last_kind: u8,
    /// Heads that have begun, trailers included.
    heads: u64,
    /// The last frame of the last head has not begun.
    head_goes_on: bool,
    control: Left,
    resets: Left,
}

impl Frames {
    /// A connection that begins. `now` in milliseconds.
    pub(super) fn new(now: u64) -> Self {
        Self {
            skip: PREFACE,
            head: [0; FRAME_HEAD],
            have: 0,
            begun: false,
            last_stream: 0,
            last_kind: SETTINGS,
            heads: 0,
            head_goes_on: false,
            control: Left::new(CONTROL, now),
            resets: Left::new(RESETS, now),
        }
    }

    /// Whether the client has said that it speaks HTTP/2, and its first frame has begun.
    pub(super) fn begun(&self) -> bool {
        self.begun
    }

    /// Which head it is that has begun and is not here to its end, if there is one. Nothing else can come before that (RFC 9113, section
    /// 4.3).
    pub(super) fn open_head(&self) -> Option<u64> {
        let comes = self.skip > 0 && matches!(self.last_kind, HEADERS | CONTINUATION);
        (self.head_goes_on || comes).then_some(self.heads)
    }

    /// The last stream that the client has opened.
    pub(super) fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// What a flood that `h2` has noticed was made of: of what came last.
    pub(super) fn likely_flood(&self) -> Http2Fault {
        match self.last_kind {
            DATA => Http2Fault::Data,
            RST_STREAM => Http2Fault::RapidReset,
            // Both come with heads; many resets before them tell which it was.
            HEADERS if self.resets.left + RESETS_SUSPECT < RESETS.most => Http2Fault::RapidReset,
            HEADERS => Http2Fault::HeaderList,
            WINDOW_UPDATE => Http2Fault::WindowUpdate,
            CONTINUATION => Http2Fault::Continuation,
            _ => Http2Fault::Protocol,
        }
    }

    /// A part of a body, of so many bytes, goes to the client: it will answer with frames.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.control.credit(CREDIT + bytes as u64 / BYTES);
    }

    /// Takes what the client sends. An error: a flood of this kind.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: u64) -> Result<(), Http2Fault> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return Ok(());
            }
            let taken = (FRAME_HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == FRAME_HEAD {
                self.have = 0;
                self.begun = true;
                let [a, b, c, kind, flags, stream @ ..] = self.head;
                self.last_kind = kind;
                if matches!(kind, HEADERS | CONTINUATION) {
                    self.heads += u64::from(kind == HEADERS);
                    self.head_goes_on = flags & END_HEADERS == 0;
                }
                if kind == HEADERS {
                    self.last_stream = self.last_stream.max(u32::from_be_bytes(stream) & STREAM);
                }
                let length = u32::from_be_bytes([0, a, b, c]);
                self.skip = length as usize;
                self.count(kind, flags, u64::from(length), now)?;
            }
        }
    }

    fn count(&mut self, kind: u8, flags: u8, length: u64, now: u64) -> Result<(), Http2Fault> {
        let fault = match kind {
            // Whether it is empty is judged by h2.
            DATA => {
                self.control.credit(u64::from(length > 0) + length / BYTES);
                return Ok(());
            }
            HEADERS => {
                self.control.credit(CREDIT);
                self.resets.credit(1);
                return Ok(());
            }
            PRIORITY => Http2Fault::Priority,
            RST_STREAM => {
                let within = self.resets.spend(RESET, now);
                return if within { Ok(()) } else { Err(Http2Fault::RapidReset) };
            }
            SETTINGS if flags & ACK == 0 => Http2Fault::Settings,
            PING if flags & ACK == 0 => Http2Fault::Ping,
            WINDOW_UPDATE => Http2Fault::WindowUpdate,
            // Answers to ours, CONTINUATION (bounded by h2), GOAWAY, and PUSH_PROMISE, which h2 refuses.
            4..=CONTINUATION => return Ok(()),
            // RFC 9113, section 5.5: unknown kinds are ignored, and cost us next to nothing.
            _ => Http2Fault::Unknown,
        };
        if self.control.spend(1, now) { Ok(()) } else { Err(fault) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0; payload]].concat()
    }

    fn begun() -> Frames {
        let mut frames = Frames::new(0);
        frames.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0).unwrap();
        assert!(!frames.begun());
        frames
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let stream = [frame(4, 0, 12), frame(1, 4, 30), frame(6, 0, 8)].concat();
        for size in [1, 2, 9, 10, 1000] {
            let mut frames = begun();
            frames.control.left = 1;
            // SETTINGS uses what is left, HEADERS brings two, PING takes one.
            stream.chunks(size).for_each(|part| frames.read(part, 0).unwrap());
            assert_eq!((frames.control.left, frames.begun()), (1, true), "{size}");
        }
    }

    #[test]
    fn what_asks_for_work_without_a_request_is_bounded_and_named() {
        for (kind, fault) in [
            (2, Http2Fault::Priority),
            (4, Http2Fault::Settings),
            (6, Http2Fault::Ping),
            (8, Http2Fault::WindowUpdate),
            (99, Http2Fault::Unknown),
        ] {
            let mut frames = begun();
            let flood = frame(kind, 0, 0).repeat(1000);
            assert_eq!(frames.read(&flood, 0), Ok(()));
            assert_eq!(frames.read(&flood, 0), Err(fault));
        }
    }

    #[test]
    fn answers_to_our_own_frames_cost_nothing() {
        let mut frames = begun();
        let acks = [frame(4, 1, 0), frame(6, 1, 8)].concat().repeat(10_000);
        assert_eq!(frames.read(&acks, 0), Ok(()));
    }

    #[test]
    fn a_client_that_gives_up_half_of_its_requests_is_never_ended_and_one_that_gives_up_all_soon_is() {
        let mut frames = begun();
        let half = [frame(1, 5, 10), frame(1, 5, 10), frame(3, 0, 4)].concat().repeat(100_000);
        assert_eq!(frames.read(&half, 0), Ok(()));
        let all = [frame(1, 5, 10), frame(3, 0, 4)].concat().repeat(600);
        assert_eq!(frames.read(&all, 0), Err(Http2Fault::RapidReset));
    }

    #[test]
    fn a_client_may_answer_each_part_of_a_body_and_ask_now_and_then_for_ever() {
        let mut frames = begun();
        for _ in 0..100_000 {
            frames.moved(20);
            frames.read(&[frame(6, 0, 8), frame(8, 0, 4)].concat(), 0).unwrap();
        }
        for second in 1..10_000 {
            frames.read(&frame(6, 0, 8).repeat(90), second * 1000).unwrap();
        }
    }

    #[test]
    fn a_head_is_open_from_its_first_frame_to_the_last_byte_of_its_last() {
        let mut frames = begun();
        let [whole, half, more, rest] = [frame(1, 5, 10), frame(1, 1, 10), frame(9, 0, 5), frame(9, 4, 5)];
        for (bytes, open) in [
            (&whole[..], None),
            (&half[..12], Some(2)),
            (&half[12..], Some(2)),
            (&more[..], Some(2)),
            (&rest[..13], Some(2)),
            (&rest[13..], None),
            // What is left of one, and the begin of the next: another head.
            (&whole[..12], Some(3)),
            (&[&whole[12..], &half[..]].concat(), Some(4)),
            (&rest[..], None),
            (&frame(0, 0, 10)[..12], None),
        ] {
            frames.read(bytes, 0).unwrap();
            assert_eq!(frames.open_head(), open, "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, size in 1_usize..40) {
            let mut frames = Frames::new(0);
            for part in bytes.chunks(size) {
                let _ = frames.read(part, 7);
            }
        }
    }
}

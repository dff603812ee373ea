//! What follows a head: where its body ends (RFC 9112, sections 6 and 7).
//!
//! Pure: takes bytes out of what was read and says what they are. Chunks are read as the grammar has them, for two parsers that forgive
//! differently read two messages.

use super::{fields::has_whole_lines, input::Seen, work::parses};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Bytes of chunk extensions in one body, all together: nobody uses them, and they cost their sender nothing.
const EXTENSIONS_MAX: u32 = 16 * 1024;

/// Bytes of trailers, and their number.
const TRAILERS_MAX: usize = 16 * 1024;
const TRAILER_FIELDS_MAX: usize = 100;

/// Why bytes are no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("a chunk size that is none")]
    Size,
    #[error("a chunk extension that is none, or too many of them")]
    Extension,
    #[error("a chunk that does not end where its size says")]
    Overrun,
    #[error("trailers that are none, or too many of them")]
    Trailers,
}

/// Where in a body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decoder {
    state: State,
    blanks: Blanks,
}

/// What blanks behind a chunk's size are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blanks {
    /// An extension that follows (RFC 9112, section 7.1.1), or nothing. There are servers that fill a size up with them, and HAProxy takes
    /// them too (`h1_parse_chunk_size`); no parser finds a digit there.
    Any,
    /// An extension that follows. Nobody's client fills sizes up.
    Extensions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are to come.
    Length(u64),
    UntilClose,
    /// In a chunk's size, of which so much is read; `digits` of it.
    Size {
        size: u64,
        digits: u8,
        extensions: u32,
    },
    /// Behind the size: blanks.
    Blank {
        size: u64,
        extensions: u32,
    },
    Extension {
        size: u64,
        extensions: u32,
    },
    /// LF must follow.
    SizeEnd {
        size: u64,
        extensions: u32,
    },
    /// In a chunk.
    Data {
        left: u64,
        extensions: u32,
    },
    /// CR must follow, then LF.
    DataCr {
        extensions: u32,
    },
    DataLf {
        extensions: u32,
    },
    /// Of which so much is known to have no end.
    Trailers(Seen),
    End,
}

/// What the next bytes are.
#[derive(Debug)]
pub(crate) enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Not told by what is there.
    Unknown,
}

impl Decoder {
    /// So many bytes.
    pub(crate) fn length(length: u64) -> Self {
        Self::at(if length == 0 { State::End } else { State::Length(length) })
    }

    /// Chunks of an endpoint.
    pub(crate) fn chunked() -> Self {
        Self::at(State::Size { size: 0, digits: 0, extensions: 0 })
    }

    /// Chunks of a client.
    pub(crate) fn chunked_strictly() -> Self {
        Self { blanks: Blanks::Extensions, ..Self::chunked() }
    }

    /// Until the endpoint closes the connection.
    pub(crate) fn until_close() -> Self {
        Self::at(State::UntilClose)
    }

    fn at(state: State) -> Self {
        Self { state, blanks: Blanks::Any }
    }

    /// Whether nothing more belongs to it.
    pub(crate) fn is_end(self) -> bool {
        self.state == State::End
    }

    /// Bytes to come, where that is known.
    pub(crate) fn left(self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::End => Some(0),
            _ => None,
        }
    }

    /// The endpoint has closed the connection; whether that is the end of the body.
    pub(crate) fn closed(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::End;
        }
        self.is_end()
    }

    /// Takes the next part out of `input`.
    ///
    /// # Errors
    /// It is no body.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Part, BodyFault> {
        loop {
            match self.state {
                State::End => return Ok(Part::End),
                State::Trailers(seen) => return self.trailers(seen, input),
                _ if input.is_empty() => return Ok(Part::Unknown),
                State::UntilClose => return Ok(Part::Data(std::mem::take(input))),
                State::Length(left) => {
                    let (data, left) = take(input, left);
                    *self = Self::length(left);
                    return Ok(Part::Data(data));
                }
                State::Data { left, extensions } => {
                    let (data, left) = take(input, left);
                    self.state =
                        if left == 0 { State::DataCr { extensions } } else { State::Data { left, extensions } };
                    self.look_ahead(input);
                    return Ok(Part::Data(data));
                }
                between => {
                    // What is no body stays where it is, to be shown.
                    self.state = step(between, input[0], self.blanks)?;
                    input.advance(1);
                }
            }
        }
    }

    /// Goes on to the next chunk or to the end as far as that is there, so that whoever sends this chunk on knows whether it is the last.
    /// What is wrong there is found when it is its turn.
    fn look_ahead(&mut self, input: &mut Bytes) {
        let (mut ahead, mut at) = (self.state, 0);
        while !matches!(ahead, State::Data { .. } | State::Trailers(_)) {
            let Some(byte) = input.get(at) else { return };
            let Ok(next) = step(ahead, *byte, self.blanks) else { return };
            (ahead, at) = (next, at + 1);
        }
        if matches!(ahead, State::Trailers(_)) {
            // Others than none are read in their turn.
            if !input[at..].starts_with(b"\r\n") {
                return;
            }
            (ahead, at) = (State::End, at + 2);
        }
        self.state = ahead;
        input.advance(at);
    }

    fn trailers(&mut self, seen: Seen, input: &mut Bytes) -> Result<Part, BodyFault> {
        // There may be none: then the empty line is the first.
        if !seen.may_end(input) && !matches!(input[..], [b'\r', b'\n', ..] | [b'\n', ..]) {
            return self.more_trailers(input);
        }
        parses(input.len());
        let mut room = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
        let parsed = httparse::parse_headers(input, &mut room).map_err(|_| BodyFault::Trailers)?;
        let httparse::Status::Complete((length, fields)) = parsed else {
            return self.more_trailers(input);
        };
        if length > TRAILERS_MAX || !has_whole_lines(&input[..length], fields) {
            return Err(BodyFault::Trailers);
        }
        let mut trailers = HeaderMap::with_capacity(fields.len());
        for field in fields {
            let (name, value) = (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value));
            let (Ok(name), Ok(value)) = (name, value) else { return Err(BodyFault::Trailers) };
            trailers.append(name, value);
        }
        input.advance(length);
        self.state = State::End;
        Ok(if trailers.is_empty() { Part::End } else { Part::Trailers(trailers) })
    }

    /// All that is there of the trailers has no end.
    fn more_trailers(&mut self, input: &Bytes) -> Result<Part, BodyFault> {
        self.state = State::Trailers(Seen::all(input));
        if input.len() > TRAILERS_MAX { Err(BodyFault::Trailers) } else { Ok(Part::Unknown) }
    }
}

/// One byte of what is between chunks.
fn step(state: State, byte: u8, blanks: Blanks) -> Result<State, BodyFault> {
    let extended = |extensions: u32| match extensions + 1 {
        EXTENSIONS_MAX => Err(BodyFault::Extension),
        more => Ok(more),
    };
    Ok(match (state, byte) {
        (State::Blank { .. }, b'\r') if blanks == Blanks::Extensions => return Err(BodyFault::Size),
        (State::Size { size, digits, extensions }, digit) if digit.is_ascii_hexdigit() => {
            // Sixteen fill what we count with; leading zeros beyond that are no number that anybody means.
            let digit = char::from(digit).to_digit(16).ok_or(BodyFault::Size)?;
            let digits = if digits < 16 { digits + 1 } else { return Err(BodyFault::Size) };
            State::Size { size: size << 4 | u64::from(digit), digits, extensions }
        }
        (State::Size { digits: 0, .. }, _) => return Err(BodyFault::Size),
        (
            State::Size { size, extensions, .. }
            | State::Blank { size, extensions }
            | State::Extension { size, extensions },
            b'\r',
        ) => State::SizeEnd { size, extensions },
        (State::Size { size, extensions, .. } | State::Blank { size, extensions }, b';') => {
            State::Extension { size, extensions: extended(extensions)? }
        }
        (State::Size { size, extensions, .. } | State::Blank { size, extensions }, b' ' | b'\t') => {
            State::Blank { size, extensions: extended(extensions)? }
        }
        (State::Size { .. } | State::Blank { .. }, _) => return Err(BodyFault::Size),
        (State::Extension { size, extensions }, byte) if byte == b'\t' || !byte.is_ascii_control() => {
            State::Extension { size, extensions: extended(extensions)? }
        }
        (State::Extension { .. }, _) => return Err(BodyFault::Extension),
        (State::SizeEnd { size: 0, .. }, b'\n') => State::Trailers(Seen::default()),
        (State::SizeEnd { size, extensions }, b'\n') => State::Data { left: size, extensions },
        (State::SizeEnd { .. }, _) => return Err(BodyFault::Size),
        (State::DataCr { extensions }, b'\r') => State::DataLf { extensions },
        (State::DataLf { extensions }, b'\n') => State::Size { size: 0, digits: 0, extensions },
        _ => return Err(BodyFault::Overrun),
    })
}

/// The bytes of a body that comes in pieces of this size and ends with the connection. `None`: it is none, or is not at its end.
#[cfg(feature = "fuzzing")]
pub(crate) fn whole(mut decoder: Decoder, bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let (mut data, mut input, mut rest) = (Vec::new(), Bytes::new(), bytes);
    loop {
        match decoder.next(&mut input).ok()? {
            Part::Data(part) => data.extend_from_slice(&part),
            Part::Trailers(_) | Part::End => return Some(data),
            Part::Unknown if rest.is_empty() => return decoder.closed().then_some(data),
            Part::Unknown => {
                let (piece, later) = rest.split_at(size.min(rest.len()));
                input = [&input[..], piece].concat().into();
                rest = later;
            }
        }
    }
}

/// As many of `left` bytes as there are, and how many are left then.
fn take(input: &mut Bytes, left: u64) -> (Bytes, u64) {
    let here = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    (input.split_to(here), left - here as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a body says that comes in pieces of this size: its bytes, its trailers, and what is left behind its end.
    type Read = (Vec<u8>, HeaderMap, Vec<u8>);

    fn read(mut decoder: Decoder, bytes: &[u8], size: usize) -> Result<Option<Read>, BodyFault> {
        let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
        let (mut input, mut rest) = (Bytes::new(), bytes);
        loop {
            match decoder.next(&mut input)? {
                Part::Data(part) => data.extend_from_slice(&part),
                Part::Trailers(fields) => trailers = fields,
                Part::End => return Ok(Some((data, trailers, [&input, rest].concat()))),
                Part::Unknown if rest.is_empty() => return Ok(None),
                Part::Unknown => {
                    let (piece, later) = rest.split_at(size.min(rest.len()));
                    input = [&input[..], piece].concat().into();
                    rest = later;
                }
            }
        }
    }

    fn chunks(bytes: &str) -> Result<Option<Read>, BodyFault> {
        read(Decoder::chunked(), bytes.as_bytes(), 3)
    }

    #[test]
    fn a_length_ends_a_body() {
        let (data, _, rest) = read(Decoder::length(5), b"hello world", 3).unwrap().unwrap();
        assert_eq!((&data[..], &rest[..]), (&b"hello"[..], &b" world"[..]));
        assert_eq!(read(Decoder::length(5), b"hell", 3).unwrap(), None);
        assert!(Decoder::length(0).is_end());
        assert!(!Decoder::length(1).closed() && !Decoder::chunked().closed() && Decoder::until_close().closed());
    }

    #[test]
    fn extensions_are_passed_over_and_trailers_are_told() {
        let (data, trailers, rest) =
            chunks("5;a=\"b\"\r\nhello\r\n1 ; x\r\n!\r\nA  \r\n0123456789\r\n000\r\nX: y\r\n\r\nHTTP")
                .unwrap()
                .unwrap();
        assert_eq!((&data[..], &rest[..]), (&b"hello!0123456789"[..], &b"HTTP"[..]));
        assert_eq!(trailers["x"], "y");
    }

    #[test]
    fn chunks_that_have_to_be_guessed_at_are_none() {
        let many = format!("1;{}\r\nx\r\n", "x".repeat(EXTENSIONS_MAX as usize));
        let trailers = format!("0\r\nX: {}\r\n\r\n", "x".repeat(TRAILERS_MAX));
        for (bytes, fault) in [
            ("\r\n", BodyFault::Size),
            ("x\r\n", BodyFault::Size),
            ("-1\r\n", BodyFault::Size),
            (" 1\r\n", BodyFault::Size),
            ("0x1\r\n", BodyFault::Size),
            ("1 1\r\n", BodyFault::Size),
            ("1\n", BodyFault::Size),
            ("1\r\r", BodyFault::Size),
            ("10000000000000000\r\n", BodyFault::Size),
            ("00000000000000001\r\n", BodyFault::Size),
            ("1;a\n", BodyFault::Extension),
            ("1;a\0\r\n", BodyFault::Extension),
            (&many, BodyFault::Extension),
            ("1\r\nab\r\n", BodyFault::Overrun),
            ("1\r\na\n", BodyFault::Overrun),
            ("1\r\na\rb", BodyFault::Overrun),
            ("0\r\nX: y\n\r\n", BodyFault::Trailers),
            ("0\r\nX y\r\n\r\n", BodyFault::Trailers),
            (&trailers, BodyFault::Trailers),
        ] {
            assert_eq!(chunks(bytes).unwrap_err(), fault, "{bytes:.40?}");
        }
        assert_eq!(chunks("ffffffffffffffff\r\nx").unwrap(), None, "as many as can be counted");
    }

    #[test]
    fn blanks_behind_a_clients_size_lead_to_an_extension() {
        let read = |bytes: &str| read(Decoder::chunked_strictly(), bytes.as_bytes(), 2);
        assert_eq!(read("5 \r\nhello\r\n0\r\n\r\n").unwrap_err(), BodyFault::Size);
        assert_eq!(read("5\t;a\r\nhello\r\n0\r\n\r\n").unwrap().unwrap().0, b"hello");
    }

    #[test]
    fn a_chunk_is_known_to_be_the_last_when_the_end_is_there() {
        for (bytes, last) in [
            (&b"5\r\nhello\r\n0\r\n\r\nGET"[..], true),
            (b"5\r\nhello\r\n0\r\n\r", false),
            (b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", false),
            (b"5\r\nhello\r\n1\r\n!", false),
            (b"5\r\nhello\r\n!", false),
        ] {
            let (mut decoder, mut input) = (Decoder::chunked(), Bytes::from_static(bytes));
            assert!(matches!(decoder.next(&mut input), Ok(Part::Data(data)) if data == "hello"));
            assert_eq!(decoder.is_end(), last, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn chunks_are_joined_however_they_are_cut(parts: Vec<Vec<u8>>, rest: Vec<u8>, size in 1_usize..50) {
            let mut bytes = Vec::new();
            for part in parts.iter().filter(|part| !part.is_empty()) {
                bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                bytes.extend_from_slice(part);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            bytes.extend_from_slice(&rest);
            let (data, trailers, left) = read(Decoder::chunked(), &bytes, size).unwrap().unwrap();
            prop_assert_eq!((data, trailers.len(), left), (parts.concat(), 0, rest));
        }

        #[test]
        fn no_bytes_make_it_panic_or_more_than_they_are(bytes: Vec<u8>, size in 1_usize..50) {
            if let Ok(Some((data, _, rest))) = read(Decoder::chunked(), &bytes, size) {
                prop_assert!(data.len() + rest.len() <= bytes.len());
            }
        }
    }
}

//! The fields of a head: how they are read, what they say of what follows it, and how they are written (RFC 9112, sections 5 and 6).

use super::body::Decoder;
use crate::request::lists;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Fields of a head, where nothing else is said.
pub(crate) const FIELDS_MAX: usize = 100;

/// Bytes behind a head that its fields may keep in memory: an HTTP/2 connection remembers some fields for as long as it lives (see
/// `request::detach`). If there are more, the head is copied.
const BEHIND_MAX: usize = 1024;

/// Why fields are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FieldsFault {
    #[error("a line of the head ends without CR")]
    BareLineFeed,
    #[error("invalid HTTP header parsed")]
    Form,
    #[error("the Content-Length is not one number")]
    Length,
}

/// Whether each line ends with CRLF, that is what stands before each field's name, and before the empty line. Cheaper than to look at each
/// byte: `httparse` has found the lines.
pub(super) fn has_whole_lines(head: &[u8], fields: &[httparse::Header<'_>]) -> bool {
    let begin = head.as_ptr().addr();
    let before = |field: &httparse::Header<'_>| head.get(..field.name.as_ptr().addr() - begin);
    fields.iter().all(|field| before(field).is_some_and(|lines| lines.is_empty() || lines.ends_with(b"\r\n")))
        && (head == b"\r\n" || head.ends_with(b"\r\n\r\n"))
}

/// Puts the fields of a head that is the first `length` bytes of `input` into `map`, and says what they mean for what follows; and
/// gives what the values are slices of: a part of `input`, or a copy.
///
/// # Errors
/// They are none.
pub(crate) fn take(
    input: &Bytes,
    length: usize,
    fields: &[httparse::Header<'_>],
    map: &mut HeaderMap,
) -> Result<(Facts, Bytes), FieldsFault> {
    if !has_whole_lines(&input[..length], fields) {
        return Err(FieldsFault::BareLineFeed);
    }
    let mut facts = Facts::default();
    map.clear();
    let begin = input.as_ptr().addr();
    let own = if input.len() - length > BEHIND_MAX { Bytes::copy_from_slice(&input[..length]) } else { input.clone() };
    for field in fields {
        facts.note(field.name.as_bytes(), field.value)?;
        let name = HeaderName::from_bytes(field.name.as_bytes());
        // An empty value may be a slice of nothing in particular.
        let at = if field.value.is_empty() { 0 } else { field.value.as_ptr().addr() - begin };
        let value = HeaderValue::from_maybe_shared(own.slice(at..at + field.value.len()));
        let (Ok(name), Ok(value)) = (name, value) else { return Err(FieldsFault::Form) };
        map.append(name, value);
    }
    Ok((facts, own))
}

/// What fields say of what follows a head, and of its connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// There is a transfer coding; and another one than `chunked`, alone and on one line. All other lists are read differently by different
    /// servers.
    pub(crate) coded: bool,
    pub(crate) otherwise_coded: bool,
    pub(crate) length: Option<u64>,
    /// The length is said in a list; or in another way than once and plainly.
    pub(crate) listed: bool,
    pub(crate) odd: bool,
    /// `Connection` lists `close`, or `keep-alive`.
    pub(crate) closes: bool,
    pub(crate) keeps: bool,
    /// `Expect` is `100-continue`.
    pub(crate) expects: bool,
    /// `TE` lists `trailers`.
    pub(crate) trailers: bool,
}

impl Facts {
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), FieldsFault> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is(b"te") => self.trailers |= lists(value, "trailers"),
            6 if is(b"expect") => self.expects |= value.eq_ignore_ascii_case(b"100-continue"),
            10 if is(b"connection") => {
                self.closes |= lists(value, "close");
                self.keeps |= lists(value, "keep-alive");
            }
            14 if is(b"content-length") => {
                // RFC 9112, section 6.3, rule 5: a list of equal numbers may be taken for one; others are a fault.
                self.listed |= value.contains(&b',');
                self.odd |= self.listed || self.length.is_some() || (value.len() > 1 && value[0] == b'0');
                for length in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    let length = number(length).ok_or(FieldsFault::Length)?;
                    if self.length.replace(length).is_some_and(|before| before != length) {
                        return Err(FieldsFault::Length);
                    }
                }
            }
            17 if is(b"transfer-encoding") => {
                self.otherwise_coded |= self.coded || !value.eq_ignore_ascii_case(b"chunked");
                self.coded = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// What follows by the length alone.
    pub(crate) fn counted(&self) -> Option<Decoder> {
        self.length.map(Decoder::length)
    }
}

/// Digits and nothing else (RFC 9110, section 8.6).
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Appends the first line of an answer. A client of HTTP/1.0 is answered in its own version, so that it expects no chunks and no kept connection.
pub(crate) fn begin_answer(status: StatusCode, old: bool, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(if old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    bytes.extend_from_slice(status.as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    bytes.extend_from_slice(b"\r\n");
}

/// Appends one field.
pub(crate) fn write(name: &HeaderName, value: &HeaderValue, bytes: &mut Vec<u8>) {
    let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
    bytes.reserve(name.len() + value.len() + 4);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}

/// Appends the length of a body that no field tells of.
pub(crate) fn write_length(length: u64, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(b"content-length: ");
    bytes.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    bytes.extend_from_slice(b"\r\n");
}

//! The heads of HTTP/1.1 towards endpoints: a request's is written, an answer's is read.
//!
//! Pure. A head is read by `httparse`, and refused where that forgives: every line must end with CRLF (RFC 9112, section 2.2, lets a
//! recipient choose). What follows a head is the business of `body`.

use super::body::Decoder;
use crate::request::lists;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Version};
use std::mem::MaybeUninit;

/// Fields of an answer's head.
const FIELDS_MAX: usize = 100;

/// Bytes of an answer's head.
pub(super) const HEAD_MAX: usize = 32 * 1024;

/// Bytes behind a head that its fields may keep in memory: an HTTP/2 connection remembers some fields for as long as it lives (see
/// `request::detach`). If there are more, the head is copied.
const BEHIND_MAX: usize = 1024;

/// Why the head of an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadFault {
    /// In the words of `httparse`.
    #[error("{0}")]
    Form(httparse::Error),
    #[error("a line of the head ends without CR")]
    BareLineFeed,
    #[error("the head is longer than {HEAD_MAX} bytes")]
    TooLong,
    #[error("a transfer coding in HTTP/1.0")]
    CodingInHttp10,
    #[error("the Content-Length is not one number")]
    Length,
}

/// What an answer's head says, other than its fields.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    /// What follows it.
    pub(crate) body: Decoder,
    /// The endpoint will close the connection.
    pub(crate) closes: bool,
}

/// Writes the head of a request whose target is a path or `*`. `length`: of a body that no field tells of.
pub(super) fn write<B>(request: &Request<B>, length: Option<u64>, bytes: &mut Vec<u8>) {
    let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    bytes.extend_from_slice(request.method().as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(target.as_bytes());
    bytes.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in request.headers() {
        write_field(name, value, bytes);
    }
    if let Some(length) = length {
        bytes.extend_from_slice(b"content-length: ");
        bytes.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
}

/// Appends one field.
pub(super) fn write_field(name: &HeaderName, value: &HeaderValue, bytes: &mut Vec<u8>) {
    let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
    bytes.reserve(name.len() + value.len() + 4);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}

/// Reads the head of an answer, to HEAD or not, takes it out of `input` and puts its fields into `fields`. `None`: it is not complete.
///
/// # Errors
/// It is none; `input` is as it was.
pub(crate) fn read(input: &mut Bytes, to_head: bool, fields: &mut HeaderMap) -> Result<Option<Head>, HeadFault> {
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, &mut room);
    let httparse::Status::Complete(length) = parsed.map_err(HeadFault::Form)? else {
        return if input.len() > HEAD_MAX { Err(HeadFault::TooLong) } else { Ok(None) };
    };
    if length > HEAD_MAX {
        return Err(HeadFault::TooLong);
    }
    if !input.starts_with(b"HTTP/") {
        return Err(HeadFault::Form(httparse::Error::Version));
    }
    if !has_whole_lines(&input[..length], response.headers) {
        return Err(HeadFault::BareLineFeed);
    }
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(HeadFault::Form(httparse::Error::Status))?;
    let version = if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut facts = Facts::default();
    fields.clear();
    let begin = input.as_ptr().addr();
    let own = if input.len() - length > BEHIND_MAX { Bytes::copy_from_slice(&input[..length]) } else { input.clone() };
    for field in response.headers {
        facts.note(field.name.as_bytes(), field.value)?;
        let name = HeaderName::from_bytes(field.name.as_bytes());
        // An empty value may be a slice of nothing in particular.
        let at = if field.value.is_empty() { 0 } else { field.value.as_ptr().addr() - begin };
        let value = HeaderValue::from_maybe_shared(own.slice(at..at + field.value.len()));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(HeadFault::Form(httparse::Error::HeaderValue));
        };
        fields.append(name, value);
    }
    let body = facts.body(status, version, to_head)?;
    let head = Head { status, version, body, closes: facts.closes };
    input.advance(length);
    Ok(Some(head))
}

/// Whether each line ends with CRLF, that is what stands before each field's name, and before the empty line. Cheaper than to look at each
/// byte: `httparse` has found the lines.
pub(super) fn has_whole_lines(head: &[u8], fields: &[httparse::Header<'_>]) -> bool {
    let begin = head.as_ptr().addr();
    let before = |field: &httparse::Header<'_>| head.get(..field.name.as_ptr().addr() - begin);
    fields.iter().all(|field| before(field).is_some_and(|lines| lines.is_empty() || lines.ends_with(b"\r\n")))
        && (head == b"\r\n" || head.ends_with(b"\r\n\r\n"))
}

/// What fields say of what follows a head, and of its connection.
#[derive(Default)]
struct Facts {
    coded: bool,
    length: Option<u64>,
    closes: bool,
}

impl Facts {
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadFault> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            10 if is(b"connection") => self.closes |= lists(value, "close"),
            14 if is(b"content-length") => {
                // RFC 9112, section 6.3, rule 5: a list of equal numbers may be taken for one; others are a fault.
                for length in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    let length = number(length).ok_or(HeadFault::Length)?;
                    if self.length.replace(length).is_some_and(|before| before != length) {
                        return Err(HeadFault::Length);
                    }
                }
            }
            17 if is(b"transfer-encoding") => self.coded = true,
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112, section 6.3. Whether the transfer coding is one that we read is judged by `request::forwarded`.
    fn body(&self, status: StatusCode, version: Version, to_head: bool) -> Result<Decoder, HeadFault> {
        if to_head || status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(Decoder::length(0));
        }
        if self.coded {
            return if version == Version::HTTP_11 { Ok(Decoder::chunked()) } else { Err(HeadFault::CodingInHttp10) };
        }
        Ok(self.length.map_or(Decoder::until_close(), Decoder::length))
    }
}

/// Digits and nothing else (RFC 9110, section 8.6).
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use proptest::prelude::*;

    fn of(bytes: &str) -> Result<Option<Head>, HeadFault> {
        read(&mut Bytes::copy_from_slice(bytes.as_bytes()), false, &mut HeaderMap::new())
    }

    #[test]
    fn a_head_is_taken_and_what_follows_is_left() {
        let mut input =
            Bytes::from_static(b"HTTP/1.1 200 OK\r\nX: a\r\nConnection: x, Close\r\nContent-Length: 3\r\n\r\nabc");
        let mut fields = HeaderMap::new();
        fields.insert("old", HeaderValue::from_static("gone"));

        let head = read(&mut input, false, &mut fields).unwrap().unwrap();

        let (status, version) = (StatusCode::OK, Version::HTTP_11);
        assert_eq!(head, Head { status, version, body: Decoder::length(3), closes: true });
        assert_eq!((fields.len(), &fields["x"], &input[..]), (3, &HeaderValue::from_static("a"), &b"abc"[..]));
    }

    #[test]
    fn fields_keep_little_of_what_follows_them() {
        for (behind, kept) in [(100, true), (5000, false)] {
            let text = format!("HTTP/1.1 200 OK\r\nX: a\r\nEmpty:\r\n\r\n{}", "x".repeat(behind));
            let mut input = Bytes::copy_from_slice(text.as_bytes());
            let mut fields = HeaderMap::new();
            read(&mut input, false, &mut fields).unwrap().unwrap();
            assert_eq!(
                (input.len(), &fields["x"], &fields["empty"]),
                (behind, &"a".parse().unwrap(), &"".parse().unwrap())
            );
            assert_eq!(input.is_unique(), !kept, "{behind}");
        }
    }

    #[test]
    fn the_body_behind_a_head_ends_where_rfc_9112_says() {
        for (head, to_head, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, Decoder::length(0)),
            ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false, Decoder::length(0)),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, Decoder::length(0)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false, Decoder::chunked()),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length:5\r\n\r\n", false, Decoder::length(5)),
            ("HTTP/1.0 200 OK\r\n\r\n", false, Decoder::until_close()),
        ] {
            let head = read(&mut Bytes::from_static(head.as_bytes()), to_head, &mut HeaderMap::new());
            assert_eq!(head.unwrap().unwrap().body, body);
        }
    }

    #[test]
    fn what_has_to_be_forgiven_is_no_head() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(HEAD_MAX));
        for (head, fault) in [
            ("HTTP/1.1 200 OK\r\nX: y\n\r\n", HeadFault::BareLineFeed),
            ("HTTP/1.1 200 OK\n\r\n", HeadFault::BareLineFeed),
            ("HTTP/1.1 200 OK\r\nX: y\r\n\n", HeadFault::BareLineFeed),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", HeadFault::Form(httparse::Error::Version)),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HeadFault::CodingInHttp10),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n", HeadFault::Length),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", HeadFault::Length),
            ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", HeadFault::Length),
            ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", HeadFault::Length),
            (&long, HeadFault::TooLong),
            (&long[..long.len() - 4], HeadFault::TooLong),
        ] {
            assert_eq!(of(head).unwrap_err(), fault, "{head:.60?}");
        }
        assert_eq!(of("HTTP/1.1 200 OK\r\nX: y\r\n").unwrap(), None, "more may come");
    }

    #[test]
    fn a_request_is_written_line_by_line() {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = "/a?b".parse().unwrap();
        request.headers_mut().insert("host", HeaderValue::from_static("a"));
        let mut bytes = Vec::new();
        write(&request, Some(12), &mut bytes);
        assert_eq!(bytes, b"POST /a?b HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n");
    }

    proptest! {
        #[test]
        fn whatever_an_endpoint_sends_a_head_is_taken_whole_or_not_at_all(bytes: Vec<u8>, begin in 0_usize..20) {
            let mut bytes = [&b"HTTP/1.1 200 OK\r\nA: b\r\n"[..begin], &bytes].concat();
            for end in [&b""[..], b"\r\n\r\n"] {
                bytes.extend_from_slice(end);
                let mut input = Bytes::copy_from_slice(&bytes);
                match read(&mut input, false, &mut HeaderMap::new()) {
                    Ok(Some(_)) => prop_assert!(bytes[..bytes.len() - input.len()].ends_with(b"\r\n\r\n")),
                    Ok(None) | Err(_) => prop_assert_eq!(&input[..], &bytes[..]),
                }
            }
        }
    }
}

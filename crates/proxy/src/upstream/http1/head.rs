//! The head of an endpoint's answer.
//!
//! Pure. Read by `httparse`, and refused where that forgives: every line must end with CRLF (RFC 9112, section 2.2, lets a
//! recipient choose).

use crate::codec::{self, Decoder, FIELDS_MAX, Facts, FieldsFault};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, StatusCode, Version, header::CONTENT_LENGTH};
use std::mem::MaybeUninit;

/// Bytes of an answer's head.
pub(super) const HEAD_MAX: usize = 32 * 1024;

/// How every answer begins.
const VERSION: &[u8] = b"HTTP/";

/// Why the head of an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadFault {
    /// In the words of `httparse`.
    #[error("{0}")]
    Form(httparse::Error),
    #[error("{0}")]
    Fields(#[from] FieldsFault),
    #[error("the head is longer than {HEAD_MAX} bytes")]
    TooLong,
    #[error("a transfer coding in HTTP/1.0")]
    CodingInHttp10,
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

/// Reads the head of an answer, to HEAD or not, takes it out of `input` and puts its fields into `fields`. `None`: it is not complete.
///
/// # Errors
/// It is none; `input` is as it was.
pub(crate) fn read(input: &mut Bytes, to_head: bool, fields: &mut HeaderMap) -> Result<Option<Head>, HeadFault> {
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    // `httparse` skips empty lines before it, again each time.
    if !input.iter().zip(VERSION).all(|(byte, wanted)| byte == wanted) {
        return Err(HeadFault::Form(httparse::Error::Version));
    }
    codec::parses(input.len());
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, &mut room);
    let httparse::Status::Complete(length) = parsed.map_err(HeadFault::Form)? else {
        return if input.len() > HEAD_MAX { Err(HeadFault::TooLong) } else { Ok(None) };
    };
    if length > HEAD_MAX {
        return Err(HeadFault::TooLong);
    }
    // RFC 9110, section 15: anything above 599 is no status.
    let status = response.code.filter(|code| *code < 600).and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(HeadFault::Form(httparse::Error::Status))?;
    let version = if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let (facts, _) = codec::take(input, length, response.headers, fields)?;
    let body = body(facts, status, version, to_head)?;
    if let Some(length) = facts.length.filter(|_| facts.odd) {
        // Also where nothing follows: the answer to a HEAD tells of another one's body.
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let head = Head { status, version, body, closes: facts.closes };
    input.advance(length);
    Ok(Some(head))
}

/// What follows (RFC 9112, section 6.3).
fn body(facts: Facts, status: StatusCode, version: Version, to_head: bool) -> Result<Decoder, HeadFault> {
    if to_head || status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Decoder::length(0));
    }
    if facts.coded {
        return if version == Version::HTTP_11 { Ok(Decoder::chunked()) } else { Err(HeadFault::CodingInHttp10) };
    }
    Ok(facts.counted().unwrap_or(Decoder::until_close()))
}

#[cfg(test)]
mod tests {
    use super::*;
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
            ("HTTP/1.1 200 OK\r\nX: y\n\r\n", HeadFault::Fields(FieldsFault::BareLineFeed)),
            ("HTTP/1.1 200 OK\n\r\n", HeadFault::Fields(FieldsFault::BareLineFeed)),
            ("HTTP/1.1 200 OK\r\nX: y\r\n\n", HeadFault::Fields(FieldsFault::BareLineFeed)),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", HeadFault::Form(httparse::Error::Version)),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HeadFault::CodingInHttp10),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n", HeadFault::Fields(FieldsFault::Length)),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", HeadFault::Fields(FieldsFault::Length)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", HeadFault::Fields(FieldsFault::Length)),
            ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", HeadFault::Fields(FieldsFault::Length)),
            (&long, HeadFault::TooLong),
            (&long[..long.len() - 4], HeadFault::TooLong),
        ] {
            assert_eq!(of(head).unwrap_err(), fault, "{head:.60?}");
        }
        assert_eq!(of("HTTP/1.1 200 OK\r\nX: y\r\n").unwrap(), None, "more may come");
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

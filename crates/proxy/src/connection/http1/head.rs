//! The head of a client's request.
//!
//! Pure. Read by `httparse`, and refused where that forgives: lines end with CRLF, a target has no fragment, and there is one framing (RFC 9112,
//! sections 2.2, 3.2 and 6.3). What the parts mean for routing is judged by `request::target`.

use crate::codec::{self, Decoder, FIELDS_MAX, Facts, FieldsFault};
use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, Uri, Version};
use std::mem::MaybeUninit;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

/// Why a head is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadFault {
    /// In the words of `httparse`.
    #[error("{0}")]
    Form(httparse::Error),
    #[error("{0}")]
    Fields(#[from] FieldsFault),
    #[error("the target is no URI")]
    Target,
    /// It must not be sent, and readers differ in whether it belongs to the path (RFC 9112, section 3.2).
    #[error("the target has a fragment ('#')")]
    Fragment,
    #[error("a transfer coding in HTTP/1.0")]
    CodingInHttp10,
    /// RFC 9112, section 6.1.
    #[error("the transfer coding is not exactly 'chunked'")]
    Coding,
    /// RFC 9112, section 6.3: "ought to be handled as an error".
    #[error("both a Content-Length and a transfer coding")]
    TwoFramings,
    #[error("the head is too long")]
    TooLong,
    #[error("the head has too many fields")]
    TooManyFields,
    #[error("the target is too long")]
    TargetTooLong,
}

/// What a request's head says, other than its fields.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) target: Uri,
    pub(crate) version: Version,
    /// What follows it.
    pub(crate) body: Decoder,
    /// The client wants to use the connection again.
    pub(crate) keeps: bool,
    /// It waits for a `100 Continue`.
    pub(crate) expects: bool,
    /// It takes trailers.
    pub(crate) trailers: bool,
    /// As it came.
    pub(crate) bytes: Bytes,
}

/// Reads a head, takes it out of `input` and puts its fields into `fields`. `None`: it is not complete. Empty lines before it are skipped
/// (RFC 9112, section 2.2).
///
/// # Errors
/// It is none; but for empty lines, `input` is as it was.
pub(crate) fn read(input: &mut Bytes, limits: Limits, fields: &mut HeaderMap) -> Result<Option<Head>, HeadFault> {
    while input.starts_with(b"\r\n") {
        input.advance(2);
    }
    if input.starts_with(b"\n") {
        // `httparse` skips them as well, again each time.
        return Err(HeadFault::Fields(FieldsFault::BareLineFeed));
    }
    let read = if limits.fields <= FIELDS_MAX {
        parse(input, limits, fields, &mut [const { MaybeUninit::uninit() }; FIELDS_MAX])
    } else {
        parse(input, limits, fields, &mut vec![MaybeUninit::uninit(); limits.fields])
    };
    Ok(read?.map(|(head, length)| {
        input.advance(length);
        head
    }))
}

/// And how long it is.
fn parse<'b>(
    bytes: &'b Bytes,
    limits: Limits,
    fields: &mut HeaderMap,
    room: &mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<Option<(Head, usize)>, HeadFault> {
    codec::parses(bytes.len());
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, room);
    let parsed = parsed.map_err(|error| match error {
        httparse::Error::TooManyHeaders => HeadFault::TooManyFields,
        error => HeadFault::Form(error),
    })?;
    let httparse::Status::Complete(length) = parsed else {
        return if bytes.len() > limits.bytes { Err(HeadFault::TooLong) } else { Ok(None) };
    };
    if length > limits.bytes {
        return Err(HeadFault::TooLong);
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(HeadFault::Form(httparse::Error::Version));
    };
    let version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| HeadFault::Form(httparse::Error::Token))?;
    let (facts, own) = codec::take(bytes, length, request.headers, fields)?;
    let at = target.as_ptr().addr() - bytes.as_ptr().addr();
    let target = uri(own.slice(at..at + target.len()))?;
    let body = body(facts, version)?;
    let keeps = if version == Version::HTTP_11 { !facts.closes } else { facts.keeps && !facts.closes };
    // RFC 9110, section 10.1.1: from HTTP/1.0 it means nothing.
    let expects = facts.expects && version == Version::HTTP_11 && !body.is_end();
    let bytes = own.slice(..length);
    let head = Head { method, target, version, body, keeps, expects, trailers: facts.trailers, bytes };
    Ok(Some((head, length)))
}

fn uri(target: Bytes) -> Result<Uri, HeadFault> {
    if target.contains(&b'#') {
        return Err(HeadFault::Fragment);
    }
    let length = target.len();
    // It holds 65 534 bytes at most.
    let fault = |_| if length >= usize::from(u16::MAX) { HeadFault::TargetTooLong } else { HeadFault::Target };
    Uri::from_maybe_shared(target).map_err(fault)
}

/// RFC 9112, section 6.3.
fn body(facts: Facts, version: Version) -> Result<Decoder, HeadFault> {
    match facts {
        Facts { coded: true, .. } if version == Version::HTTP_10 => Err(HeadFault::CodingInHttp10),
        Facts { otherwise_coded: true, .. } => Err(HeadFault::Coding),
        Facts { coded: true, length: Some(_), .. } => Err(HeadFault::TwoFramings),
        // RFC 9112, section 6.3, rule 5, leaves the choice; only servers have reasons to be forgiven.
        Facts { listed: true, .. } => Err(FieldsFault::Length.into()),
        Facts { coded: true, .. } => Ok(Decoder::chunked_strictly()),
        _ => Ok(facts.counted().unwrap_or(Decoder::length(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { bytes: 1000, fields: 100 };

    fn of(bytes: &[u8]) -> Result<Option<Head>, HeadFault> {
        read(&mut Bytes::copy_from_slice(bytes), LIMITS, &mut HeaderMap::new())
    }

    #[test]
    fn a_head_is_taken_and_what_follows_is_left() {
        let mut input = Bytes::from_static(b"\r\n\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\n\r\nhello");
        let mut fields = HeaderMap::new();
        let head = read(&mut input, LIMITS, &mut fields).unwrap().unwrap();
        assert_eq!((head.method, head.target.to_string().as_str()), (Method::POST, "/a?b"));
        assert_eq!((head.body, head.keeps, head.expects), (Decoder::length(5), true, false));
        assert_eq!((fields["host"].as_bytes(), &input[..]), (&b"a"[..], &b"hello"[..]));
    }

    #[test]
    fn the_version_and_connection_say_whether_there_is_another_request() {
        for (line, keeps) in [
            ("GET / HTTP/1.1\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: x, Close\r\n", false),
            ("GET / HTTP/1.0\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", true),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n", false),
        ] {
            assert_eq!(of(format!("{line}\r\n").as_bytes()).unwrap().unwrap().keeps, keeps, "{line}");
        }
    }

    #[test]
    fn what_has_to_be_forgiven_is_no_head() {
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1000));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101));
        let lines = HeadFault::Fields(FieldsFault::BareLineFeed);
        for (head, fault) in [
            ("GET / HTTP/1.1\nX: y\r\n\r\n", lines),
            ("GET / HTTP/1.1\r\nX: y\n\r\n", lines),
            ("GET / HTTP/1.1\r\nX: y\r\n\n", lines),
            ("\nGET / HTTP/1.1\r\n\r\n", lines),
            ("GET /#a HTTP/1.1\r\n\r\n", HeadFault::Fragment),
            ("GET /[ HTTP/2.0\r\n\r\n", HeadFault::Form(httparse::Error::Version)),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HeadFault::CodingInHttp10),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", HeadFault::TwoFramings),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HeadFault::Coding),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n", HeadFault::Coding),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", FieldsFault::Length.into()),
            ("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", FieldsFault::Length.into()),
            ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", FieldsFault::Length.into()),
            ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", FieldsFault::Length.into()),
            (&long, HeadFault::TooLong),
            (&long[..long.len() - 4], HeadFault::TooLong),
            (&many, HeadFault::TooManyFields),
        ] {
            assert_eq!(of(head.as_bytes()).unwrap_err(), fault, "{head:.60?}");
        }
        assert!(of(b"GET / HTTP/1.1\r\nX: y\r\n").unwrap().is_none(), "more may come");
        let more = Limits { bytes: 10_000, fields: 101 };
        assert!(read(&mut Bytes::from(many), more, &mut HeaderMap::new()).unwrap().is_some());
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_a_head_is_taken_whole_or_not_at_all(bytes: Vec<u8>, begin in 0_usize..24) {
            let mut bytes = [&b"POST /a HTTP/1.1\r\nA: b\r\n"[..begin], &bytes].concat();
            for end in [&b""[..], b"\r\n\r\n"] {
                bytes.extend_from_slice(end);
                let mut input = Bytes::copy_from_slice(&bytes);
                match read(&mut input, LIMITS, &mut HeaderMap::new()) {
                    Ok(Some(_)) => prop_assert!(bytes[..bytes.len() - input.len()].ends_with(b"\r\n\r\n")),
                    Ok(None) | Err(_) => prop_assert!(bytes.ends_with(&input)),
                }
            }
        }
    }
}

//! Any bytes behind a head that announces chunks, against a decoder of our own.
//!
//! The decoder knows extensions of any kind without a control, with white space before them or not.

use super::stage::{self, INPUT_MAX};

const HEAD: &[u8] =
    b"POST /chunks HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A body, and whether anything stands where trailers do.
struct Decoded {
    body: Vec<u8>,
    trailers: bool,
}

pub fn check(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_MAX)];
    let outcome = stage::sends(&[HEAD, data].concat());
    let arrived = outcome.requests.first().filter(|request| request.line == "POST /chunks HTTP/1.1");
    assert_eq!(arrived.is_some(), !outcome.requests.is_empty(), "something else came first: {:?}", outcome.requests);
    match (decode(data), arrived) {
        (Some(decoded), Some(request)) => assert_eq!(decoded.body, request.body),
        (None, None) => {}
        // Whether trailers are well-formed is the parser's to say.
        (Some(decoded), None) => assert!(decoded.trailers, "a good body did not arrive"),
        (None, Some(request)) => panic!("a bad body arrived as {request:?}"),
    }
}

/// `None`: malformed, or not at its end.
fn decode(mut rest: &[u8]) -> Option<Decoded> {
    let mut body = Vec::new();
    loop {
        let digits = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&rest[..digits]).ok().and_then(|text| u64::from_str_radix(text, 16).ok())?;
        rest = &rest[digits..];
        let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        rest = &rest[blanks..];
        if blanks > 0 && rest.first() != Some(&b';') {
            return None;
        }
        if rest.first() == Some(&b';') {
            let end = rest.iter().position(|b| *b != b'\t' && b.is_ascii_control())?;
            rest = &rest[end..];
        }
        rest = rest.strip_prefix(b"\r\n")?;
        if size == 0 {
            let plain = rest.starts_with(b"\r\n");
            let whole = plain || rest.windows(4).any(|end| end == b"\r\n\r\n");
            return whole.then_some(Decoded { body, trailers: !plain });
        }
        let size = usize::try_from(size).ok()?;
        body.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
}

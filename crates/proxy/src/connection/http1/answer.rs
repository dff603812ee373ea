//! An answer as it leaves: its head, and how its body ends (RFC 9112, section 6). Pure.

use crate::{
    body::Body,
    codec::{self, Framing, Output},
    connection::turn::has_no_content,
    request::lists,
};
use http::{Response, Version, header};
use http_body::Body as _;

/// What of a request decides over the form of its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) version: Version,
    /// By HEAD.
    pub(super) to_head: bool,
    /// Its client takes trailers.
    pub(super) trailers: bool,
    /// Its client wants to use the connection again.
    pub(super) keeps: bool,
}

/// All of an answer, whose body it takes; and whether the connection ends with it, as `last` wants or because there is no other way to say
/// where it ends. `bytes` is an empty buffer, `date` the time for an answer without one.
pub(super) fn output(
    response: &mut Response<Body>,
    asked: Asked,
    mut last: bool,
    date: &[u8],
    mut bytes: Vec<u8>,
) -> (Output, bool) {
    let body = std::mem::take(response.body_mut());
    let status = response.status();
    let old = asked.version < Version::HTTP_11;
    codec::begin_answer(status, old, &mut bytes);
    let mut found = Found::default();
    for (name, value) in response.headers() {
        if *name == header::CONNECTION {
            let closes = lists(value, "close");
            last |= closes;
            found.close |= closes;
            found.keep_alive |= lists(value, "keep-alive");
        } else if *name == header::CONTENT_LENGTH {
            // A second one says the same, or is none.
            if found.length.is_some() {
                continue;
            }
            found.length = value.to_str().ok().and_then(|length| length.parse().ok());
        } else if *name == header::TRANSFER_ENCODING {
            // It is ours to say.
            continue;
        }
        found.date |= *name == header::DATE;
        codec::write(name, value, &mut bytes);
    }
    let framing = frame(response, &body, asked, found.length, &mut bytes);
    last |= framing == Framing::UntilClose;
    if !found.date && !status.is_informational() {
        bytes.extend_from_slice(b"date: ");
        bytes.extend_from_slice(date);
        bytes.extend_from_slice(b"\r\n");
    }
    // RFC 9112, section 9.3: what the version alone would say the other way round.
    if !found.close && last && !old {
        bytes.extend_from_slice(b"connection: close\r\n");
    } else if !found.keep_alive && !last && old {
        bytes.extend_from_slice(b"connection: keep-alive\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    (Output::new(bytes, body, framing), last)
}

/// What stands in a head already.
#[derive(Default)]
struct Found {
    close: bool,
    keep_alive: bool,
    length: Option<u64>,
    date: bool,
}

/// How the end of the body is told; adds the field that says it. `told`: the length that the head has already.
fn frame(response: &Response<Body>, body: &Body, asked: Asked, told: Option<u64>, bytes: &mut Vec<u8>) -> Framing {
    let status = response.status();
    // RFC 9112, section 6.3, rule 1.
    if asked.to_head || has_no_content(status) {
        return Framing::None;
    }
    let exact = body.size_hint().exact();
    if told.is_none()
        && let Some(length) = exact
    {
        codec::write_length(length, bytes);
    }
    match told.or(exact) {
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None if asked.version < Version::HTTP_11 => Framing::UntilClose,
        None => {
            bytes.extend_from_slice(b"transfer-encoding: chunked\r\n");
            let lines = response.headers().get_all(header::TRAILER).iter();
            Framing::Chunked { announced: if asked.trailers { lines.cloned().collect() } else { Vec::new() } }
        }
    }
}

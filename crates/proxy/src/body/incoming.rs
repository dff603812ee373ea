//! The bytes of a request's body as they come from a client, in either version of HTTP.

use super::upload::Fault;
use crate::connection::ClientBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// What a client sends behind a head.
pub(crate) enum Incoming {
    Http1(ClientBody),
    Http2(hyper::body::Incoming),
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.get_mut() {
            Self::Http1(body) => body.poll_frame(cx),
            Self::Http2(incoming) => poll_http2(incoming, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end(),
            Self::Http2(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Http2(incoming) => incoming.size_hint(),
        }
    }
}

/// The next part of a message of HTTP/2, in either direction. Only END_STREAM ends one (RFC 9113, section 8.1). hyper (1.12) takes any error
/// with the code NO_ERROR for an end as well: RST_STREAM in mid-message, GOAWAY that leaves the stream out, and an end of ours after a
/// PING without an answer. Behind such an end the stream has not ended for `h2`; a reset after END_STREAM does not change that it has.
pub(super) fn poll_http2(
    incoming: &mut hyper::body::Incoming,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
    Poll::Ready(match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
        Some(frame) => Some(frame.map_err(|error| blame(&error))),
        None if incoming.is_end_stream() => None,
        None => Some(Err(Fault::Gone)),
    })
}

/// Whose fault hyper's error is: an end of the stream, or bytes that make no body.
fn blame(error: &hyper::Error) -> Fault {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        // What `h2` refuses it has found by itself; all else is an end.
        if let Some(http2) = error.downcast_ref::<h2::Error>() {
            return if http2.is_library() { Fault::Malformed } else { Fault::Gone };
        }
        cause = error.source();
    }
    Fault::Gone
}

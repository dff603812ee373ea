//! What a client speaks where HTTP/1.1 and HTTP/2 are both welcome without TLS: its first bytes tell.
//!
//! A step of `open`, last before the protocol. The bytes are looked at and not taken, so that whoever serves the connection finds them, and one that
//! waits has no buffer. `Upgrade: h2c` of HTTP/1.1 is not asked for (RFC 9113, section 3.1, deprecates it).

use super::client::ClientConnection;
use evenkeel_model::Protocol;
use evenkeel_net::Stream;
use std::{future::poll_fn, task::Poll};

/// With which every connection of HTTP/2 begins, and none of HTTP/1.1 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits until the first bytes tell. Whatever is no preface is for HTTP/1.1 to answer, and so is one that does not come to its end in the time
/// of a head. `None`: there is no connection any more.
pub(super) async fn tell(stream: Stream, connection: &ClientConnection) -> Option<(Stream, Protocol)> {
    let told = poll_fn(|cx| {
        if let Poll::Ready(begins) = stream.poll_begins_with(PREFACE, cx) {
            // What cannot be read here cannot be read there either.
            return Poll::Ready(Some(if begins.unwrap_or(false) { Protocol::Http2 } else { Protocol::Http11 }));
        }
        if connection.poll_leave(cx).is_ready() {
            return Poll::Ready(None);
        }
        connection.clock().poll(cx).map(|()| None)
    })
    .await;
    match told {
        Some(protocol) => Some((stream, protocol)),
        None => Some((stream.register_again().ok()?, Protocol::Http11)),
    }
}

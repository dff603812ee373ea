//! The first byte of a connection, looked at without taking it.

use crate::Stream;
use std::io;

/// What a client begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A TLS handshake (RFC 8446, section 5.1: content type 22).
    Tls,
    /// A letter, as every method of HTTP begins with: somebody took the wrong port or scheme.
    Text,
    /// Something else.
    Other,
    /// Nothing: it has closed the connection.
    Closed,
}

/// Waits for the client's first byte.
///
/// # Errors
/// The kernel's word.
pub async fn opening(stream: &Stream) -> io::Result<Opening> {
    let mut first = [0];
    Ok(match stream.peek(&mut first).await? {
        0 => Opening::Closed,
        _ if first[0] == 22 => Opening::Tls,
        _ if first[0].is_ascii_alphabetic() => Opening::Text,
        _ => Opening::Other,
    })
}

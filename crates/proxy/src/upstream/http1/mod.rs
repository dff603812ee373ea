//! HTTP/1.1 with an endpoint, spoken by ourselves: one request at a time, without a task or a buffer for each connection.
//!
//! `head` and `body` are pure: bytes in, meaning out. `output` is what is still to be written of a request, `connection` ties both to a
//! socket, `idle` notices what happens on one that waits in the pool. Strict as RFC 9112 allows: what has to be forgiven is refused
//! (docs/decisions/0007).

mod body;
mod connection;
mod head;
mod idle;
mod output;

pub(crate) use body::Decoder;
#[cfg(feature = "fuzzing")]
pub(crate) use body::whole as read_body;
pub(crate) use connection::Broken;
pub(super) use connection::Connection;
#[cfg(feature = "fuzzing")]
pub(crate) use head::read as read_head;

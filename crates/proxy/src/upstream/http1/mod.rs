//! HTTP/1.1 with an endpoint, spoken by ourselves: one request at a time, without a task or a buffer for each connection.
//!
//! `head` reads what comes and `request` writes what goes, both pure (with `codec`); `connection` ties them to a socket, `idle` notices what
//! happens on one that waits in the pool. Strict as RFC 9112 allows: what has to be forgiven is refused (docs/decisions/0007).

mod connection;
mod head;
mod idle;
mod request;

pub(crate) use connection::Broken;
pub(super) use connection::Connection;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use head::read as read_head;

//! HTTP/1.1 with a client, spoken by ourselves: one request at a time, without a buffer for a connection that waits.
//!
//! `serve` drives a connection from request to request, `wire` is its socket with what was read of it, shared with the `body` of the request at
//! hand. `head` reads a request's head and `answer` writes that of its answer; both are pure. What has to be forgiven is refused
//! (docs/decisions/0008).

mod answer;
mod body;
mod head;
mod hints;
mod linger;
mod serve;
mod wire;

pub(crate) use body::ClientBody;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use head::{Limits as HeadLimits, read as read_request_head};
pub(super) use hints::Hints;
pub(super) use linger::{ALL_MAX, QUIET_MAX};
pub(super) use serve::serve;

//! A request's way to an endpoint and the answer's way back.

mod announcement;
mod attempt;
mod coming;
mod connect;
mod dial;
mod http1;
mod http2;
mod identity;
mod lease;
mod left_out;
mod patience;
mod place;
mod pool;
mod preface;
mod replay;
mod send;

pub(crate) use dial::dial;
pub(crate) use http1::Broken;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use http1::read_head;
pub(crate) use http2::Slot;
pub(crate) use lease::{Coming, Lease};
pub(crate) use pool::{Pool, Switched};
pub(crate) use send::send;

//! A request's way to an endpoint and the answer's way back.

mod announcement;
mod attempt;
mod connect;
mod dial;
mod identity;
mod patience;
mod pool;
mod replay;
mod send;

pub(crate) use dial::dial;
pub(crate) use pool::{Lease, Pool, Switched};
pub(crate) use send::send;

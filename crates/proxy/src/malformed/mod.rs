//! The last messages that broke HTTP, kept for the operator: what came, from whom, and where it breaks the rules.
//!
//! Off the hot path but for [`Heard`]: the begin of each head is copied as it is read, since hyper forgets it.

mod heard;
mod kept;
mod note;
mod scan;

pub(crate) use heard::Heard;
pub(crate) use kept::Kept;
pub use kept::{Head, LastErrors, Malformed};
pub(crate) use note::{request, request_body, response, response_head, unparsed};

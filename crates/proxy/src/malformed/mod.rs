//! The last messages that broke HTTP, kept for the operator: what came, from whom, and where it breaks the rules.
//!
//! Off the hot path: a head stays in memory until its request is answered, and costs nothing else.

mod kept;
mod note;
mod scan;

pub(crate) use kept::Kept;
pub use kept::{Head, LastErrors, Malformed};
pub(crate) use note::{request, request_body, response, response_body, response_head, unparsed};

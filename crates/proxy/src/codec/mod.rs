//! HTTP/1.1 on the wire, for both sides: what clients and endpoints send is read by the same rules, and what goes to them is written by
//! the same hand.
//!
//! `fields` and `body` are pure: bytes in, meaning out. `input` is what was read of a socket and not yet taken, `output` what is still to be
//! written to one. First lines differ: `connection/http1` has those of requests that come in and answers that go out, `upstream/http1` those
//! of the other direction.

mod body;
mod fields;
mod input;
mod output;
#[cfg(test)]
mod tests;
mod work;

#[cfg(feature = "fuzzing")]
pub(crate) use body::whole as read_body;
pub(crate) use body::{BodyFault, Decoder, Part};
pub(crate) use fields::{FIELDS_MAX, Facts, FieldsFault, begin_answer, take, write, write_length};
pub(crate) use input::{Input, READ_MAX, Seen};
pub(crate) use output::{Cut, Framing, Output};
pub(crate) use work::parses;

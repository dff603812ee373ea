//! Looks at the frames of a peer of HTTP/2 before `h2` does, for what `h2` (0.4.20) takes too hard or not at all.
//!
//! `h2` ends a connection, with the requests of all others on it, for one field that cannot be (a name in capitals, a method that is none, a control
//! byte in a value), where RFC 9113, section 8.1.1, asks for the end of one stream; and it lets pass what makes a message malformed (a
//! `content-length` without a digit, pseudo-fields of requests in an answer). `sieve` finds the header blocks among the bytes of a socket, `fields`
//! reads them, with `huffman`, and marks a malformed one so that `h2` resets its stream. All else is left as it is.

mod fields;
mod huffman;
mod sieve;

pub(crate) use fields::Side;
pub(crate) use sieve::{Breach, Sieve};

//! The PROXY protocol, versions 1 and 2: a few bytes before all others say for whom a connection speaks.
//!
//! The law is HAProxy's specification, "The PROXY protocol, versions 1 & 2" (`doc/proxy-protocol.txt`); sections are cited where they
//! decide. [`parse`] and [`write()`] are functions of bytes; [`receive`] reads from a stream exactly the header and no byte more. Whom to
//! believe is decided by the caller: a header proves nothing.

mod header;
mod receive;
mod v1;
mod v2;

pub use header::{Announced, HEADER_MAX, Header, HeaderFault, parse, write};
pub use receive::{ReceiveError, receive};

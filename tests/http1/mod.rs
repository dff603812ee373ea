//! One message, one reading: what an intermediary owes that an HTTP library does not do for it.
//!
//! Raw bytes on the side that misbehaves. A name that begins with u and a number is about the side of the endpoint, one with d about that of
//! the client.

mod authentication;
mod endpoint;
mod gone;
mod hosts;
mod requests;
mod responses;
mod smuggling;

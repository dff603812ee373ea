//! One message, one reading: what an intermediary owes that an HTTP library does not do for it.
//!
//! The rows of `HTTP.md` (U: towards the endpoint, D: towards the client), each with raw bytes on the side that misbehaves.

mod endpoint;
mod gone;
mod hosts;
mod requests;
mod responses;
mod smuggling;

//! Asks endpoints how they are, on the control thread.
//!
//! A [`Checker`] keeps one prober for each endpoint that the configuration wants probed, and one resolver for each host
//! name. What they find meets the rest of the house in the flags of `balance::Endpoint`: `Unhealthy` and `Unknown` are the
//! probes' voice, `NoAddress` the resolver's. Every worker reads them before its next pick.
//!
//! Never runs on a worker, never touches a request, and clears nobody else's flag.

mod checker;
mod probe;
mod prober;
mod record;
mod resolver;
mod rhythm;
mod status;
#[cfg(test)]
mod tests;
mod threshold;

pub use checker::{Checker, FIRST_PROBES_MAX, ProbeTarget, RESOLUTIONS_MAX};
pub use status::EndpointStatus;
pub use threshold::Verdict;

//! Which endpoint gets the next request: pure, no I/O, clock and chance passed in.
//!
//! An [`EndpointSet`] is built with the snapshot, on the control thread; each worker holds a [`Picker`] over it. The two
//! meet the rest of the house in [`Endpoint`]: whoever judges an endpoint sets a [`Flag`], which moves the
//! [`Generation`], and every picker looks again before its next choice.

mod alias;
mod eligible;
mod endpoint;
mod endpoints;
mod generation;
mod hash;
mod ip_hash;
mod least_connections;
mod maglev;
mod picker;
mod power_of_two;
mod random;
mod rng;
mod rotation;
mod round_robin;
mod sampler;
mod stride;

pub use endpoint::{Endpoint, Flag, Flags, InFlight};
pub use endpoints::{EndpointSet, Member};
pub use generation::Generation;
pub use hash::HashKey;
pub use picker::Picker;
pub use rng::Rng;

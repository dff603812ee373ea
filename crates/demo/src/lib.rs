//! Three built-in endpoints, a gentle load and a live picture, for a first look on a bare machine.
//!
//! The binary starts the [`Fleet`], writes [`Fleet::config_toml`] into a file, runs Evenkeel on that file as it would on any
//! other, and calls [`run`]. From here on the demo is an outsider like any client and any Prometheus: it sends requests to
//! the listener, reads `/metrics` of the admin listener, and draws nothing that was not counted. It never looks inside.

mod endpoint;
mod fleet;
mod histogram;
mod ledger;
mod load;
mod picture;
mod run;
mod scrape;
mod temper;

pub use fleet::{Fleet, Member};
pub use load::{CLIENTS, Load, REQUESTS_PER_SECOND};
pub use run::{Options, Summary, run};

//! The configuration as the workers see it: built and frozen.

mod build;
mod parts;
mod scrape;

pub use build::BuildError;
pub use parts::{EndpointPart, ListenerPart, Snapshot, UpstreamPart};

//! The configuration as the workers see it: built and frozen.

mod build;
mod failures;
mod parts;
mod scrape;
mod tcp;

pub use build::BuildError;
pub(crate) use failures::Blamed;
pub(crate) use parts::ListenerNumber;
pub use parts::{EndpointPart, ListenerPart, Snapshot, UpstreamPart};
pub(crate) use tcp::{TcpPart, TcpTarget};

//! The way of a request: from a client's connection over a route to an endpoint, and back.
//!
//! Start reading at `request/handle.rs`. A worker is one thread with its own sockets, pools and counters; nothing on the path
//! of a request is `Send`, and no worker takes a lock. This crate does not know that health probes exist: they meet in the flags
//! of [`evenkeel_balance::Endpoint`].

mod body;
mod certificates;
mod codec;
mod connection;
mod error;
mod filter;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http2;
mod malformed;
mod proxy;
mod request;
mod route;
mod snapshot;
mod upstream;
mod worker;

pub use body::{Body, BodyError};
pub use certificates::{CertificatesReloaded, TlsOwner};
pub use error::{MalformedRequest, MalformedResponse, ProxyError};
pub use filter::{CustomFilter, Flow};
pub use malformed::{Head, LastErrors, Malformed};
pub use proxy::{Builder, Emptied, Layered, Prepared, Proxy, PublishError, Served};
pub use request::ProxyService;
pub use snapshot::{BuildError, EndpointPart, ListenerPart, Snapshot, UpstreamPart};

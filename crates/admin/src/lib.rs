//! What an operator sees and may press: metrics, readiness, state and reload over HTTP.
//!
//! Runs on the control thread; the binary implements [`Operations`] and hands over a bound socket. This crate knows HTTP
//! and nothing of what it shows: it never touches a worker, a file or a probe itself.

mod answer;
mod ask;
mod browser;
mod operations;
mod serve;
#[cfg(test)]
mod tests;
mod view;

pub use ask::ask_ready;
pub use operations::{Operations, Pending};
pub use serve::{CONNECTION_TIME_MAX, CONNECTIONS_MAX, HEAD_TIMEOUT, Serving, Socket, serve};
pub use view::{
    ConfigView, EndpointState, EndpointView, HeadView, LastErrorsView, LastReload, MalformedView, ReloadView,
    UpstreamView,
};

//! What the rest of the house does for an operator.
//!
//! Implemented by the binary, the only room that sees everything; called from `answer`.

use crate::{ConfigView, LastErrorsView, ReloadView, UpstreamView};
use std::pin::Pin;

/// Something that will be done. It owns what it needs, so that it ends even when whoever asked has gone.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What an operator may ask for.
///
/// [`metrics`](Self::metrics), [`upstreams`](Self::upstreams), [`config`](Self::config) and [`last_errors`](Self::last_errors) are
/// called on a blocking thread and may take their time; [`ready`](Self::ready) and [`reload`](Self::reload) are called on the control
/// thread and return at once.
pub trait Operations: Send + Sync + 'static {
    /// Every metric, in the text format of Prometheus (version 0.0.4).
    fn metrics(&self) -> String;

    /// Whether new traffic is welcome.
    ///
    /// # Errors
    /// Why it is not, in a few words without a line break: "draining".
    fn ready(&self) -> Result<(), String>;

    /// Every upstream with the state of each endpoint.
    fn upstreams(&self) -> Vec<UpstreamView>;

    /// The configuration that runs, and how the last attempt to change it went.
    fn config(&self) -> ConfigView;

    /// The last messages that broke HTTP.
    fn last_errors(&self) -> LastErrorsView;

    /// Reads the file again, as after a change. The error is what is wrong with the file, for people, lines and all.
    fn reload(&self) -> Pending<Result<ReloadView, String>>;
}

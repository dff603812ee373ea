//! Asks whether a connection can be made.

use super::Failure;
use evenkeel_model::Probe;
use evenkeel_net::{ConnectError, Stream, Target, connect_port};

/// A connection to where the probe asks; closing it ends the question. The caller's patience stands around it, and the limit
/// given here shares the time out between the addresses of a name.
pub(super) async fn connect(target: &Target, probe: &Probe) -> Result<Stream, Failure> {
    connect_port(target, probe.port, probe.timeout).await.map_err(|error| match error {
        ConnectError::TimedOut { .. } => Failure::NoConnection { limit: probe.timeout },
        other => Failure::Connect(other),
    })
}

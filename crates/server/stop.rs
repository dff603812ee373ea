//! Ends in peace: says that we are going, lets what runs finish, and has a deadline.

use crate::control::{self, Control};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How often we look whether all connections have ended.
const LOOK: Duration = Duration::from_millis(20);

/// How long the access log may take to write what it holds.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// `/readyz` says no; the listeners stay open for the grace, so that whoever balances over us can notice; then no new connections, and
/// what runs ends with its request; at the deadline it is cut. A second signal cuts at once.
pub(crate) async fn drain(mut control: Control) {
    control::notify(&[sd_notify::NotifyState::Stopping]);
    let state = control.state.clone();
    let drain = state.proxy.snapshot().config().drain;
    state.draining.store(true, Relaxed);
    state.proxy.announce_end();
    tracing::info!(
        connections = state.proxy.connections(),
        "stopping: {:?} of grace, then {:?} at most",
        drain.grace,
        drain.deadline
    );
    let peace = async {
        sleep(drain.grace).await;
        let mut queues = state.proxy.end();
        let deadline = Instant::now() + drain.deadline;
        loop {
            sleep(LOOK).await;
            if queues.is_over() && state.proxy.connections() == 0 {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
        }
    };
    tokio::select! {
        done = peace => if !done {
            tracing::warn!(connections = state.proxy.connections(), "the deadline is over; what still runs is cut");
        },
        () = control.signals.stop() => tracing::warn!("told again: stopping at once"),
    }
    let Control { admin, .. } = control;
    drop(admin);
    // Ends the workers, and with them their ends of the access log.
    state.proxy.stop();
    let log = state.access_log.clone();
    let written = timeout(LOG_PATIENCE, tokio::task::spawn_blocking(move || log.stop(LOG_PATIENCE))).await;
    if !matches!(written, Ok(Ok(true))) {
        tracing::warn!("some lines of the access log were lost");
    }
    tracing::info!("stopped");
}

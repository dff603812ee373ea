//! The control thread: waits for changes, signals and the admin listener, one at a time.

use crate::{
    admin::Admin,
    certificates,
    reload::{self, Trigger},
    state::{ReloadRequest, State},
    stop,
};
use evenkeel_config::{Change, Watch};
use evenkeel_telemetry::logging::Logging;
use sd_notify::NotifyState;
use std::{io, num::NonZeroUsize, path::PathBuf, sync::Arc};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// Everything that the control thread holds.
pub(crate) struct Control {
    pub(crate) path: PathBuf,
    pub(crate) state: Arc<State>,
    pub(crate) watch: Watch,
    pub(crate) logging: Logging,
    pub(crate) admin: Admin,
    pub(crate) signals: Signals,
    pub(crate) reload_requests: mpsc::Receiver<ReloadRequest>,
    /// `workers` as it was at start.
    pub(crate) workers: Option<NonZeroUsize>,
}

/// The signals that mean something to us.
pub(crate) struct Signals {
    pub(crate) terminate: Signal,
    pub(crate) interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
}

impl Signals {
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for TERM or INT.
    pub(crate) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Control {
    /// Serves until told to stop, or until `end` is over; then drains.
    pub(crate) async fn run(mut self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                change = self.watch.changed() => match change {
                    Change::Configuration => self.reload(Trigger::File).await,
                    Change::Named => certificates::reload(&self).await,
                },
                _ = self.signals.hangup.recv() => self.reload(Trigger::Signal).await,
                Some(request) = self.reload_requests.recv() => self.reload(Trigger::Api(request)).await,
                _ = self.signals.reopen.recv() => {
                    self.state.access_log.reopen();
                    tracing::info!("access log opened again");
                }
                _ = self.signals.terminate.recv() => break,
                _ = self.signals.interrupt.recv() => break,
                () = &mut end => break,
            }
        }
        stop::drain(self).await;
    }

    async fn reload(&mut self, trigger: Trigger) {
        // `Type=notify-reload` wants to know when the reload began (systemd.service(5)).
        let begun = NotifyState::monotonic_usec_now().ok();
        notify(&[Some(NotifyState::Reloading), begun].into_iter().flatten().collect::<Vec<_>>());
        reload::reload(self, trigger).await;
        notify(&[NotifyState::Ready]);
    }
}

/// Tells a service manager how we are (sd_notify(3)); nothing happens without one.
pub(crate) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager cannot be told {states:?}: {error}");
    }
}

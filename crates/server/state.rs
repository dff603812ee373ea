//! What the admin listener is asked about: shared between the control thread, which writes, and whoever answers.

use crate::{REVISION, VERSION};
use evenkeel_admin::{
    ConfigView, EndpointState, EndpointView, HeadView, LastErrorsView, LastReload, MalformedView, Operations, Pending,
    ReloadView, UpstreamView,
};
use evenkeel_balance::{Endpoint, Flag};
use evenkeel_health::{Checker, EndpointStatus};
use evenkeel_model::{Address, UpstreamName};
use evenkeel_proxy::{Malformed, Proxy};
use evenkeel_telemetry::{Exposition, access_log::AccessLog, process::Process};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::sync::{mpsc, oneshot};

/// Somebody asks for the file to be read again, and waits for what comes of it.
pub(crate) type ReloadRequest = oneshot::Sender<Result<ReloadView, String>>;

/// The running whole, as it is looked at.
pub(crate) struct State {
    pub(crate) proxy: Proxy,
    pub(crate) checker: Checker,
    pub(crate) access_log: Arc<AccessLog>,
    pub(crate) process: Process,
    pub(crate) draining: AtomicBool,
    view: Mutex<ConfigView>,
    reloads: mpsc::Sender<ReloadRequest>,
}

impl State {
    pub(crate) fn new(
        proxy: Proxy,
        checker: Checker,
        access_log: Arc<AccessLog>,
        view: ConfigView,
        reloads: mpsc::Sender<ReloadRequest>,
    ) -> Self {
        let process = Process::new(VERSION, REVISION);
        process.config_started(&view.hash, view.loaded_at);
        let draining = AtomicBool::new(false);
        Self { proxy, checker, access_log, process, draining, view: Mutex::new(view), reloads }
    }

    pub(crate) fn view(&self) -> MutexGuard<'_, ConfigView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how an attempt to reload ended.
    pub(crate) fn reloaded(&self, last: LastReload) {
        self.view().last_reload = Some(last);
    }
}

impl Operations for State {
    fn metrics(&self) -> String {
        let mut page = Exposition::new();
        self.proxy.scrape(&mut page);
        self.checker.scrape(&mut page);
        self.access_log.scrape(&mut page);
        page.finish() + &self.process.render()
    }

    fn ready(&self) -> Result<(), String> {
        if self.draining.load(Relaxed) { Err("draining".to_owned()) } else { Ok(()) }
    }

    fn upstreams(&self) -> Vec<UpstreamView> {
        let statuses: HashMap<(UpstreamName, Address), EndpointStatus> =
            self.checker.statuses().into_iter().map(|s| ((s.upstream.clone(), s.address.clone()), s)).collect();
        let snapshot = self.proxy.snapshot();
        let upstream = |part: &Arc<evenkeel_proxy::UpstreamPart>| {
            let settings = &part.settings;
            let name = &settings.name;
            let endpoint = |(part, settings): (&Arc<evenkeel_proxy::EndpointPart>, &evenkeel_model::Endpoint)| {
                let status = statuses.get(&(name.clone(), settings.address.clone()));
                EndpointView {
                    address: settings.address.to_string(),
                    weight: settings.weight.get(),
                    state: state(&part.endpoint),
                    since: status.filter(|s| s.probed && s.last_probe.is_some()).map(|s| s.since),
                    in_flight: part.endpoint.in_flight(),
                    last_error: status.and_then(|s| s.error.clone()),
                }
            };
            UpstreamView {
                name: settings.name.to_string(),
                balance: settings.balance.as_str().to_owned(),
                endpoints: part.endpoints.iter().zip(&settings.endpoints).map(endpoint).collect(),
            }
        };
        snapshot.upstreams().iter().map(upstream).collect()
    }

    fn config(&self) -> ConfigView {
        self.view().clone()
    }

    fn last_errors(&self) -> LastErrorsView {
        let last = self.proxy.last_errors();
        let views = |messages: Vec<Malformed>| messages.into_iter().map(malformed).collect();
        LastErrorsView { requests: views(last.requests), responses: views(last.responses), missed: last.missed }
    }

    fn reload(&self) -> Pending<Result<ReloadView, String>> {
        let (answer, answered) = oneshot::channel();
        let reloads = self.reloads.clone();
        Box::pin(async move {
            let stopping = |_| "the process is stopping".to_owned();
            reloads.send(answer).await.map_err(|_| "the process is stopping".to_owned())?;
            answered.await.map_err(stopping)?
        })
    }
}

fn malformed(message: Malformed) -> MalformedView {
    let (upstream, endpoint) = message.sender.unzip();
    let head = |head: evenkeel_proxy::Head| HeadView {
        bytes: head.bytes.escape_ascii().to_string(),
        skipped: head.skipped,
        offset: head.offset,
        as_received: head.as_received,
    };
    MalformedView {
        time: message.at,
        listener: message.listener,
        client: message.client.map(|client| client.to_string()),
        upstream,
        endpoint,
        reason: message.reason.as_str().to_owned(),
        cause: message.cause,
        head: message.head.map(head),
    }
}

fn state(endpoint: &Endpoint) -> EndpointState {
    let flags = endpoint.flags();
    if flags.draining() {
        EndpointState::Draining
    } else if flags.has(Flag::NoAddress) {
        EndpointState::Unresolved
    } else if flags.has(Flag::Ejected) {
        EndpointState::Ejected
    } else if flags.has(Flag::Unhealthy) {
        EndpointState::Unhealthy
    } else if flags.has(Flag::Unknown) {
        EndpointState::Unknown
    } else {
        EndpointState::Healthy
    }
}

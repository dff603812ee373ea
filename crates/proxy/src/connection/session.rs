//! What we keep of one session of a tcp listener, from accept to its end.
//!
//! As `request/exchange` is for a request, so is this for a connection that is passed on: dropped exactly once, on every path, and
//! dropping it counts, logs and gives back. It holds no snapshot.

use super::client::ClientConnection;
use crate::{
    snapshot::{Blamed, EndpointPart, TcpTarget},
    worker::LocalEndpoint,
};
use evenkeel_balance::InFlight;
use evenkeel_model::UpstreamName;
use evenkeel_net::Carried;
use evenkeel_telemetry::{
    PerWorker, Reason, SessionCells, SessionResult,
    access_log::{Answer, Phases, Record, Request, Target},
};
use std::{
    fmt::Display,
    rc::Rc,
    sync::Arc,
    thread::panicking,
    time::{Duration, Instant, SystemTime},
};

/// One session.
pub(crate) struct Session {
    connection: Rc<ClientConnection>,
    cells: Arc<PerWorker<SessionCells>>,
    time: SystemTime,
    begun: Instant,
    /// The name that its TLS client has asked for.
    name: Option<String>,
    upstream: Option<UpstreamName>,
    endpoint: Option<Arc<EndpointPart>>,
    in_flight: Option<InFlight>,
    attempts: u32,
    connected: Option<Duration>,
    carried: Carried,
    result: Option<SessionResult>,
}

impl Session {
    /// It is counted in `nowhere` until it leads somewhere.
    pub(super) fn begin(connection: &Rc<ClientConnection>, nowhere: &Arc<PerWorker<SessionCells>>) -> Self {
        Self {
            connection: Rc::clone(connection),
            cells: Arc::clone(nowhere),
            time: SystemTime::now(),
            begun: Instant::now(),
            name: None,
            upstream: None,
            endpoint: None,
            in_flight: None,
            attempts: 0,
            connected: None,
            carried: Carried::default(),
            result: None,
        }
    }

    pub(super) fn asks_for(&mut self, name: String) {
        self.name = Some(name);
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn leads_to(&mut self, target: &TcpTarget) {
        self.cells = Arc::clone(&target.cells);
        self.upstream = Some(target.name.clone());
    }

    /// An attempt at this endpoint begins; the one before it is over.
    pub(crate) fn attempt_begins(&mut self, endpoint: &LocalEndpoint, in_flight: InFlight) {
        self.attempts += 1;
        self.in_flight = Some(in_flight);
        self.endpoint = Some(Arc::clone(&endpoint.part));
    }

    pub(super) fn connected(&mut self) {
        self.connected = Some(self.begun.elapsed());
    }

    pub(super) fn carried(&mut self, carried: Carried) {
        self.carried = carried;
    }

    pub(super) fn ends(&mut self, result: SessionResult) {
        self.result = Some(result);
        if result == SessionResult::UpstreamReset {
            self.tell_failure(Reason::UpstreamReset, &"it failed in the middle of a session");
        }
    }

    /// Tells the operator what the endpoint of the last attempt did wrong. A session has no number.
    pub(crate) fn tell_failure(&self, reason: Reason, what: &dyn Display) {
        if let Some(endpoint) = &self.endpoint {
            let upstream = self.upstream.as_ref().map_or("", UpstreamName::as_str);
            let blamed = Blamed { upstream, endpoint: &endpoint.label };
            endpoint.failures.tell(blamed, reason, 0, what, self.connection.worker().timers.now());
        }
    }

    fn log(&self, result: SessionResult) {
        let reason = if result == SessionResult::Complete { "" } else { result.as_str() };
        let name = self.name.as_deref().unwrap_or_default();
        self.connection.worker().log().write(&Record {
            time: self.time,
            listener: self.connection.listener().part.name.as_str(),
            client: self.connection.peer().ip(),
            request: Request { host: name.as_bytes(), bytes: self.carried.forth, ..Request::default() },
            answer: Answer { reason, fault: result.fault(), bytes: self.carried.back, ..Answer::default() },
            target: Target {
                route: "",
                upstream: self.upstream.as_ref().map_or("", UpstreamName::as_str),
                endpoint: self.endpoint.as_ref().map_or("", |endpoint| &endpoint.label),
                attempts: self.attempts,
            },
            phases: Phases { connect: self.connected, total: self.begun.elapsed(), ..Phases::default() },
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let worker = self.connection.worker();
        // Without a result it was cut: by a bug of ours, or with its worker.
        let cut = || if panicking() { SessionResult::Internal } else { SessionResult::Stopped };
        let result = self.result.unwrap_or_else(cut);
        self.cells.cell(worker.id).results(result).inc();
        if worker.logs() {
            self.log(result);
        }
    }
}

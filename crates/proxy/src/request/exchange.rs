//! What we keep of one request, from its head to the last byte of its answer.
//!
//! It is dropped exactly once, on every path: at the end of the body, when the client goes away (hyper then drops the
//! handler's future or the body), when something panics. Dropping it counts, logs and gives back.

use super::{chain, record::Said};
use crate::{
    body::{Body, Upload},
    connection::ClientConnection,
    error::{MalformedRequest, ProxyError},
    worker::{LocalEndpoint, LocalSnapshot, Worker},
};
use evenkeel_balance::{HashKey, InFlight};
use evenkeel_model::Address;
use evenkeel_telemetry::{CodeClass, MethodLabel, Reason, RouteCells};
use http::{Request, Response, header};
use std::{
    net::IpAddr,
    rc::Rc,
    time::{Duration, Instant},
};

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Not yet; dropped like this, the client left.
    Open,
    /// With its last byte.
    Complete,
    /// Cut by us or by the endpoint.
    Cut(Reason),
}

/// One request and its answer.
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    snapshot: Rc<LocalSnapshot>,
    connection: Option<Rc<ClientConnection>>,
    pub(super) begun: Instant,
    method: MethodLabel,
    pub(super) client: Option<IpAddr>,
    trusts_peer: bool,
    route: Option<u32>,
    endpoint: Option<Rc<LocalEndpoint>>,
    in_flight: Option<InFlight>,
    pub(super) status: u16,
    pub(super) reason: Option<Reason>,
    pub(crate) attempts: u32,
    /// Bytes of the answer's body so far.
    pub(super) sent: u64,
    upload: Option<Upload>,
    pub(super) id: u64,
    /// From the begin: when the last attempt had its connection, and the head of its answer.
    pub(super) connected: Option<Duration>,
    pub(super) head: Option<Duration>,
    pub(super) said: Option<Box<Said>>,
    end: End,
}

impl Exchange {
    pub(crate) fn begin(worker: Rc<Worker>, request: &Request<Body>) -> Self {
        let connection = request.body().connection().cloned();
        if let Some(connection) = &connection {
            connection.request_begins(request.version());
        }
        let snapshot = worker.snapshot();
        let config = snapshot.shared().config();
        let peer = connection.as_ref().and_then(|c| c.peer().ip());
        let trusts_peer = !config.trusted_proxies.is_empty() && peer.is_some_and(|peer| config.trusts(peer));
        let client = if trusts_peer { chain::client(request.headers(), config).or(peer) } else { peer };
        let said = worker.logs().then(|| Box::new(Said::of(request)));
        let method = MethodLabel::from(request.method());
        Self {
            snapshot,
            connection,
            begun: Instant::now(),
            method,
            client,
            trusts_peer,
            route: None,
            endpoint: None,
            in_flight: None,
            status: 0,
            reason: None,
            attempts: 0,
            sent: 0,
            upload: request.body().as_upload().cloned(),
            id: 0,
            connected: None,
            head: None,
            said,
            end: End::Open,
            worker,
        }
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    pub(crate) fn snapshot(&self) -> Rc<LocalSnapshot> {
        Rc::clone(&self.snapshot)
    }

    pub(crate) fn connection(&self) -> Option<&Rc<ClientConnection>> {
        self.connection.as_ref()
    }

    pub(crate) fn upload(&self) -> Option<&Upload> {
        self.upload.as_ref()
    }

    pub(crate) fn trusts_peer(&self) -> bool {
        self.trusts_peer
    }

    pub(crate) fn listener_id(&self) -> u16 {
        self.connection.as_ref().map_or(u16::MAX, |connection| connection.listener().part.id)
    }

    /// What the same client has in common over its requests.
    pub(crate) fn hash_key(&self) -> HashKey {
        self.client.map_or(HashKey(0), HashKey::of_ip)
    }

    /// What is left of the time that this request may take at `upstream`; zero when it is over.
    pub(crate) fn time_left(&self, total: Option<Duration>) -> Option<Duration> {
        total.map(|total| total.saturating_sub(self.begun.elapsed()))
    }

    /// A number by which a person finds the log line. Made only when one is shown.
    pub(crate) fn request_id(&mut self) -> u64 {
        if self.id == 0 {
            self.id = self.worker.random().next_u64();
        }
        self.id
    }

    pub(crate) fn routed(&mut self, route: u32) {
        self.route = Some(route);
        self.cells().in_flight.add(1);
    }

    /// An attempt at this endpoint begins; the one before it is over.
    pub(crate) fn attempt_begins(&mut self, endpoint: &Rc<LocalEndpoint>, in_flight: InFlight) {
        self.attempt_ends(CodeClass::None);
        self.attempts += 1;
        self.in_flight = Some(in_flight);
        self.endpoint = Some(Rc::clone(endpoint));
    }

    fn attempt_ends(&mut self, class: CodeClass) {
        if self.in_flight.take().is_some()
            && let Some(endpoint) = &self.endpoint
        {
            endpoint.part.cells.cell(self.worker.id).requests(class).inc();
        }
    }

    /// The connection for this attempt is there.
    pub(crate) fn connected(&mut self) {
        if self.said.is_some() {
            self.connected = Some(self.begun.elapsed());
        }
    }

    /// The head of an endpoint's answer is there, `after` the attempt began.
    pub(crate) fn head_arrived(&mut self, at: Instant) {
        self.head = Some(at.duration_since(self.begun));
    }

    pub(crate) fn endpoint_address(&self) -> Address {
        let unknown = || Address::Unix(std::path::Path::new("/").into());
        self.endpoint.as_ref().map_or_else(unknown, |endpoint| endpoint.part.target.address().clone())
    }

    /// Whether the client is told in `Proxy-Status` why an answer is ours.
    pub(super) fn shows_status(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.listener().proxy_status.get())
    }

    pub(super) fn answered_by_filter(&mut self) {
        self.reason = Some(Reason::Filter);
    }

    /// We answer ourselves.
    pub(crate) fn failed(&mut self, error: &ProxyError) {
        self.reason = Some(error.reason());
        self.attempt_ends(CodeClass::None);
        if let ProxyError::MalformedRequest(MalformedRequest::Unparsable | MalformedRequest::Body) = error
            && let Some(connection) = &self.connection
        {
            connection.fault_logged();
        }
        if self.said.is_some() || tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!(reason = error.reason().as_str(), "{error}");
        }
    }

    /// From here on the answer is the business of its body.
    pub(crate) fn answered(mut self: Box<Self>, response: Response<Body>) -> Response<Body> {
        self.status = response.status().as_u16();
        let closing = self.connection.as_ref().is_some_and(|connection| connection.closing());
        let mut response = response.map(|body| body.with_exchange(self));
        if closing {
            response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
        }
        response
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    pub(crate) fn ends(&mut self, end: End) {
        if self.end == End::Open {
            self.end = end;
        }
    }

    /// The answer was cut and only a reset can show it: it has neither a length nor chunks.
    pub(crate) fn abort_connection(&self) {
        if let Some(connection) = &self.connection {
            connection.abort_on_close();
        }
    }

    fn cells(&self) -> &RouteCells {
        let shared = self.snapshot.shared();
        let cells = self.route.map_or(&shared.no_route, |route| &shared.routes[route as usize].cells);
        cells.cell(self.worker.id)
    }

    pub(super) fn route_name(&self) -> &str {
        self.route.map_or("", |route| self.snapshot.shared().routes[route as usize].name.as_str())
    }

    pub(crate) fn upstream_name(&self) -> &str {
        let upstream = self.route.and_then(|route| self.snapshot.upstream_of(route));
        upstream.map_or("", |upstream| upstream.part.settings.name.as_str())
    }

    pub(super) fn endpoint_label(&self) -> &str {
        self.endpoint.as_ref().map_or("", |endpoint| &endpoint.part.label)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        match self.end {
            End::Complete => {}
            // Cut by us because the client took nothing, or by the client.
            End::Open => {
                let stalled = self.connection.as_ref().is_some_and(|connection| connection.gave_up());
                self.reason = Some(if stalled { Reason::RequestTimeout } else { Reason::ClientClosed });
            }
            End::Cut(reason) => self.reason = Some(reason),
        }
        let answered = if self.status == 0 { CodeClass::None } else { CodeClass::of(self.status) };
        self.attempt_ends(answered);
        if self.status == 0 {
            // nginx's code for a client that left before there was an answer (ngx_http_request.h).
            self.status = 499;
        }
        let took = self.begun.elapsed();
        let cells = self.cells();
        cells.requests.inc(self.listener_id(), self.method, self.status);
        cells.duration.observe(took);
        if self.route.is_some() {
            cells.in_flight.add(-1);
        }
        if let Some(reason) = self.reason {
            cells.local(reason).inc();
        }
        if let Some(said) = self.said.take() {
            super::record::write(self, &said, took);
        }
        if let Some(connection) = &self.connection {
            connection.request_ends();
        }
    }
}

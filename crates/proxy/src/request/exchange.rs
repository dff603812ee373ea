//! What we keep of one request, from its head to the last byte of its answer.
//!
//! It is dropped exactly once, on every path: at the end of the body, when the client goes away (hyper then drops the
//! handler's future or the body), when something panics. Dropping it counts, logs and gives back.

use super::{chain, forwarded::lists, grpc, record::Said};
use crate::{
    body::{Body, Upload},
    connection::ClientConnection,
    error::{MalformedRequest, ProxyError},
    malformed,
    snapshot::{Blamed, EndpointPart, ListenerNumber},
    worker::{LocalEndpoint, LocalRoute, LocalSnapshot, Worker},
};
use evenkeel_balance::{HashKey, InFlight};
use evenkeel_model::{Address, Filter, RouteName, UpgradeToken, UpstreamName};
use evenkeel_telemetry::{CodeClass, Fault, MethodLabel, Reason, RouteCells};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use std::{
    fmt::Display,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    thread::panicking,
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

/// The endpoint of the last attempt.
enum Endpoint {
    /// With its pool, to which the connection returns.
    Pooled(Rc<LocalEndpoint>),
    /// By itself: of a tunnel, whose connection never returns. A pool that a reload removes would stay for as long as it.
    Alone(Arc<EndpointPart>),
}

/// One request and its answer.
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    /// Until the request leaves for its endpoint, or has its answer.
    snapshot: Option<Rc<LocalSnapshot>>,
    route: Rc<LocalRoute>,
    connection: Option<Rc<ClientConnection>>,
    pub(super) begun: Instant,
    method: MethodLabel,
    pub(super) client: Option<IpAddr>,
    trusts_peer: bool,
    endpoint: Option<Endpoint>,
    in_flight: Option<InFlight>,
    pub(super) status: u16,
    pub(super) reason: Option<Reason>,
    pub(crate) attempts: u32,
    /// Bytes of the answer's body so far.
    pub(super) sent: u64,
    upload: Option<Upload>,
    /// The protocol to which the client wants to switch.
    upgrade: Option<UpgradeToken>,
    connection_auth: bool,
    /// Present: it is an extended CONNECT of HTTP/2, and its endpoint must answer this to our key.
    extended: Option<Box<HeaderValue>>,
    /// Present: it is a call of gRPC.
    pub(super) call: Option<grpc::Call>,
    /// Bytes that a tunnel has carried from the client.
    carried: u64,
    pub(super) id: u64,
    /// From the begin: when the last attempt had its connection, and the head of its answer.
    pub(super) connected: Option<Duration>,
    pub(super) head: Option<Duration>,
    pub(super) said: Option<Box<Said>>,
    end: End,
}

impl Exchange {
    pub(crate) fn begin(worker: &Rc<Worker>, request: &Request<Body>) -> Box<Self> {
        let connection = request.body().connection().cloned();
        let snapshot = worker.snapshot();
        let config = snapshot.shared().config();
        let peer = connection.as_ref().and_then(|c| c.peer().ip());
        let trusts_peer = !config.trusted_proxies.is_empty() && peer.is_some_and(|peer| config.trusts(peer));
        let client = if trusts_peer { chain::client(request.headers(), config).or(peer) } else { peer };
        let said = worker.logs().then(|| Box::new(Said::of(request)));
        let method = MethodLabel::from(request.method());
        Box::new(Self {
            route: Rc::clone(snapshot.no_route()),
            snapshot: Some(snapshot),
            connection,
            begun: Instant::now(),
            method,
            client,
            trusts_peer,
            endpoint: None,
            in_flight: None,
            status: 0,
            reason: None,
            attempts: 0,
            sent: 0,
            upload: request.body().as_upload().cloned(),
            upgrade: None,
            connection_auth: false,
            extended: None,
            call: if request.version() == Version::HTTP_2 { grpc::Call::of(request.headers()) } else { None },
            carried: 0,
            id: 0,
            connected: None,
            head: None,
            said,
            end: End::Open,
            worker: Rc::clone(worker),
        })
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// # Panics
    /// Once the request has left.
    pub(crate) fn snapshot(&self) -> Rc<LocalSnapshot> {
        Rc::clone(self.snapshot.as_ref().expect("who looks into the snapshot does so before the request leaves"))
    }

    /// Lets go of the snapshot, and with it of everything that a reload removes: an upload, an answer and what is waited for in between may
    /// outlive a thousand reloads.
    pub(super) fn leaves(&mut self) {
        self.snapshot = None;
    }

    pub(crate) fn connection(&self) -> Option<&Rc<ClientConnection>> {
        self.connection.as_ref()
    }

    /// Whether the client speaks HTTP/2: then a fault ends its stream and not its connection.
    pub(crate) fn is_http2(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is_http2())
    }

    /// What the client speaks.
    pub(crate) fn client_version(&self) -> Version {
        match &self.connection {
            Some(connection) if connection.is_http2() => Version::HTTP_2,
            Some(connection) if connection.is_http10() => Version::HTTP_10,
            _ => Version::HTTP_11,
        }
    }

    /// When its head was there.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    pub(crate) fn upload(&self) -> Option<&Upload> {
        self.upload.as_ref()
    }

    /// Whether the client is waited for: the endpoint has been sent all that came of the request.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.endpoint_since().is_none())
    }

    /// Since when it is the endpoint's turn, in milliseconds of the worker's clock; now, while its client is waited for.
    pub(crate) fn endpoint_since(&self) -> u64 {
        let now = || self.worker.timers.now();
        self.upload.as_ref().map_or(0, |upload| upload.endpoint_since().unwrap_or_else(now))
    }

    /// Whether a request with an `Idempotency-Key` may be sent again on this route.
    pub(crate) fn trusts_idempotency_key(&self) -> bool {
        self.route.retry_idempotency_key
    }

    /// Filters of its route that see answers.
    pub(super) fn response_filters(&self) -> &[Filter] {
        &self.route.response_filters
    }

    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    pub(crate) fn trusts_peer(&self) -> bool {
        self.trusts_peer
    }

    /// By which listener it came, if by any.
    pub(crate) fn listener(&self) -> Option<ListenerNumber> {
        self.connection.as_ref().map(|connection| connection.listener().part.number)
    }

    /// What the same client has in common over its requests.
    pub(crate) fn hash_key(&self) -> HashKey {
        self.client.map_or(HashKey(0), HashKey::of_ip)
    }

    /// What is left of the time that this request may take: `total` of its upstream, or its own deadline if that is earlier; zero when it
    /// is over.
    pub(crate) fn time_left(&self, total: Option<Duration>) -> Option<Duration> {
        let deadline = self.call.and_then(|call| call.timeout);
        let limit = total.into_iter().chain(deadline).min();
        limit.map(|limit| limit.saturating_sub(self.begun.elapsed()))
    }

    /// Whether it is a call of gRPC.
    pub(crate) fn is_call(&self) -> bool {
        self.call.is_some()
    }

    /// What an error of ours is to a call of gRPC; `None`: it is none.
    pub(super) fn grpc_status(&self, error: &ProxyError) -> Option<u8> {
        let timeout = self.call?.timeout;
        Some(grpc::status(error, timeout.is_some_and(|timeout| self.begun.elapsed() >= timeout)))
    }

    /// A number by which a person finds the log line. Made only when one is shown.
    pub(crate) fn request_id(&mut self) -> u64 {
        if self.id == 0 {
            self.id = self.worker.random().next_u64();
        }
        self.id
    }

    pub(crate) fn routed(&mut self, route: &Rc<LocalRoute>) {
        self.route = Rc::clone(route);
        self.cells().in_flight.add(1);
    }

    /// An attempt at this endpoint begins; the one before it is over.
    pub(crate) fn attempt_begins(&mut self, endpoint: &Rc<LocalEndpoint>, in_flight: InFlight) {
        self.attempt_ends(CodeClass::None);
        self.attempts += 1;
        self.in_flight = Some(in_flight);
        self.endpoint = Some(Endpoint::Pooled(Rc::clone(endpoint)));
    }

    fn attempt_ends(&mut self, class: CodeClass) {
        if self.in_flight.take().is_some()
            && let Some(endpoint) = self.endpoint()
        {
            endpoint.cells.cell(self.worker.id).requests(class).inc();
        }
    }

    fn endpoint(&self) -> Option<&EndpointPart> {
        Some(match self.endpoint.as_ref()? {
            Endpoint::Pooled(endpoint) => &endpoint.part,
            Endpoint::Alone(part) => part,
        })
    }

    fn is_tunnel(&self) -> bool {
        matches!(self.endpoint, Some(Endpoint::Alone(_)))
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
        self.endpoint().map_or_else(unknown, |endpoint| endpoint.target.address().clone())
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
        if matches!(error, ProxyError::MalformedRequest(MalformedRequest::Body)) {
            malformed::request_body(self);
        }
        if let (ProxyError::ClientClosed, Some(connection)) = (error, &self.connection) {
            connection.client_is_gone();
        }
        if self.said.is_some() || tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!(reason = error.reason().as_str(), "{error}");
        }
    }

    /// Tells the operator what the endpoint of the last attempt did wrong, if this is its fault.
    pub(crate) fn tell_failure(&mut self, reason: Reason, what: &dyn Display) {
        if reason.fault() != Fault::Upstream {
            return;
        }
        let (id, now) = (self.request_id(), self.worker.timers.now());
        if let Some(endpoint) = self.endpoint() {
            let blamed = Blamed { upstream: self.upstream_name(), endpoint: &endpoint.label };
            endpoint.failures.tell(blamed, reason, id, what, now);
        }
    }

    /// From here on the answer is the business of its body.
    pub(crate) fn answered(mut self: Box<Self>, response: &mut Response<Body>) {
        // Of a request that has not left, such as one that a filter answers.
        self.snapshot = None;
        self.status = response.status().as_u16();
        let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let closing = !switching
            && self.connection.as_ref().is_some_and(|connection| connection.closing() && !connection.is_http2());
        if let Some(call) = &mut self.call
            && response.body().is_end_stream()
        {
            call.ends(response.headers());
        }
        response.body_mut().belongs_to(self);
        let headers = response.headers_mut();
        if closing && !headers.get_all(header::CONNECTION).iter().any(|line| lists(line, "close")) {
            // Beside what a 426 says there.
            headers.append(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// Whether the connection is one that can be switched, and the request has no body that would have to be read first.
    pub(super) fn may_upgrade(&self) -> bool {
        self.connection.is_some() && self.upload.is_none()
    }

    /// Its client authenticates the connection that the request goes by.
    pub(super) fn authenticates_connection(&mut self, does: bool) {
        self.connection_auth = does;
    }

    /// Whether the connection that it goes by must serve its client alone.
    pub(crate) fn has_connection_auth(&self) -> bool {
        self.connection_auth
    }

    pub(super) fn asks_upgrade(&mut self, token: &UpgradeToken) {
        self.upgrade = Some(token.clone());
    }

    /// It is an extended CONNECT, to be asked of an endpoint as an Upgrade that must be agreed to so.
    pub(super) fn extends(&mut self, accept: HeaderValue) {
        self.extended = Some(Box::new(accept));
    }

    /// What an endpoint must answer to our key, if this is an extended CONNECT.
    pub(crate) fn extended(&self) -> Option<&HeaderValue> {
        self.extended.as_deref()
    }

    /// The endpoint speaks nothing that can be switched.
    pub(crate) fn stays_http(&mut self) {
        self.upgrade = None;
    }

    /// The protocol to which the client wants to switch, if it may.
    pub(crate) fn upgrade(&self) -> Option<&UpgradeToken> {
        self.upgrade.as_ref()
    }

    /// Lets go of the pool as well, which nothing returns to.
    pub(crate) fn becomes_tunnel(&mut self) {
        if let Some(Endpoint::Pooled(endpoint)) = &self.endpoint {
            self.endpoint = Some(Endpoint::Alone(Arc::clone(&endpoint.part)));
        }
    }

    /// Bytes that a tunnel has carried so far, from the client and to it.
    pub(crate) fn carried(&mut self, from: u64, to: u64) {
        self.carried = from;
        self.sent = to;
    }

    /// Bytes that came from the client behind the head.
    pub(super) fn received(&self) -> u64 {
        self.upload.as_ref().map_or(self.carried, Upload::received)
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// The answer ends with these.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(call) = &mut self.call {
            call.ends(trailers);
        }
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
        self.route.cells.cell(self.worker.id)
    }

    pub(super) fn route_name(&self) -> &str {
        self.route.name.as_ref().map_or("", RouteName::as_str)
    }

    pub(crate) fn upstream_name(&self) -> &str {
        self.route.upstream.as_ref().map_or("", UpstreamName::as_str)
    }

    pub(crate) fn endpoint_label(&self) -> &str {
        self.endpoint().map_or("", |endpoint| &endpoint.label)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        match self.end {
            End::Complete => {}
            // A bug of ours or of an embedding program ends the connection without an answer.
            End::Open if panicking() => self.reason = Some(Reason::Internal),
            // Cut by us because the client took nothing, or by the client.
            End::Open => {
                let gave_up = self.connection.as_ref().and_then(|connection| connection.gave_up());
                let stops = self.worker.stops().then_some(Reason::Stopped);
                self.reason = Some(stops.or(gave_up).unwrap_or(Reason::ClientClosed));
            }
            End::Cut(reason) => {
                self.reason = Some(reason);
                self.tell_failure(reason, &"what it sent broke off before its end");
            }
        }
        let answered = match self.status {
            0 => CodeClass::None,
            // What the client was told in HTTP/2 was a 200.
            _ if self.is_tunnel() => CodeClass::Informational,
            status => CodeClass::of(status),
        };
        self.attempt_ends(answered);
        if self.status == 0 {
            // 499 is nginx's code for a client that left before there was an answer (ngx_http_request.h).
            self.status = if panicking() { 500 } else { 499 };
        }
        let took = self.begun.elapsed();
        let cells = self.cells();
        let listener = self.listener().unwrap_or(ListenerNumber::NONE);
        cells.requests.inc(listener.get(), self.method, self.status);
        // For how long a tunnel lives says nothing about how long its client waited: that was over with the 101.
        let waited = if self.is_tunnel() { self.head.unwrap_or(took) } else { took };
        cells.duration.observe(waited);
        if self.route.name.is_some() {
            cells.in_flight.add(-1);
        }
        if let Some(reason) = self.reason {
            cells.local(reason).inc();
        }
        if let Some(call) = &self.call {
            cells.grpc(call.class()).inc();
        }
        if let Some(said) = self.said.take() {
            super::record::write(self, &said, took);
        }
    }
}

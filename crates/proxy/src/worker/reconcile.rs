//! A snapshot as one worker holds it: pickers and pools of its own, lent as `Rc`, so that no cache line moves between cores
//! for a request.

use super::Worker;
use crate::{
    snapshot::{Blamed, EndpointPart, ListenerPart, Snapshot, TcpPart, UpstreamPart},
    upstream::Pool,
};
use evenkeel_balance::{Endpoint, Picker, Rng};
use evenkeel_model::{
    ClientTimeouts, Filter, HalfClosedClients, HeaderSenders, ListenerProtocol, Pings, Route, RouteName, UpstreamName,
};
use evenkeel_net::tls::ServerTls;
use evenkeel_telemetry::{PerWorker, Reason, RouteCells};
use http::HeaderName;
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// A snapshot on one worker.
pub(crate) struct LocalSnapshot {
    shared: Arc<Snapshot>,
    upstreams: Box<[Rc<LocalUpstream>]>,
    /// In the order of the file; each made when it is first asked for, so that thousands of them cost a reload nothing.
    routes: Box<[OnceCell<Rc<LocalRoute>>]>,
    no_route: Rc<LocalRoute>,
    announces_clients: bool,
}

/// A route on one worker: what a request needs of it once it has left for its endpoint. A request may outlive a thousand reloads, so it holds
/// this and not the snapshot.
pub(crate) struct LocalRoute {
    /// `None`: it stands for that of requests which have none.
    pub(crate) name: Option<RouteName>,
    pub(crate) upstream: Option<UpstreamName>,
    pub(crate) cells: Arc<PerWorker<RouteCells>>,
    /// Those that see answers.
    pub(crate) response_filters: Box<[Filter]>,
    pub(crate) retry_idempotency_key: bool,
}

/// An upstream on one worker.
pub(crate) struct LocalUpstream {
    pub(crate) part: Arc<UpstreamPart>,
    pub(crate) picker: RefCell<Picker>,
    /// In the order of the upstream's set.
    pub(crate) endpoints: Box<[Rc<LocalEndpoint>]>,
}

/// An endpoint on one worker. It outlives a reload, and with it its idle connections.
pub(crate) struct LocalEndpoint {
    pub(crate) part: Arc<EndpointPart>,
    pub(crate) pool: Pool,
}

/// A listener on one worker. It outlives a reload; its settings are live.
pub(crate) struct LocalListener {
    pub(crate) part: Arc<ListenerPart>,
    pub(crate) timeouts: Cell<ClientTimeouts>,
    pub(crate) protocol: Cell<ListenerProtocol>,
    pub(crate) connection_age_max: Cell<Option<Duration>>,
    pub(crate) pings: Cell<Pings>,
    pub(crate) half_closed: Cell<HalfClosedClients>,
    pub(crate) proxy_status: Cell<bool>,
    /// Who must begin with a PROXY header; it is read before anything else.
    pub(crate) header_senders: RefCell<Option<Rc<HeaderSenders>>>,
    /// For new connections.
    pub(crate) tls: RefCell<Option<ListenerTls>>,
    /// No longer configured: answers carry `Connection: close`.
    pub(crate) closing: Cell<bool>,
    /// And no longer accepting: idle connections end.
    pub(crate) ended: Cell<bool>,
}

/// Where a listener leads that passes connections on as they are, and the snapshot in which it does.
#[derive(Clone)]
pub(crate) struct LocalTcp {
    pub(crate) part: Arc<TcpPart>,
    pub(crate) snapshot: Rc<LocalSnapshot>,
}

/// TLS of a listener.
#[derive(Clone)]
pub(crate) struct ListenerTls {
    pub(crate) server: Arc<ServerTls>,
    /// Where endpoints learn who a client is.
    pub(crate) identity_field: Option<HeaderName>,
}

impl LocalListener {
    /// A listener that is to be configured.
    pub(super) fn new(part: &Arc<ListenerPart>) -> Self {
        Self {
            part: Arc::clone(part),
            timeouts: Cell::default(),
            protocol: Cell::default(),
            connection_age_max: Cell::default(),
            pings: Cell::default(),
            half_closed: Cell::default(),
            proxy_status: Cell::default(),
            header_senders: RefCell::default(),
            tls: RefCell::default(),
            closing: Cell::default(),
            ended: Cell::default(),
        }
    }
}

impl LocalRoute {
    fn new(settings: &Route, cells: &Arc<PerWorker<RouteCells>>) -> Self {
        let sees_answers = |filter: &&Filter| matches!(filter, Filter::ResponseHeader(_) | Filter::Custom(_));
        Self {
            name: Some(settings.name.clone()),
            upstream: settings.upstream.clone(),
            cells: Arc::clone(cells),
            response_filters: settings.filters.iter().filter(sees_answers).cloned().collect(),
            retry_idempotency_key: settings.retry_idempotency_key,
        }
    }

    fn none(cells: &Arc<PerWorker<RouteCells>>) -> Self {
        let cells = Arc::clone(cells);
        Self { name: None, upstream: None, cells, response_filters: [].into(), retry_idempotency_key: false }
    }
}

impl LocalSnapshot {
    /// Builds this worker's side of a snapshot; what continues keeps its pools, and if nothing of an upstream changed, its
    /// picker as well.
    pub(super) fn new(shared: Arc<Snapshot>, previous: Option<&Self>, worker: usize, rng: &mut Rng) -> Rc<Self> {
        let old: HashMap<&UpstreamName, &Rc<LocalUpstream>> = previous
            .iter()
            .flat_map(|previous| previous.upstreams.iter())
            .map(|upstream| (&upstream.part.settings.name, upstream))
            .collect();
        let upstreams = shared.upstreams().iter().map(|part| {
            let old = old.get(&part.settings.name).copied();
            match old {
                Some(old) if Arc::ptr_eq(&old.part, part) => Rc::clone(old),
                _ => Rc::new(LocalUpstream::new(part, old, worker, rng)),
            }
        });
        let announces_clients = shared.upstreams().iter().any(|part| part.settings.proxy_protocol.is_some());
        let routes = shared.routes.iter().map(|_| OnceCell::new()).collect();
        let no_route = Rc::new(LocalRoute::none(&shared.no_route));
        let upstreams: Box<[_]> = upstreams.collect();
        if let Some(previous) = previous {
            previous.retire(&upstreams);
        }
        Rc::new(Self { upstreams, routes, no_route, announces_clients, shared })
    }

    /// Retires the pools of endpoints that are not among those of `next`.
    fn retire(&self, next: &[Rc<LocalUpstream>]) {
        let stay: HashSet<_> = next.iter().flat_map(|upstream| &upstream.endpoints).map(Rc::as_ptr).collect();
        let endpoints = self.upstreams.iter().flat_map(|upstream| &upstream.endpoints);
        for endpoint in endpoints.filter(|endpoint| !stay.contains(&Rc::as_ptr(endpoint))) {
            endpoint.pool.retire();
        }
    }

    /// The route at this position.
    pub(crate) fn route(&self, position: u32) -> &Rc<LocalRoute> {
        let at = position as usize;
        self.routes[at]
            .get_or_init(|| Rc::new(LocalRoute::new(&self.shared.config().routes[at], &self.shared.routes[at].cells)))
    }

    /// Stands for the route of a request that has none.
    pub(crate) fn no_route(&self) -> &Rc<LocalRoute> {
        &self.no_route
    }

    /// Whether an upstream has `proxy_protocol`.
    pub(super) fn announces_clients(&self) -> bool {
        self.announces_clients
    }

    pub(crate) fn shared(&self) -> &Snapshot {
        &self.shared
    }

    /// Where a route's requests go.
    pub(crate) fn upstream_of(&self, route: u32) -> Option<&Rc<LocalUpstream>> {
        let upstream = self.shared.routes[route as usize].upstream?;
        Some(&self.upstreams[upstream as usize])
    }

    /// The upstream at this position.
    pub(crate) fn upstream(&self, position: u32) -> &Rc<LocalUpstream> {
        &self.upstreams[position as usize]
    }

    /// Closes connections that have been idle for too long, and tells of failures that were left out of the log.
    pub(super) fn sweep(&self, worker: &Worker) {
        let now = worker.timers.now();
        for upstream in &self.upstreams {
            let blamed = Blamed { upstream: upstream.part.settings.name.as_str(), endpoint: "" };
            upstream.part.no_endpoint.tell_of_left_out(blamed, Reason::NoEndpoint, now);
            for endpoint in &upstream.endpoints {
                endpoint.pool.sweep(worker);
                endpoint.part.failures.tell_of_left_out(Blamed { endpoint: &endpoint.part.label, ..blamed }, now);
            }
        }
    }
}

impl LocalUpstream {
    fn new(part: &Arc<UpstreamPart>, old: Option<&Rc<Self>>, worker: usize, rng: &mut Rng) -> Self {
        let old: HashMap<*const Endpoint, &Rc<LocalEndpoint>> = old
            .iter()
            .flat_map(|old| old.endpoints.iter())
            .map(|endpoint| (Arc::as_ptr(&endpoint.part.endpoint), endpoint))
            .collect();
        let endpoint = |part: &Arc<EndpointPart>| {
            let known = old.get(&Arc::as_ptr(&part.endpoint)).map(|known| Rc::clone(known));
            known.unwrap_or_else(|| Rc::new(LocalEndpoint { part: Arc::clone(part), pool: Pool::default() }))
        };
        let endpoints: Box<[_]> = part.endpoints.iter().map(endpoint).collect();
        for endpoint in &endpoints {
            endpoint.pool.configure(part.settings.pool, &part.cells, worker);
        }
        let picker = RefCell::new(Picker::new(Arc::clone(&part.set), rng));
        Self { part: Arc::clone(part), picker, endpoints }
    }
}

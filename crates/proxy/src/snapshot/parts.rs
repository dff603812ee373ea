//! What a snapshot is made of.
//!
//! A part that continues from one snapshot to the next (a listener, route or upstream by its name, an endpoint by upstream and
//! address) keeps what must outlive a reload: counters, health, in-flight counts. The last snapshot that holds a part, and so
//! the last request that uses it, frees it.

use super::{
    failures::{Cause, Failures},
    tcp::TcpPart,
};
use crate::{malformed::Kept, route::RouteTable};
use evenkeel_balance::{Endpoint, EndpointSet, Generation};
use evenkeel_guard::RetryBudget;
use evenkeel_model::{Config, ListenerName, RouteName, Upstream};
use evenkeel_net::{
    Target,
    tls::{ClientReady, ClientTls, Ready, ServerTls},
};
use evenkeel_telemetry::{EndpointCells, ListenerCells, PerWorker, RouteCells, UpstreamCells};
use http::HeaderName;
use std::sync::Arc;

/// Everything that a request needs to know, as it was at one moment. A request sees one snapshot from its first byte to its last.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) config: Config,
    pub(crate) listeners: Box<[Arc<ListenerPart>]>,
    /// In the order of `listeners`: TLS of those that have it.
    pub(crate) tls: Box<[Option<Ready>]>,
    /// In the order of `listeners`: where those lead that pass connections on as they are.
    pub(crate) tcp: Box<[Option<Arc<TcpPart>>]>,
    /// Fields that say who a client is by its certificate: nobody but us may write them.
    pub(crate) identity_fields: Box<[HeaderName]>,
    pub(crate) table: RouteTable,
    /// In the order of the file, as `RouteTable` counts them.
    pub(crate) routes: Box<[RoutePart]>,
    /// Stands for the route of a request that has none.
    pub(crate) no_route: Arc<PerWorker<RouteCells>>,
    /// What broke HTTP, kept over reloads.
    pub(crate) malformed: Arc<PerWorker<Kept>>,
    pub(crate) upstreams: Box<[Arc<UpstreamPart>]>,
    /// In the order of `upstreams`: TLS of those that have it.
    pub(crate) upstream_tls: Box<[Option<ClientReady>]>,
    pub(crate) workers: usize,
    /// For the first new listener of the snapshot after this one. Kept here and not in a static: a change that is refused uses no number.
    pub(crate) next_listener: ListenerNumber,
}

/// What routes and counters know a listener by. A proxy never gives a number twice, so a route for one listener alone cannot come to hold
/// for another one, however late a connection of the first ends. Wide enough that it never runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenerNumber(u64);

impl ListenerNumber {
    pub(crate) const FIRST: Self = Self(1);
    /// What is counted for requests that came by no listener.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// As counters have it.
    pub(crate) fn get(self) -> u64 {
        self.0
    }
}

/// A listener as the workers see it.
#[derive(Debug)]
pub struct ListenerPart {
    pub(crate) name: ListenerName,
    pub(crate) number: ListenerNumber,
    pub(crate) cells: Arc<PerWorker<ListenerCells>>,
}

/// A route as the workers see it. Its filters are compiled by each worker.
#[derive(Debug)]
pub(crate) struct RoutePart {
    pub(crate) name: RouteName,
    /// Position in the snapshot's list of upstreams; `None`: a filter answers.
    pub(crate) upstream: Option<u32>,
    pub(crate) cells: Arc<PerWorker<RouteCells>>,
}

/// An upstream as the workers and the prober see it.
#[derive(Debug)]
pub struct UpstreamPart {
    /// As configured.
    pub settings: Upstream,
    /// Moves when the state of an endpoint does.
    pub(crate) generation: Generation,
    pub(crate) set: Arc<EndpointSet>,
    /// In the order of `settings.endpoints` and of `set`.
    pub endpoints: Box<[Arc<EndpointPart>]>,
    pub(crate) cells: Arc<PerWorker<UpstreamCells>>,
    /// How TLS is spoken to its endpoints, if it is.
    pub tls: Option<Arc<ClientTls>>,
    /// How many requests may be sent a second time.
    pub(crate) retries: Arc<RetryBudget>,
    /// Requests for which no endpoint may be asked, as they are told in the log.
    pub(crate) no_endpoint: Cause,
}

/// An endpoint: its state, shared by all workers, and where it is.
#[derive(Debug)]
pub struct EndpointPart {
    /// Flags and the number of requests in flight.
    pub endpoint: Arc<Endpoint>,
    /// Where to connect.
    pub target: Arc<Target>,
    /// The address as text, for labels and logs.
    pub(crate) label: Arc<str>,
    pub(crate) cells: Arc<PerWorker<EndpointCells>>,
    /// What is told of it in the log.
    pub(crate) failures: Failures,
}

impl Snapshot {
    /// The configuration it was built from.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// TLS of the listener of this name, if it has it.
    pub(crate) fn tls_of(&self, name: &ListenerName) -> Option<&Arc<ServerTls>> {
        let at = self.listeners.iter().position(|part| part.name == *name)?;
        self.tls[at].as_ref().map(Ready::server)
    }

    /// Where the listener of this name leads, if it passes connections on as they are.
    pub(crate) fn tcp_of(&self, name: &ListenerName) -> Option<&Arc<TcpPart>> {
        let at = self.listeners.iter().position(|part| part.name == *name)?;
        self.tcp[at].as_ref()
    }

    /// All upstreams, in the order of the file.
    #[must_use]
    pub fn upstreams(&self) -> &[Arc<UpstreamPart>] {
        &self.upstreams
    }
}

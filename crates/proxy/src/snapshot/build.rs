//! Builds a snapshot from a checked configuration and the snapshot before it.
//!
//! On the control thread. Nothing running is touched until `Snapshot::take_over`, so a change that fails at a later step
//! (a busy port) leaves no trace.

use super::{
    failures::{Cause, Failures},
    parts::{EndpointPart, ListenerNumber, ListenerPart, RoutePart, Snapshot, UpstreamPart},
    tcp::TcpPart,
};
use crate::{TlsOwner, route::RouteTable};
use evenkeel_balance::{Endpoint, EndpointSet, Flag, Generation, Member};
use evenkeel_guard::{RetryBudget, RetryLimits};
use evenkeel_model::{Address, Config, Listener, ListenerName, RouteName, Upstream, UpstreamName};
use evenkeel_net::{
    Target,
    tls::{ClientReady, ClientTls, Ready, ServerTls, TlsProblem},
};
use evenkeel_telemetry::PerWorker;
use http::HeaderName;
use std::{collections::HashMap, sync::Arc, time::SystemTime};

/// Why a configuration cannot become a snapshot. `evenkeel-config` finds these earlier and with their place; an embedder that
/// fills the model by hand learns them here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A route names an upstream that is not there.
    #[error("route '{route}': there is no upstream '{upstream}'")]
    NoSuchUpstream {
        /// The route.
        route: RouteName,
        /// What it names.
        upstream: UpstreamName,
    },
    /// A route names a listener that is not there.
    #[error("route '{route}': there is no listener '{listener}'")]
    NoSuchListener {
        /// The route.
        route: RouteName,
        /// What it names.
        listener: ListenerName,
    },
    /// A route names a listener that passes connections on as they are.
    #[error("route '{route}': listener '{listener}' is for TCP, where no route applies")]
    RouteOnTcp {
        /// The route.
        route: RouteName,
        /// What it names.
        listener: ListenerName,
    },
    /// A listener names an upstream that is not there.
    #[error("listener '{listener}': there is no upstream '{upstream}'")]
    ListenerWithoutUpstream {
        /// The listener.
        listener: ListenerName,
        /// What it names.
        upstream: UpstreamName,
    },
    /// Files of a `tls` are missing or do not fit.
    #[error("{}", .0.iter().map(|(owner, problem)| format!("{owner}: {problem}")).collect::<Vec<_>>().join("; "))]
    Tls(Vec<(TlsOwner, TlsProblem)>),
}

impl Snapshot {
    /// Builds what `config` says; parts that continue are taken from `previous`. `workers` is the number of threads that serve. Reads the
    /// certificates that it names: not for a worker's thread.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(config: Config, workers: usize, previous: Option<&Self>) -> Result<Self, BuildError> {
        let before = Before::new(previous);
        let mut next = previous.map_or(ListenerNumber::FIRST, |previous| previous.next_listener);
        let listeners: Box<[_]> =
            config.listeners.iter().map(|l| before.listener(&l.name, &mut next, workers)).collect();
        let (tls, upstream_tls) = tls(&config, &before, previous)?;
        let settings = config.upstreams.iter().zip(&upstream_tls);
        let upstreams: Box<[_]> =
            settings.map(|(u, tls)| before.upstream(u, tls.as_ref().map(ClientReady::client), workers)).collect();
        let routes = routes(&config, &before, workers)?;
        let tcp = tcp(&config, previous, workers)?;
        let numbers: HashMap<&str, ListenerNumber> =
            listeners.iter().map(|listener| (listener.name.as_str(), listener.number)).collect();
        let table = RouteTable::new(&config.routes, |name| numbers.get(name).copied());
        let no_route = previous.map_or_else(|| Arc::new(PerWorker::new(workers)), |p| Arc::clone(&p.no_route));
        let malformed = previous.map_or_else(|| Arc::new(PerWorker::new(workers)), |p| Arc::clone(&p.malformed));
        let identity_fields = identity_fields(&config);
        Ok(Self {
            config,
            listeners,
            tls,
            tcp,
            identity_fields,
            table,
            routes,
            no_route,
            malformed,
            upstreams,
            upstream_tls,
            workers,
            next_listener: next,
        })
    }

    /// Before the swap: new certificates and authorities hold for new connections, and endpoints that the file no longer drains may be chosen again.
    pub(crate) fn open(&self) {
        for ready in self.tls.iter().flatten() {
            ready.install();
        }
        for ready in self.upstream_tls.iter().flatten() {
            ready.install();
        }
        for (part, settings) in self.endpoints() {
            if !settings.drain {
                part.endpoint.set(Flag::DrainingByFile, false);
            }
            part.endpoint.set(Flag::NoAddress, !part.target.resolved());
        }
    }

    /// Once every worker serves this snapshot: marks what the file drains and what is no longer there, so that retries of requests on
    /// the old snapshot avoid it. Not earlier: a worker that still has the old one, all of whose endpoints go, would have none left.
    pub(crate) fn close(&self, previous: Option<&Self>) {
        for (part, settings) in self.endpoints() {
            if settings.drain {
                part.endpoint.set(Flag::DrainingByFile, true);
            }
        }
        let Some(previous) = previous else { return };
        let kept: std::collections::HashSet<*const Endpoint> =
            self.upstreams.iter().flat_map(|u| u.endpoints.iter()).map(|part| Arc::as_ptr(&part.endpoint)).collect();
        for part in previous.upstreams.iter().flat_map(|u| u.endpoints.iter()) {
            if !kept.contains(&Arc::as_ptr(&part.endpoint)) {
                part.endpoint.set(Flag::Removed, true);
            }
        }
    }
}

impl Snapshot {
    fn endpoints(&self) -> impl Iterator<Item = (&Arc<EndpointPart>, &evenkeel_model::Endpoint)> {
        self.upstreams.iter().flat_map(|upstream| upstream.endpoints.iter().zip(&upstream.settings.endpoints))
    }
}

/// TLS of listeners and of upstreams, for those that have it.
type BothSides = (Box<[Option<Ready>]>, Box<[Option<ClientReady>]>);

/// TLS of all listeners and upstreams, read and checked; all that is wrong at once.
fn tls(config: &Config, before: &Before<'_>, previous: Option<&Snapshot>) -> Result<BothSides, BuildError> {
    let now = SystemTime::now();
    let mut problems = Vec::new();
    let mut note = |owner: TlsOwner, wrong: Vec<TlsProblem>| {
        problems.extend(wrong.into_iter().map(|problem| (owner.clone(), problem)));
    };
    let listeners = config.listeners.iter().map(|listener| {
        let before = previous.and_then(|previous| previous.tls_of(&listener.name));
        let ready = ServerTls::prepare(listener.tls.as_ref()?, before, now);
        ready.map_err(|wrong| note(TlsOwner::Listener(listener.name.clone()), wrong)).ok()
    });
    let listeners = listeners.collect();
    let upstreams = config.upstreams.iter().map(|upstream| {
        let before = before.upstreams.get(&upstream.name).and_then(|part| part.tls.as_ref());
        let addresses = upstream.endpoints.iter().map(|endpoint| &endpoint.address);
        let ready = ClientTls::prepare(upstream.tls.as_ref()?, addresses, before, now);
        ready.map_err(|wrong| note(TlsOwner::Upstream(upstream.name.clone()), wrong)).ok()
    });
    let upstreams = upstreams.collect();
    if problems.is_empty() { Ok((listeners, upstreams)) } else { Err(BuildError::Tls(problems)) }
}

/// Where each listener leads that passes connections on as they are.
fn tcp(
    config: &Config,
    previous: Option<&Snapshot>,
    workers: usize,
) -> Result<Box<[Option<Arc<TcpPart>>]>, BuildError> {
    let upstreams: HashMap<&UpstreamName, u32> = config.upstreams.iter().map(|u| &u.name).zip(0u32..).collect();
    let part = |listener: &Listener| {
        let Some(settings) = &listener.tcp else { return Ok(None) };
        let before = previous.and_then(|previous| previous.tcp_of(&listener.name)).map(|part| &**part);
        let part = TcpPart::build(settings, workers, before, |name| upstreams.get(name).copied());
        let missing = |upstream| BuildError::ListenerWithoutUpstream { listener: listener.name.clone(), upstream };
        part.map(Some).map_err(missing)
    };
    config.listeners.iter().map(part).collect()
}

/// The fields in which listeners tell endpoints who a client is by its certificate.
fn identity_fields(config: &Config) -> Box<[HeaderName]> {
    let auths = config.listeners.iter().filter_map(|listener| listener.tls.as_ref()?.client_auth.as_ref());
    let mut fields: Vec<_> = auths.map(|auth| auth.header.clone()).collect();
    fields.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    fields.dedup();
    fields.into()
}

fn routes(config: &Config, before: &Before<'_>, workers: usize) -> Result<Box<[RoutePart]>, BuildError> {
    let upstreams: HashMap<&UpstreamName, u32> = config.upstreams.iter().map(|u| &u.name).zip(0u32..).collect();
    let listeners: HashMap<&ListenerName, &Listener> = config.listeners.iter().map(|l| (&l.name, l)).collect();
    let part = |route: &evenkeel_model::Route| {
        for name in &route.listeners {
            let (route, listener) = (route.name.clone(), name.clone());
            match listeners.get(name) {
                None => return Err(BuildError::NoSuchListener { route, listener }),
                Some(settings) if settings.tcp.is_some() => return Err(BuildError::RouteOnTcp { route, listener }),
                Some(_) => {}
            }
        }
        let position = |name: &UpstreamName| {
            let missing = || BuildError::NoSuchUpstream { route: route.name.clone(), upstream: name.clone() };
            upstreams.get(name).copied().ok_or_else(missing)
        };
        let upstream = route.upstream.as_ref().map(position).transpose()?;
        let cells = before.routes.get(&route.name).map(|old| Arc::clone(&old.cells));
        let cells = cells.unwrap_or_else(|| Arc::new(PerWorker::new(workers)));
        Ok(RoutePart { name: route.name.clone(), upstream, cells })
    };
    config.routes.iter().map(part).collect()
}

/// The parts of the snapshot before, by their identity.
#[derive(Default)]
struct Before<'a> {
    listeners: HashMap<&'a ListenerName, &'a Arc<ListenerPart>>,
    routes: HashMap<&'a RouteName, &'a RoutePart>,
    upstreams: HashMap<&'a UpstreamName, &'a Arc<UpstreamPart>>,
}

impl<'a> Before<'a> {
    fn new(previous: Option<&'a Snapshot>) -> Self {
        let Some(previous) = previous else { return Self::default() };
        Self {
            listeners: previous.listeners.iter().map(|part| (&part.name, part)).collect(),
            routes: previous.routes.iter().map(|part| (&part.name, part)).collect(),
            upstreams: previous.upstreams.iter().map(|part| (&part.settings.name, part)).collect(),
        }
    }

    fn listener(&self, name: &ListenerName, next: &mut ListenerNumber, workers: usize) -> Arc<ListenerPart> {
        let fresh = || {
            let number = std::mem::replace(next, next.next());
            Arc::new(ListenerPart { name: name.clone(), number, cells: Arc::new(PerWorker::new(workers)) })
        };
        self.listeners.get(name).map_or_else(fresh, |part| Arc::clone(part))
    }

    fn upstream(&self, settings: &Upstream, tls: Option<&Arc<ClientTls>>, workers: usize) -> Arc<UpstreamPart> {
        let old = self.upstreams.get(&settings.name);
        if let Some(old) = old.filter(|old| old.settings == *settings) {
            return Arc::clone(old);
        }
        let generation = old.map_or_else(Generation::default, |old| old.generation.clone());
        let cells = old.map_or_else(|| Arc::new(PerWorker::new(workers)), |old| Arc::clone(&old.cells));
        let retries =
            old.map_or_else(|| Arc::new(RetryBudget::new(RetryLimits::default())), |old| Arc::clone(&old.retries));
        let known: HashMap<&Address, &Arc<EndpointPart>> = old
            .iter()
            .flat_map(|old| old.settings.endpoints.iter().zip(&old.endpoints))
            .map(|(settings, part)| (&settings.address, part))
            .collect();
        let part = |address: &Address| {
            known.get(address).map_or_else(|| EndpointPart::new(address, &generation, workers), |part| Arc::clone(part))
        };
        let endpoints: Box<[_]> = settings.endpoints.iter().map(|endpoint| part(&endpoint.address)).collect();
        let members = settings.endpoints.iter().zip(&endpoints);
        let members = members.map(|(s, part)| Member { endpoint: Arc::clone(&part.endpoint), weight: s.weight });
        let set = Arc::new(EndpointSet::new(members.collect(), generation.clone(), settings.balance));
        let (settings, tls) = (settings.clone(), tls.cloned());
        let no_endpoint = Cause::default();
        Arc::new(UpstreamPart { settings, generation, set, endpoints, cells, tls, retries, no_endpoint })
    }
}

impl EndpointPart {
    fn new(address: &Address, generation: &Generation, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            endpoint: Endpoint::new(address.clone(), generation.clone()),
            target: Target::new(address.clone()),
            label: address.to_string().into(),
            cells: Arc::new(PerWorker::new(workers)),
            failures: Failures::default(),
        })
    }
}

#[cfg(test)]
mod tests;

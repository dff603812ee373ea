//! Starts workers, hands them snapshots, and stops them. What a program that embeds the proxy sees.

use crate::{
    body::Body,
    filter::CustomFilter,
    malformed::{Kept, LastErrors},
    request::ProxyService,
    snapshot::{BuildError, Snapshot},
    worker::{CustomFilters, Order, Seat, SocketKey},
};
use evenkeel_config::Live;
use evenkeel_guard::ConcurrencyLimit;
use evenkeel_model::{Address, Config, Filter, ListenerName, RouteName};
use evenkeel_net::{BindError, Listening};
use evenkeel_telemetry::{Exposition, PerWorker, WorkerCells, access_log::AccessLog, scrape};
use http::{Request, Response};
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    fmt, io,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};
use tokio::sync::mpsc;
use tower::Service;

/// Connections that are allowed when the file says nothing and the descriptor limit is unknown.
const CONNECTIONS_DEFAULT: usize = 10_000;

type MakeFilter = Arc<dyn Fn() -> Rc<dyn CustomFilter> + Send + Sync>;

/// A proxy that is not running yet.
pub struct Builder {
    snapshot: Snapshot,
    filters: HashMap<Arc<str>, MakeFilter>,
    log: Option<Arc<AccessLog>>,
    descriptors: Option<usize>,
}

/// A change that was refused. What ran before runs on.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A new listener cannot be bound.
    #[error("listener '{listener}': {source}")]
    Bind {
        /// Which.
        listener: ListenerName,
        /// Why.
        source: BindError,
    },
    /// A route names a filter that the embedding program has not given to the [`Builder`].
    #[error("route '{route}': no filter '{filter}' was given to the proxy's builder")]
    NoSuchFilter {
        /// The route.
        route: RouteName,
        /// What it names.
        filter: Arc<str>,
    },
    /// A thread or a log cannot be had.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A running proxy. Dropping it stops it at once; to end in peace, announce, end, wait, then drop.
pub struct Proxy {
    live: Live<Snapshot>,
    orders: Vec<mpsc::UnboundedSender<Order>>,
    threads: Mutex<Vec<JoinHandle<io::Result<()>>>>,
    cells: Arc<PerWorker<WorkerCells>>,
    connections: Arc<ConcurrencyLimit>,
    descriptors: Option<usize>,
    /// The filters of the embedding program.
    filters: HashSet<Arc<str>>,
    /// What is bound, and where in the end. Held while a change is made, so that there is one at a time.
    bound: Mutex<HashMap<SocketKey, Address>>,
    /// Lives as long as a worker may write to it.
    _log: Option<Arc<AccessLog>>,
}

impl Proxy {
    /// A proxy that will serve `snapshot`.
    #[must_use]
    pub fn builder(snapshot: Snapshot) -> Builder {
        Builder { snapshot, filters: HashMap::new(), log: None, descriptors: None }
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.live.load()
    }

    /// How often the snapshot has been replaced.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.live.generation()
    }

    /// Where each listener listens in the end: port 0 has become a number.
    #[must_use]
    pub fn addresses(&self) -> Vec<(ListenerName, Address)> {
        let bound = self.bound();
        let snapshot = self.live.load();
        let listeners = snapshot.config.listeners.iter();
        listeners.filter_map(|l| Some((l.name.clone(), bound.get(&SocketKey::of(l))?.clone()))).collect()
    }

    /// Makes `config` the one in force: builds, binds, swaps, and tells the workers. Gives the new generation, and a [`Served`] that
    /// ends when every worker serves it.
    ///
    /// # Errors
    /// [`PublishError`]; then nothing has changed.
    pub fn publish(&self, config: Config) -> Result<(u64, Served), PublishError> {
        Ok(self.commit(self.prepare(config)?))
    }

    /// The part of [`Proxy::publish`] that can fail: builds and binds. Nothing that runs is touched.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn prepare(&self, config: Config) -> Result<Prepared, PublishError> {
        let previous = self.live.load();
        all_given(&config, |name| self.filters.contains(name))?;
        let next = Snapshot::build(config, self.orders.len(), Some(&previous))?;
        let bound = self.bound();
        let (sockets, addresses) = bind_new(&next.config, &bound, self.orders.len())?;
        Ok(Prepared { previous, next: Arc::new(next), sockets, addresses })
    }

    /// The part of [`Proxy::publish`] that cannot fail: one store, then the workers are told. Changes are made one at a time: what was
    /// prepared on an older snapshot than the one in force must be prepared again.
    ///
    /// # Panics
    /// When another change was committed since.
    pub fn commit(&self, prepared: Prepared) -> (u64, Served) {
        let Prepared { previous, next, sockets, addresses } = prepared;
        let mut bound = self.bound();
        assert!(Arc::ptr_eq(&previous, &self.live.load()), "changes are made one at a time");
        next.open();
        self.connections.set_max(connections_max(&next.config, self.descriptors));
        let generation = self.live.swap(Arc::clone(&next));
        let served = self.tell(&next, Some(previous), sockets);
        unlink(&bound, &addresses);
        *bound = addresses;
        (generation, served)
    }

    fn bound(&self) -> MutexGuard<'_, HashMap<SocketKey, Address>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, snapshot: &Arc<Snapshot>, previous: Option<Arc<Snapshot>>, sockets: Sockets) -> Served {
        let (done, served) = mpsc::channel(1);
        for (orders, sockets) in self.orders.iter().zip(sockets) {
            let order = Order::Publish { snapshot: Arc::clone(snapshot), sockets, done: done.clone() };
            // A worker that is gone serves nothing; the others go on.
            let _ = orders.send(order);
        }
        Served { served, snapshot: Arc::clone(snapshot), previous }
    }

    /// Whether every worker has come to serve. One that could not has let go of its end of the orders.
    fn all_work(&self) -> io::Result<()> {
        let Some(lost) = self.orders.iter().position(mpsc::UnboundedSender::is_closed) else { return Ok(()) };
        let thread = self.threads.lock().unwrap_or_else(PoisonError::into_inner).remove(lost);
        match thread.join() {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Err(io::Error::other(format!("worker {lost} panicked before it could serve"))),
        }
    }

    /// Open client connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.in_use()
    }

    /// From now on answers carry `Connection: close`; new connections are still taken.
    pub fn announce_end(&self) {
        self.order(|| Order::Announce);
    }

    /// Takes what waits in the queues, then accepts no more; closes idle connections, and the others after their request. Gives what says
    /// whether all queues are empty: until then there may be clients that [`Proxy::connections`] does not count yet.
    pub fn end(&self) -> Emptied {
        // Nobody else can come by a unix socket whose file is gone.
        unlink(&std::mem::take(&mut *self.bound()), &HashMap::new());
        let (done, queues) = mpsc::channel(1);
        self.order(|| Order::End { done: done.clone() });
        Emptied { queues }
    }

    fn order(&self, order: impl Fn() -> Order) {
        for orders in &self.orders {
            let _ = orders.send(order());
        }
    }

    /// Drops what still runs and waits for the workers to end.
    pub fn stop(&self) {
        self.order(|| Order::Stop);
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A worker that panicked has said so.
            let _ = thread.join();
        }
        unlink(&self.bound(), &HashMap::new());
    }

    /// The last messages that broke HTTP. Not for a worker's thread.
    #[must_use]
    pub fn last_errors(&self) -> LastErrors {
        Kept::of_all(&self.live.load().malformed)
    }

    /// Writes all series of the proxy. Not for a worker's thread.
    pub fn scrape(&self, page: &mut Exposition) {
        self.live.load().scrape(page);
        scrape::workers(page, &self.cells);
    }
}

/// A change that can be made: built and bound. Dropping it leaves everything as it was.
#[must_use = "nothing changes until it is committed"]
pub struct Prepared {
    previous: Arc<Snapshot>,
    next: Arc<Snapshot>,
    sockets: Sockets,
    addresses: HashMap<SocketKey, Address>,
}

impl Prepared {
    /// What would be served.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.next
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

/// Ends when every worker serves a snapshot. Only then are removed endpoints closed to requests that are still on the snapshot before;
/// when this is dropped without having been waited for, that happens at once.
#[derive(Debug)]
pub struct Served {
    served: mpsc::Receiver<Infallible>,
    snapshot: Arc<Snapshot>,
    previous: Option<Arc<Snapshot>>,
}

impl Served {
    /// Waits for it.
    pub async fn wait(mut self) {
        let _ = self.served.recv().await;
    }

    /// Waits for it, outside of a runtime.
    pub fn wait_blocking(mut self) {
        let _ = self.served.blocking_recv();
    }
}

/// Whether every worker has taken what waited in the queues of its listeners.
#[derive(Debug)]
pub struct Emptied {
    queues: mpsc::Receiver<Infallible>,
}

impl Emptied {
    /// Whether all are empty, and closed.
    pub fn is_over(&mut self) -> bool {
        matches!(self.queues.try_recv(), Err(mpsc::error::TryRecvError::Disconnected))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.snapshot.close(self.previous.as_deref());
    }
}

impl Builder {
    /// A filter of the embedding program: routes name it, `make` is called once in each worker.
    #[must_use]
    pub fn filter(mut self, name: &str, make: impl Fn() -> Rc<dyn CustomFilter> + Send + Sync + 'static) -> Self {
        self.filters.insert(name.into(), Arc::new(make));
        self
    }

    /// Where requests are logged.
    #[must_use]
    pub fn access_log(mut self, log: Arc<AccessLog>) -> Self {
        self.log = Some(log);
        self
    }

    /// How many descriptors the process may have: unless the file says otherwise, four tenths of them are for client connections,
    /// as many for connections to endpoints, and the rest for everything else.
    #[must_use]
    pub fn descriptors(mut self, limit: usize) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// Binds, starts the workers, and waits until they serve. Blocks: within a runtime, call it in a blocking task.
    ///
    /// # Errors
    /// [`PublishError`]; then nothing runs.
    pub fn run(self) -> Result<Proxy, PublishError> {
        self.layer(|service| service).run()
    }

    /// Wraps each worker's service: `layer` is run once in each worker.
    pub fn layer<L, S>(self, layer: L) -> Layered<L>
    where
        L: Fn(ProxyService) -> S + Clone + Send + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
    {
        Layered { builder: self, layer }
    }
}

/// A proxy with a layer around it that is not running yet.
pub struct Layered<L> {
    builder: Builder,
    layer: L,
}

impl<L, S> Layered<L>
where
    L: Fn(ProxyService) -> S + Clone + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    /// Binds, starts the workers, and waits until they serve. Blocks: within a runtime, call it in a blocking task.
    ///
    /// # Errors
    /// [`PublishError`]; then nothing runs.
    pub fn run(self) -> Result<Proxy, PublishError> {
        let Builder { snapshot, filters, log, descriptors } = self.builder;
        let count = snapshot.workers;
        all_given(&snapshot.config, |name| filters.contains_key(name))?;
        let (sockets, addresses) = bind_new(&snapshot.config, &HashMap::new(), count)?;
        snapshot.open();
        let connections = ConcurrencyLimit::new(connections_max(&snapshot.config, descriptors));
        let cells = Arc::new(PerWorker::new(count));
        let log = log.map_or_else(|| AccessLog::start().map(Arc::new), Ok)?;
        let live = Live::new(snapshot);
        let begun = Instant::now();
        let (mut senders, mut threads) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for id in 0..count {
            let (orders, receiver) = mpsc::unbounded_channel();
            let seat = Seat {
                id,
                snapshot: live.load(),
                orders: receiver,
                log: log.sender(),
                cells: Arc::clone(&cells),
                connections: Arc::clone(&connections),
                seed: seed(id),
                begun,
            };
            let (filters, layer) = (filters.clone(), self.layer.clone());
            let run = move || {
                let custom: CustomFilters = filters.iter().map(|(name, make)| (Arc::clone(name), make())).collect();
                seat.run(custom, layer)
            };
            threads.push(thread::Builder::new().name(format!("worker-{id}")).spawn(run)?);
            senders.push(orders);
        }
        let proxy = Proxy {
            live,
            orders: senders,
            threads: Mutex::new(threads),
            cells,
            connections,
            descriptors,
            filters: filters.into_keys().collect(),
            bound: Mutex::new(addresses),
            _log: Some(log),
        };
        proxy.tell(&proxy.snapshot(), None, sockets).wait_blocking();
        proxy.all_work()?;
        Ok(proxy)
    }
}

/// Another seed for each worker and each start: workers that draw alike would all go to the same endpoint.
fn seed(worker: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(worker)
}

fn connections_max(config: &Config, descriptors: Option<usize>) -> usize {
    let derived = descriptors.map_or(CONNECTIONS_DEFAULT, |limit| (limit / 10 * 4).max(1));
    config.limits.connections_max.unwrap_or(derived)
}

/// Whether every filter that a route names was given. Else each of its requests would fail.
fn all_given(config: &Config, given: impl Fn(&str) -> bool) -> Result<(), PublishError> {
    for route in &config.routes {
        for filter in &route.filters {
            if let Filter::Custom(name) = filter
                && !given(name)
            {
                return Err(PublishError::NoSuchFilter { route: route.name.clone(), filter: Arc::clone(name) });
            }
        }
    }
    Ok(())
}

type Sockets = Vec<Vec<(SocketKey, Listening)>>;

/// Binds what is not bound yet: for each worker its sockets, and the addresses of all listeners.
fn bind_new(
    config: &Config,
    bound: &HashMap<SocketKey, Address>,
    workers: usize,
) -> Result<(Sockets, HashMap<SocketKey, Address>), PublishError> {
    let mut sockets: Sockets = (0..workers).map(|_| Vec::new()).collect();
    let mut addresses = HashMap::new();
    for listener in &config.listeners {
        let key = SocketKey::of(listener);
        if let Some(known) = bound.get(&key) {
            addresses.insert(key, known.clone());
            continue;
        }
        let bind = evenkeel_net::bind(&listener.listen, workers);
        let (new, address) = bind.map_err(|source| PublishError::Bind { listener: listener.name.clone(), source })?;
        for (worker, socket) in sockets.iter_mut().zip(new) {
            worker.push((key.clone(), socket));
        }
        addresses.insert(key, address);
    }
    Ok((sockets, addresses))
}

/// Removes the files of unix sockets that are no longer listened on: a client that comes now should be refused, not wait.
fn unlink(before: &HashMap<SocketKey, Address>, after: &HashMap<SocketKey, Address>) {
    for (key, address) in before {
        if let (Address::Unix(path), false) = (address, after.contains_key(key)) {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("workers", &self.orders.len()).field("generation", &self.generation()).finish()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("filters", &self.filters.keys()).finish_non_exhaustive()
    }
}

impl<L> fmt::Debug for Layered<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.builder.fmt(f)
    }
}

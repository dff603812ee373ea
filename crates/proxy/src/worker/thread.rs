//! A worker's thread: its runtime, and the orders it gets from the control thread.

use super::{
    accept::{self, Acceptor, Open},
    reconcile::{ListenerTls, LocalListener, LocalSnapshot, LocalTcp},
    timers::{TICK, Timers},
    worker::{CustomFilters, Phase, Worker},
};
use crate::{body::Body, request::ProxyService, snapshot::Snapshot};
use evenkeel_balance::Rng;
use evenkeel_guard::ConcurrencyLimit;
use evenkeel_model::{Address, Listener, ListenerName};
use evenkeel_net::Listening;
use evenkeel_telemetry::{PerWorker, WorkerCells, access_log::LogSender};
use http::{Request, Response};
use std::{
    cell::RefCell,
    collections::HashMap,
    convert::Infallible,
    io,
    rc::{Rc, Weak},
    sync::Arc,
    time::Instant,
};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Notify, mpsc},
    task::spawn_local,
    time::{Interval, MissedTickBehavior},
};
use tower::Service;

/// What the control thread tells a worker.
pub(crate) enum Order {
    /// Serve this from now on. `sockets` are the new ones; `done` is dropped when it is served.
    Publish { snapshot: Arc<Snapshot>, sockets: Vec<(SocketKey, Listening)>, done: mpsc::Sender<Infallible> },
    /// Tell clients that their connections end, and go on.
    Announce,
    /// Accept no more; close what is idle, and the rest after its request. `done` is dropped when all queues are empty.
    End { done: mpsc::Sender<Infallible> },
    /// Drop what still runs.
    Stop,
}

/// What makes a listening socket the same over a reload: its address, and for port 0, where every bind gives another port, the
/// listener's name as well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SocketKey(Address, Option<ListenerName>);

impl SocketKey {
    pub(crate) fn of(listener: &Listener) -> Self {
        let named = listener.listen.port() == Some(0);
        Self(listener.listen.clone(), named.then(|| listener.name.clone()))
    }
}

/// What a worker gets to begin with. Everything in it may cross threads; the worker itself may not.
pub(crate) struct Seat {
    pub(crate) id: usize,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) log: LogSender,
    pub(crate) cells: Arc<PerWorker<WorkerCells>>,
    pub(crate) connections: Arc<ConcurrencyLimit>,
    pub(crate) seed: u64,
    /// When all workers began: they share a clock.
    pub(crate) begun: Instant,
}

impl Seat {
    /// Serves until told to stop. `layer` wraps this worker's service, once.
    pub(crate) fn run<S>(self, custom: CustomFilters, layer: impl FnOnce(ProxyService) -> S) -> io::Result<()>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
    {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async move {
            let timers = Timers::new(self.begun);
            let mut rng = Rng::from_seed(self.seed);
            let snapshot = LocalSnapshot::new(self.snapshot, None, self.id, &mut rng);
            let worker = Worker::new(self.id, snapshot, timers, rng.next_u64(), self.log, self.cells, custom);
            spawn_local(tick(Rc::clone(&worker), Arc::clone(&self.connections)));
            spawn_local(Rc::clone(&worker.handshakes).run());
            let service = layer(ProxyService::new(Rc::clone(&worker)));
            let mut desk = Desk {
                worker,
                connections: self.connections,
                acceptors: HashMap::new(),
                leaving: Vec::new(),
                listeners: HashMap::new(),
                open: Open::default(),
                service,
            };
            let mut orders = self.orders;
            while let Some(order) = orders.recv().await {
                if !desk.carry_out(order) {
                    break;
                }
            }
        });
        Ok(())
    }
}

async fn tick(worker: Rc<Worker>, connections: Arc<ConcurrencyLimit>) {
    let mut interval: Interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = interval.tick().await;
        let late = tokio::time::Instant::now().saturating_duration_since(due);
        worker.tick(Instant::now(), late);
        // A client of another worker has no place, and that worker has no idle connection.
        if connections.take_wish() && connections.is_full() && !worker.places.free_one() {
            connections.wish();
        }
    }
}

/// Carries out orders.
struct Desk<S> {
    worker: Rc<Worker>,
    connections: Arc<ConcurrencyLimit>,
    acceptors: HashMap<SocketKey, Rc<Acceptor>>,
    /// Those that are no longer configured, and go on for the grace.
    leaving: Vec<Weak<Acceptor>>,
    listeners: HashMap<ListenerName, Rc<LocalListener>>,
    open: Open,
    service: S,
}

impl<S> Desk<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    /// `false`: the worker ends.
    fn carry_out(&mut self, order: Order) -> bool {
        match order {
            Order::Publish { snapshot, sockets, done } => {
                self.publish(&snapshot, sockets);
                drop(done);
            }
            Order::Announce => self.worker.enter(Phase::Announcing),
            Order::End { done } => {
                let leaving = self.leaving.drain(..).filter_map(|acceptor| acceptor.upgrade());
                leaving.chain(self.acceptors.drain().map(|(_, acceptor)| acceptor)).for_each(|a| a.stop.notify_one());
                self.open.replace(Some(done));
                self.open = Open::default();
                self.worker.enter(Phase::Ending);
            }
            Order::Stop => {
                self.worker.enter(Phase::Stopping);
                return false;
            }
        }
        true
    }

    fn publish(&mut self, snapshot: &Arc<Snapshot>, sockets: Vec<(SocketKey, Listening)>) {
        let previous = self.worker.snapshot();
        let next = LocalSnapshot::new(Arc::clone(snapshot), Some(&previous), self.worker.id, &mut self.worker.random());
        self.worker.publish(Rc::clone(&next));
        let mut sockets: HashMap<SocketKey, Listening> = sockets.into_iter().collect();
        let mut acceptors = HashMap::new();
        let mut listeners = HashMap::new();
        for (settings, part) in snapshot.config().listeners.iter().zip(&snapshot.listeners) {
            let listener = self.listeners.remove(&settings.name);
            let listener = listener.unwrap_or_else(|| Rc::new(LocalListener::new(part)));
            listener.protocol.set(settings.protocol);
            listener.connection_age_max.set(settings.connection_age_max);
            listener.pings.set(settings.pings);
            listener.half_closed.set(settings.half_closed_clients);
            listener.timeouts.set(settings.timeouts);
            listener.proxy_status.set(settings.proxy_status);
            listener.header_senders.replace(settings.proxy_protocol.clone().map(Rc::new));
            listener.tls.replace(settings.tls.as_ref().zip(snapshot.tls_of(&settings.name)).map(
                |(settings, server)| {
                    let identity_field = settings.client_auth.as_ref().map(|auth| auth.header.clone());
                    ListenerTls { server: Arc::clone(server), identity_field }
                },
            ));
            let tcp = snapshot.tcp_of(&settings.name);
            let tcp = tcp.map(|part| LocalTcp { part: Arc::clone(part), snapshot: Rc::clone(&next) });
            let key = SocketKey::of(settings);
            if let Some(acceptor) = self.acceptors.remove(&key) {
                acceptor.listener.replace(Rc::clone(&listener));
                acceptor.tcp.replace(tcp);
                acceptors.insert(key, acceptor);
            } else if let Some(socket) = sockets.remove(&key)
                && let Some(acceptor) = self.accept(socket, &listener, tcp)
            {
                acceptors.insert(key, acceptor);
            }
            listeners.insert(settings.name.clone(), listener);
        }
        let gone_acceptors = std::mem::replace(&mut self.acceptors, acceptors);
        let gone_listeners = std::mem::replace(&mut self.listeners, listeners);
        self.retire(gone_acceptors, gone_listeners, snapshot.config().drain.grace);
    }

    fn accept(&self, socket: Listening, listener: &Rc<LocalListener>, tcp: Option<LocalTcp>) -> Option<Rc<Acceptor>> {
        let socket = match socket.into_runtime() {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(listener = %listener.part.name, "cannot use a bound socket: {error}");
                return None;
            }
        };
        let acceptor = Rc::new(Acceptor {
            listener: RefCell::new(Rc::clone(listener)),
            tcp: RefCell::new(tcp),
            stop: Notify::new(),
        });
        let run = accept::run(
            Rc::clone(&self.worker),
            Rc::clone(&acceptor),
            socket,
            Arc::clone(&self.connections),
            self.service.clone(),
            Rc::clone(&self.open),
        );
        spawn_local(run);
        Some(acceptor)
    }

    /// What is no longer configured goes on for the grace: whoever sends traffic there has to notice first. Then it takes what
    /// still waits in its queue and ends.
    fn retire(
        &mut self,
        acceptors: HashMap<SocketKey, Rc<Acceptor>>,
        listeners: HashMap<ListenerName, Rc<LocalListener>>,
        grace: std::time::Duration,
    ) {
        if acceptors.is_empty() && listeners.is_empty() {
            return;
        }
        self.leaving.retain(|acceptor| acceptor.strong_count() > 0);
        self.leaving.extend(acceptors.values().map(Rc::downgrade));
        listeners.values().for_each(|listener| listener.closing.set(true));
        let timers = Rc::clone(&self.worker.timers);
        spawn_local(async move {
            tokio::time::sleep(grace).await;
            acceptors.values().for_each(|acceptor| acceptor.stop.notify_one());
            listeners.values().for_each(|listener| listener.ended.set(true));
            timers.wake_all();
        });
    }
}

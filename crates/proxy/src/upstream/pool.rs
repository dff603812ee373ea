//! The idle connections of one worker to one endpoint: last in, first out, so that the fewest stay warm.
//!
//! No lock: a connection never leaves its worker. A connection of HTTP/1.1 on loan is a [`Lease`]; it comes back when the last byte of the
//! answer was read, and is closed on every other path. Those of HTTP/2 are in `http2`.

use super::{attempt::Sent, http2::Connections, identity::Identity, patience::Patience};
use crate::{
    body::Body,
    worker::{LocalEndpoint, Worker},
};
use bytes::Bytes;
use evenkeel_model as model;
use evenkeel_net::{Stream, Watch, Watched};
use evenkeel_telemetry::{Gauge, PerWorker, UpstreamCells};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1::SendRequest},
};
use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

/// The idle connections of one worker to one endpoint.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
    http2: Connections,
    settings: Cell<model::Pool>,
    patience: Cell<Patience>,
    cells: RefCell<Option<Counted>>,
}

/// Where connections are counted.
#[derive(Clone)]
struct Counted {
    cells: Arc<PerWorker<UpstreamCells>>,
    worker: usize,
}

struct Idle {
    connection: Box<Connection>,
    /// Milliseconds of the worker's clock.
    since: u64,
    until: u64,
}

/// In a box for its whole life: it goes from hand to hand with each request.
struct Connection {
    sender: SendRequest<Body>,
    wire: Rc<Wire>,
    /// Not used again after this, in milliseconds of the worker's clock.
    expires: u64,
    /// How long the endpoint keeps it when idle, if it says so.
    idle_max: Option<Duration>,
    reused: bool,
    place: Place,
    /// It serves no request that would have made another one.
    identity: Identity,
}

/// A connection's place among those that are counted.
pub(crate) struct Place {
    counted: Counted,
    state: State,
}

/// A connection to an endpoint that carries what its two ends agree upon: switched to another protocol, or never HTTP at all.
pub(crate) struct Switched {
    pub(crate) stream: Watched,
    /// What the endpoint sent behind its 101.
    pub(crate) early: Bytes,
    /// How long nothing may move.
    pub(crate) idle: Duration,
    /// It counts as active as long as this lives.
    pub(crate) place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Active,
    Idle,
}

/// What has happened on a connection's socket.
#[derive(Debug)]
pub(super) struct Wire {
    read: Cell<u64>,
    written: Cell<u64>,
    /// Bytes of the request in progress that were written.
    begun: Cell<bool>,
    watch: Watch,
    /// When it ended, in milliseconds of the worker's clock.
    ended: Cell<Option<u64>>,
    /// The request in progress asks for another protocol.
    may_switch: Cell<bool>,
    /// The socket, once hyper has seen a 101, and what was read behind it.
    switched: RefCell<Option<(Watched, Bytes)>>,
    /// Bytes of an answer since its request was handed over; `None`: no head is awaited.
    answer: Cell<Option<u64>>,
    /// The begin of the head with which it ended.
    broken: RefCell<Option<Vec<u8>>>,
}

/// A connection of HTTP/1.1 on loan.
pub(crate) struct Lease {
    connection: Box<Connection>,
    endpoint: Rc<LocalEndpoint>,
    worker: Rc<Worker>,
    last: bool,
    /// Bytes that had been read and written when the request was handed over.
    before: (u64, u64),
}

impl Pool {
    /// Sets what is live: limits, and where connections are counted.
    pub(crate) fn configure(&self, settings: model::Pool, cells: &Arc<PerWorker<UpstreamCells>>, worker: usize) {
        self.settings.set(settings);
        self.cells.replace(Some(Counted { cells: Arc::clone(cells), worker }));
        self.idle.borrow_mut().truncate(settings.idle_connections_max);
        self.http2.truncate(settings.idle_connections_max);
    }

    /// Those that speak HTTP/2.
    pub(super) fn http2(&self) -> &Connections {
        &self.http2
    }

    pub(super) fn idle_connections_max(&self) -> usize {
        self.settings.get().idle_connections_max
    }

    pub(super) fn ping_interval(&self) -> Duration {
        self.settings.get().ping_interval
    }

    /// When a connection that is made now becomes too old, in milliseconds.
    pub(super) fn expiry(&self, worker: &Worker) -> u64 {
        // A tenth more or less, so that connections made together do not end together.
        let age = self.settings.get().age_max.mul_f64(0.9 + 0.2 * worker.random().unit_f64());
        worker.timers.now().saturating_add(milliseconds(age))
    }

    /// A place for one more connection.
    pub(super) fn place(&self, state: State) -> Place {
        let counted = self.cells.borrow().clone().expect("a pool is configured when its endpoint is made");
        counted.gauge(state).add(1);
        Place { counted, state }
    }

    /// Closes what has been idle for too long or was closed by the endpoint. `now` in milliseconds.
    pub(crate) fn sweep(&self, now: u64) {
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            idle.retain(|idle| {
                self.learn(&idle.connection, idle.since);
                idle.until > now && !idle.connection.sender.is_closed()
            });
        }
        drop(idle);
        self.http2.sweep(now, milliseconds(self.settings.get().idle));
    }

    /// Takes note if the endpoint has closed this connection, which had been idle `since`.
    fn learn(&self, connection: &Connection, since: u64) {
        // Taken, so that it is learnt once.
        if let Some(ended) = connection.wire.ended.take() {
            let mut patience = self.patience.get();
            patience.learn(ended.saturating_sub(since));
            self.patience.set(patience);
        }
    }
}

impl Lease {
    /// A connection that is alive as far as we know, from the endpoint's pool, made as and for whom it should be. `surely`: a request
    /// that cannot be repeated is to be sent, so the kernel is asked as well whether the endpoint has closed it; that costs a system call.
    pub(super) fn from_pool(
        endpoint: &Rc<LocalEndpoint>,
        worker: &Rc<Worker>,
        identity: &Identity,
        surely: bool,
    ) -> Option<Self> {
        let now = worker.timers.now();
        let mut idle = endpoint.pool.idle.borrow_mut();
        // Mostly it is the last one, and taking that moves no other.
        while let Some(at) = idle.iter().rposition(|idle| idle.connection.identity == *identity) {
            let Idle { mut connection, since, until } = idle.remove(at);
            let mut alive = until > now && connection.expires > now && connection.sender.is_ready();
            if alive && surely && !connection.wire.watch.is_quiet() {
                connection.wire.ended(now);
                alive = false;
            }
            endpoint.pool.learn(&connection, since);
            if alive {
                connection.place.enter(State::Active);
                connection.reused = true;
                return Some(Self {
                    connection,
                    endpoint: Rc::clone(endpoint),
                    worker: Rc::clone(worker),
                    last: false,
                    before: (0, 0),
                });
            }
        }
        None
    }

    /// A connection that was just made.
    pub(super) fn fresh(
        sender: SendRequest<Body>,
        wire: Rc<Wire>,
        identity: Identity,
        endpoint: &Rc<LocalEndpoint>,
        worker: &Rc<Worker>,
    ) -> Self {
        let connection = Box::new(Connection {
            sender,
            wire,
            expires: endpoint.pool.expiry(worker),
            idle_max: None,
            reused: false,
            place: endpoint.pool.place(State::Active),
            identity,
        });
        Self { connection, endpoint: Rc::clone(endpoint), worker: Rc::clone(worker), last: false, before: (0, 0) }
    }

    pub(super) fn is_reused(&self) -> bool {
        self.connection.reused
    }

    pub(super) fn send(
        &mut self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        let wire = &self.connection.wire;
        self.before = (wire.read.get(), wire.written.get());
        wire.begun.set(false);
        wire.answer.set(Some(0));
        self.connection.sender.try_send_request(request)
    }

    /// How far the request has come.
    pub(super) fn sent(&self) -> Sent {
        let wire = &self.connection.wire;
        let (read, written) = self.before;
        if wire.written.get() == written {
            Sent::Nothing
        } else if wire.read.get() == read {
            Sent::Unanswered
        } else {
            Sent::Answered
        }
    }

    /// The request about to be sent asks for another protocol.
    pub(super) fn may_switch(&self) {
        self.connection.wire.may_switch.set(true);
    }

    /// And was answered in HTTP.
    pub(super) fn stays_http(&self) {
        self.connection.wire.may_switch.set(false);
        self.connection.wire.switched.take();
    }

    /// What the connection became with a 101. hyper ends it in the same turn in which it reads the 101, so it is there.
    pub(super) fn switch(self, idle: Duration) -> Option<Switched> {
        let Connection { wire, place, .. } = *self.connection;
        let (stream, early) = wire.switched.take()?;
        Some(Switched { stream, early, idle, place })
    }

    /// The head of the answer is here: what is read from now on is its body.
    pub(super) fn head_arrived(&self) {
        self.connection.wire.answer.set(None);
    }

    /// The begin of a head with which the connection ended, as it came.
    pub(super) fn broken_head(&self) -> Option<Vec<u8>> {
        self.connection.wire.broken.take()
    }

    /// After this answer the connection must not be used again.
    pub(super) fn is_the_last(&mut self) {
        self.last = true;
    }

    /// The endpoint closes the connection after so many idle seconds. We stop using it a second earlier: a request that is on its
    /// way when the endpoint closes is lost.
    pub(super) fn idle_at_most(&mut self, seconds: u64) {
        self.connection.idle_max = Some(Duration::from_secs(seconds.saturating_sub(1)));
    }

    pub(super) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// The last byte of the answer was read. A connection that is not ready now is still sending its request (the endpoint
    /// answered early) or was closed, and is of no use.
    pub(super) fn give_back(self) {
        let Self { mut connection, endpoint, worker, last, .. } = self;
        let settings = endpoint.pool.settings.get();
        let now = worker.timers.now();
        let mut idle = endpoint.pool.idle.borrow_mut();
        if last || settings.idle_connections_max == 0 || !connection.sender.is_ready() {
            return;
        }
        let endpoints = connection.idle_max.map(milliseconds).or(endpoint.pool.patience.get().limit());
        let idle_for = milliseconds(settings.idle).min(endpoints.unwrap_or(u64::MAX));
        if connection.expires <= now || idle_for == 0 {
            return;
        }
        if idle.len() >= settings.idle_connections_max {
            // What was made otherwise may never be wanted again; what is as good as this one stays instead of it.
            let Some(other) = idle.iter().position(|idle| idle.connection.identity != connection.identity) else {
                return;
            };
            idle.remove(other);
        }
        connection.place.enter(State::Idle);
        idle.push(Idle { connection, since: now, until: now.saturating_add(idle_for) });
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Counted {
    fn cell(&self) -> &UpstreamCells {
        self.cells.cell(self.worker)
    }

    fn gauge(&self, state: State) -> &Gauge {
        match state {
            State::Active => &self.cell().connections_active,
            State::Idle => &self.cell().connections_idle,
        }
    }
}

impl Switched {
    /// A new connection, of which nothing was read.
    pub(super) fn from_the_begin(stream: Stream, endpoint: &LocalEndpoint, idle: Duration) -> Self {
        let (stream, _) = Watched::new(stream);
        Self { stream, early: Bytes::new(), idle, place: endpoint.pool.place(State::Active) }
    }
}

impl Place {
    pub(super) fn enter(&mut self, state: State) {
        self.counted.gauge(self.state).add(-1);
        self.counted.gauge(state).add(1);
        self.state = state;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counted.gauge(self.state).add(-1);
    }
}

impl Wire {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            read: Cell::default(),
            written: Cell::default(),
            begun: Cell::default(),
            watch,
            ended: Cell::default(),
            may_switch: Cell::default(),
            switched: RefCell::default(),
            answer: Cell::default(),
            broken: RefCell::default(),
        }
    }

    fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(super) fn ended(&self, now: u64) {
        self.ended.set(Some(now));
    }

    pub(super) fn may_switch(&self) -> bool {
        self.may_switch.get()
    }

    pub(super) fn switched(&self, stream: Watched, early: Bytes) {
        self.switched.replace(Some((stream, early)));
    }

    /// Keeps the head that was awaited when the connection ended; in the turn in which hyper has judged what it read.
    pub(super) fn keep_head(&self, worker: &Worker) {
        let head = self.answer.get().and_then(|total| worker.answered.head(self.number(), total));
        self.broken.replace(head);
    }

    pub(super) fn read(&self, bytes: &[u8], worker: &Worker) {
        if let Some(before) = self.answer.get() {
            worker.answered.note(self.number(), before, bytes);
            self.answer.set(Some(before + bytes.len() as u64));
        }
        self.read.set(self.read.get() + bytes.len() as u64);
    }

    /// Notes a write of `offered` bytes. Once a part of the request is out, a failure to write the rest is not told to hyper, which
    /// would give up: an endpoint that answers early and closes (413, 401) makes our writing fail while its answer is already
    /// here to be read. If there is none, reading will fail as well.
    pub(super) fn wrote(&self, result: Poll<io::Result<usize>>, offered: usize) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(bytes)) => {
                self.written.set(self.written.get() + bytes as u64);
                self.begun.set(true);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(_)) if self.begun.get() => Poll::Ready(Ok(offered)),
            other => other,
        }
    }
}

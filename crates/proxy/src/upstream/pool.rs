//! The idle connections of one worker to one endpoint: last in, first out, so that the fewest stay warm.
//!
//! No lock: a connection never leaves its worker. A connection of HTTP/1.1 on loan is a [`Lease`]; it comes back when the last byte of the
//! answer was read, and is closed on every other path. Those of HTTP/2 are in `http2`.

use super::{
    attempt::Sent,
    http1::{self, Broken},
    http2::Connections,
    identity::Identity,
    patience::Patience,
};
use crate::{
    body::Body,
    codec::Decoder,
    connection::ClientConnection,
    worker::{LocalEndpoint, Worker},
};
use bytes::Bytes;
use evenkeel_model as model;
use evenkeel_net::Stream;
use evenkeel_telemetry::{Gauge, PerWorker, UpstreamCells};
use http::{Request, Response};
use http_body::Frame;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

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
    http: Rc<http1::Connection>,
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
    pub(crate) stream: Stream,
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

/// A connection of HTTP/1.1 on loan.
pub(crate) struct Lease {
    connection: Box<Connection>,
    endpoint: Rc<LocalEndpoint>,
    worker: Rc<Worker>,
    last: bool,
    /// Writes what is left of a request that was answered before it was whole.
    uploading: Option<AbortOnDropHandle<()>>,
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
        worker.expiry(self.settings.get().age_max)
    }

    /// A place for one more connection.
    pub(super) fn place(&self, state: State) -> Place {
        let counted = self.cells.borrow().clone().expect("a pool is configured when its endpoint is made");
        counted.gauge(state).add(1);
        Place { counted, state }
    }

    /// Closes what has been idle for too long or was closed by the endpoint.
    pub(crate) fn sweep(&self, worker: &Worker) {
        let now = worker.timers.now();
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            idle.retain(|idle| self.is_open(idle, worker) && idle.until > now);
        }
        drop(idle);
        self.http2.sweep(now, milliseconds(self.settings.get().idle));
    }

    /// Whether a connection is open, as far as we know. Takes note of when the endpoint has closed it.
    fn is_open(&self, idle: &Idle, worker: &Worker) -> bool {
        let closed = match idle.connection.http.is_open(worker) {
            Ok(()) => return true,
            Err(closed) => closed,
        };
        if let Some(at) = closed {
            self.learn(idle.since, at);
        }
        false
    }

    /// The endpoint has closed a connection that had been idle from `since` until `at`.
    fn learn(&self, since: u64, at: u64) {
        let mut patience = self.patience.get();
        patience.learn(since, at);
        self.patience.set(patience);
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
            let found = idle.remove(at);
            let fresh = found.until > now && found.connection.expires > now;
            if !endpoint.pool.is_open(&found, worker) || !fresh {
                continue;
            }
            let Idle { mut connection, since, .. } = found;
            if surely && !connection.http.is_quiet() {
                endpoint.pool.learn(since, now);
                continue;
            }
            connection.place.enter(State::Active);
            connection.reused = true;
            return Some(Self::of(connection, endpoint, worker));
        }
        None
    }

    /// A connection that was just made.
    pub(super) fn fresh(stream: Stream, identity: Identity, endpoint: &Rc<LocalEndpoint>, worker: &Rc<Worker>) -> Self {
        let connection = Box::new(Connection {
            http: http1::Connection::new(stream, worker),
            expires: endpoint.pool.expiry(worker),
            idle_max: None,
            reused: false,
            place: endpoint.pool.place(State::Active),
            identity,
        });
        Self::of(connection, endpoint, worker)
    }

    fn of(connection: Box<Connection>, endpoint: &Rc<LocalEndpoint>, worker: &Rc<Worker>) -> Self {
        let (endpoint, worker) = (Rc::clone(endpoint), Rc::clone(worker));
        Self { connection, endpoint, worker, last: false, uploading: None }
    }

    pub(super) fn is_reused(&self) -> bool {
        self.connection.reused
    }

    /// Sends a request and waits for the head of its answer. `agreed` is told of a `100 Continue`.
    pub(super) async fn send(
        &mut self,
        request: &mut Request<Body>,
        agreed: Option<watch::Sender<bool>>,
        client: Option<Rc<ClientConnection>>,
    ) -> Result<Response<Decoder>, Broken> {
        let http = &self.connection.http;
        let mut asked = http.begin(request, agreed, client, &self.worker);
        let response = poll_fn(|cx| http.poll_answer(&mut asked, request.headers_mut(), cx, &self.worker)).await?;
        if http.is_sending() && asked.is_agreed() {
            self.uploading = Some(AbortOnDropHandle::new(self.upload()));
        }
        Ok(response)
    }

    /// The client may send all of its request before it looks at the answer, so somebody must take it.
    fn upload(&self) -> tokio::task::JoinHandle<()> {
        let (http, worker) = (Rc::clone(&self.connection.http), Rc::clone(&self.worker));
        tokio::task::spawn_local(async move {
            if poll_fn(|cx| http.poll_send(cx, &worker)).await.is_err() {
                http.cut();
            }
        })
    }

    /// The next part of the answer's body.
    pub(crate) fn poll_body(
        &self,
        body: &mut Decoder,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.connection.http.poll_body(body, cx, &self.worker)
    }

    /// How far the request has come.
    pub(super) fn sent(&self) -> Sent {
        let http = &self.connection.http;
        if http.has_heard() {
            Sent::Answered
        } else if http.written() == 0 {
            Sent::Nothing
        } else {
            Sent::Unanswered
        }
    }

    /// What the connection became with a 101.
    pub(super) fn switch(self, idle: Duration) -> Option<Switched> {
        drop(self.uploading);
        let Connection { http, place, .. } = *self.connection;
        let (stream, early) = Rc::into_inner(http)?.into_parts();
        Some(Switched { stream, early, idle, place })
    }

    /// What was read of an answer and not understood.
    pub(super) fn unread(&self) -> Bytes {
        self.connection.http.unread()
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

    /// The last byte of the answer was read. A connection that still sends its request (the endpoint answered early), or was closed, is of
    /// no use.
    pub(super) fn give_back(self) {
        let Self { mut connection, endpoint, worker, last, uploading } = self;
        let settings = endpoint.pool.settings.get();
        let now = worker.timers.now();
        let mut idle = endpoint.pool.idle.borrow_mut();
        if last || settings.idle_connections_max == 0 {
            return;
        }
        let endpoints = connection.idle_max.map(milliseconds).or(endpoint.pool.patience.get().limit(now));
        let idle_for = milliseconds(settings.idle).min(endpoints.unwrap_or(u64::MAX));
        if connection.expires <= now || idle_for == 0 || !connection.http.rests(&worker) {
            return;
        }
        // It has nothing left to do.
        drop(uploading);
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

//! The idle connections of one worker to one endpoint: last in, first out, so that the fewest stay warm.
//!
//! No lock: a connection never leaves its worker. A connection of HTTP/1.1 on loan is a [`Lease`]; it comes back when the last byte of the
//! answer was read, and is closed on every other path. One that its client has authenticated comes back for that client alone, and is closed
//! with the client's connection. Those of HTTP/2 are in `http2`.

use super::{
    attempt::Sent,
    http1::{self, Broken},
    http2::Connections,
    identity::Identity,
    patience::Patience,
    place::{Counted, Place, State},
};
use crate::{
    body::Body,
    codec::Decoder,
    connection::{ClientConnection, OwnerId},
    worker::{LocalEndpoint, Worker},
};
use bytes::Bytes;
use evenkeel_balance::Flag;
use evenkeel_model as model;
use evenkeel_net::Stream;
use evenkeel_telemetry::{PerWorker, UpstreamCells};
use http::{Request, Response};
use http_body::Frame;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    rc::{Rc, Weak},
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
    /// Of a client's own, by the number of its connection: one for each. `idle_connections_max` does not hold for them, for a client whose
    /// own was closed would have to authenticate again; they are bounded by what a client may own.
    owned: RefCell<HashMap<OwnerId, Idle>>,
    http2: Connections,
    settings: Cell<model::Pool>,
    patience: Cell<Patience>,
    cells: RefCell<Option<Counted>>,
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
    /// Who has authenticated it; it serves no other.
    owner: Option<Weak<ClientConnection>>,
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

    /// Closes what is idle, and keeps nothing from now on: its endpoint is no longer configured. A request that goes on may hold it for hours.
    pub(crate) fn retire(&self) {
        self.settings.set(model::Pool { idle_connections_max: 0, ..self.settings.get() });
        let idle = self.idle.take();
        let owned = self.owned.take();
        drop((idle, owned));
        self.http2.truncate(0);
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
        Place::new(counted, state)
    }

    /// Closes what has been idle for too long or was closed by the endpoint.
    pub(crate) fn sweep(&self, worker: &Worker) {
        let now = worker.timers.now();
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            idle.retain(|idle| self.is_open(idle, worker) && idle.until > now);
        }
        drop(idle);
        let mut owned = self.owned.borrow_mut();
        if !owned.is_empty() {
            owned.retain(|_, idle| self.is_open(idle, worker) && idle.until > now);
        }
        drop(owned);
        self.http2.sweep(now, milliseconds(self.settings.get().idle));
    }

    /// Whether a connection waits here for its owner.
    pub(crate) fn has_owned(&self, owner: OwnerId) -> bool {
        self.owned.borrow().contains_key(&owner)
    }

    /// Closes what waits here for this owner.
    pub(crate) fn forget_owned(&self, owner: OwnerId) {
        let closed = self.owned.borrow_mut().remove(&owner);
        drop(closed);
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
        let mut idle = endpoint.pool.idle.borrow_mut();
        // Mostly it is the last one, and taking that moves no other.
        while let Some(at) = idle.iter().rposition(|idle| idle.connection.identity == *identity) {
            if let Some(lease) = Self::used_again(idle.remove(at), endpoint, worker, surely) {
                return Some(lease);
            }
        }
        None
    }

    /// The connection that this client has authenticated before, if it is alive; as [`Self::from_pool`].
    pub(super) fn of_owner(
        owner: &ClientConnection,
        endpoint: &Rc<LocalEndpoint>,
        worker: &Rc<Worker>,
        identity: &Identity,
        surely: bool,
    ) -> Option<Self> {
        if !owner.owns_connections() {
            return None;
        }
        let found = endpoint.pool.owned.borrow_mut().remove(&owner.owner_id())?;
        if found.connection.identity != *identity {
            return None;
        }
        Self::used_again(found, endpoint, worker, surely)
    }

    fn used_again(found: Idle, endpoint: &Rc<LocalEndpoint>, worker: &Rc<Worker>, surely: bool) -> Option<Self> {
        let now = worker.timers.now();
        let fresh = found.until > now && found.connection.expires > now;
        if !endpoint.pool.is_open(&found, worker) || !fresh {
            return None;
        }
        let Idle { mut connection, since, .. } = found;
        if surely && !connection.http.is_quiet() {
            endpoint.pool.learn(since, now);
            return None;
        }
        connection.place.enter(State::Active);
        connection.reused = true;
        Some(Self::of(connection, endpoint, worker))
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
            owner: None,
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

    /// This client authenticates the connection, not only a request: from now on it serves no other. A client of HTTP/2 may speak for many
    /// (RFC 9113 knows no such authentication, and browsers go back to HTTP/1.1 for it), so for its next stream it is of no use either.
    pub(super) fn is_authenticated_by(&mut self, client: Option<&Rc<ClientConnection>>) {
        match client.filter(|client| !client.is_http2()) {
            Some(client) => self.connection.owner = Some(Rc::downgrade(client)),
            None => self.last = true,
        }
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
        if last || (settings.idle_connections_max == 0 && connection.owner.is_none()) {
            return;
        }
        let endpoints = connection.idle_max.map(milliseconds).or(endpoint.pool.patience.get().limit(now));
        let idle_for = milliseconds(settings.idle).min(endpoints.unwrap_or(u64::MAX));
        if connection.expires <= now || idle_for == 0 || !connection.http.rests(&worker) {
            return;
        }
        // It has nothing left to do.
        drop(uploading);
        let until = now.saturating_add(idle_for);
        if let Some(owner) = &connection.owner {
            // Else its client is gone, and the connection goes with it.
            let Some(owner) = owner.upgrade() else { return };
            // Its pool is swept no more.
            if endpoint.part.endpoint.has(Flag::Removed) {
                return;
            }
            connection.place.enter(State::Idle);
            endpoint.pool.owned.borrow_mut().insert(owner.owner_id(), Idle { connection, since: now, until });
            owner.owns_connection_to(&endpoint);
            return;
        }
        let mut idle = endpoint.pool.idle.borrow_mut();
        if idle.len() >= settings.idle_connections_max {
            // What was made otherwise may never be wanted again; what is as good as this one stays instead of it.
            let Some(other) = idle.iter().position(|idle| idle.connection.identity != connection.identity) else {
                return;
            };
            idle.remove(other);
        }
        connection.place.enter(State::Idle);
        idle.push(Idle { connection, since: now, until });
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Switched {
    /// A new connection, of which nothing was read.
    pub(super) fn from_the_begin(stream: Stream, endpoint: &LocalEndpoint, idle: Duration) -> Self {
        Self { stream, early: Bytes::new(), idle, place: endpoint.pool.place(State::Active) }
    }
}

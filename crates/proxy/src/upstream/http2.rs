//! The HTTP/2 connections of one worker to one endpoint, and the streams on them.
//!
//! hyper's client queues without bound and is always ready. So each connection counts its own streams here, never has more than
//! its endpoint takes, and another one is made when all are full. A request has a [`Stream`] from its head to the last byte of its
//! answer; its place is free again when hyper has let go of the request's body as well. No lock: no connection leaves its worker.

use super::{
    attempt::{Failure, Sent},
    coming::{Came, Coming, Making},
    connect,
    identity::Identity,
    place::{Place, State},
    preface::{self, Driven, Unopened, Uploads},
};
use crate::{
    body::Body,
    error::{MalformedResponse, ProxyError},
    malformed,
    request::{Exchange, detach},
    worker::{LocalEndpoint, LocalUpstream, Worker},
};
use evenkeel_net::ConnectError;
use h2::Reason as Code;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http2::SendRequest},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::oneshot, task::AbortHandle};

/// Streams at a time on one connection, if the endpoint takes as many: RFC 9113, section 6.5.2, recommends to allow no fewer. More would
/// only make them wait for each other in one socket.
pub(super) const STREAMS_MAX: u32 = 100;

/// The open connections of one worker to one endpoint.
#[derive(Default)]
pub(super) struct Connections {
    open: RefCell<Vec<Rc<Connection>>>,
    coming: Coming,
    /// Heads of answers that have come.
    answers: Cell<u64>,
    /// The endpoint, given the choice, has chosen HTTP/1.1 when it was last asked.
    declined: Cell<bool>,
}

/// One connection.
struct Connection {
    sender: RefCell<SendRequest<Body>>,
    driven: Driven,
    uploads: Rc<Uploads>,
    /// Places that are taken, and how many there were when the endpoint's SETTINGS were last looked at.
    streams: Cell<usize>,
    takes: Cell<usize>,
    /// No new stream after this, in milliseconds of the worker's clock.
    expires: u64,
    /// Since when it carries nothing.
    idle_since: Cell<u64>,
    used: Cell<bool>,
    /// When the last answer began, in the same milliseconds.
    answered: Cell<u64>,
    place: RefCell<Place>,
    /// It serves no request that would have made another one.
    identity: Identity,
}

/// A place for one stream on a connection, free again when this is dropped.
pub(crate) struct Slot {
    connection: Rc<Connection>,
    /// The task that sends the request's body, if there is one.
    upload: RefCell<Option<AbortHandle>>,
    /// The body has been asked for.
    begun: Cell<bool>,
    endpoint: Rc<LocalEndpoint>,
    worker: Rc<Worker>,
}

/// A request's stream.
pub(crate) struct Stream {
    slot: Rc<Slot>,
    reused: bool,
    begun: u64,
}

impl Connections {
    /// Closes what has been idle for too long, and gives no more to what is too old. Times in milliseconds.
    pub(super) fn sweep(&self, now: u64, idle: u64) {
        self.open.borrow_mut().retain(|connection| {
            let rested = connection.streams.get() == 0 && connection.idle_since.get().saturating_add(idle) <= now;
            !rested && connection.is_usable(now)
        });
    }

    /// Closes idle ones above this number. One in use is closed when it becomes idle.
    pub(super) fn truncate(&self, idle_max: usize) {
        let mut idle = 0;
        self.open.borrow_mut().retain(|connection| {
            idle += usize::from(connection.streams.get() == 0);
            connection.streams.get() > 0 || idle <= idle_max
        });
    }

    fn idle(&self) -> usize {
        self.open.borrow().iter().filter(|connection| connection.streams.get() == 0).count()
    }

    /// How many requests were answered.
    pub(super) fn answers(&self) -> u64 {
        self.answers.get()
    }

    /// Whether this one takes new streams, as far as it is up to us.
    fn has(&self, connection: &Rc<Connection>) -> bool {
        self.open.borrow().iter().any(|open| Rc::ptr_eq(open, connection))
    }

    fn forget(&self, connection: &Rc<Connection>) {
        self.open.borrow_mut().retain(|other| !Rc::ptr_eq(other, connection));
    }

    /// The first one with room, so that the others can become idle.
    fn with_room(&self, identity: &Identity, now: u64) -> Option<Rc<Connection>> {
        let open = self.open.borrow();
        open.iter().find(|c| c.identity == *identity && c.is_usable(now) && c.has_room()).cloned()
    }
}

impl Connection {
    fn is_usable(&self, now: u64) -> bool {
        self.expires > now && !self.sender.borrow().is_closed()
    }

    fn has_room(&self) -> bool {
        // A stream may end while hyper is at work on the connection, and then cannot ask.
        if let Some(takes) = preface::takes(&self.driven) {
            self.takes.set(takes.min(STREAMS_MAX as usize));
        }
        self.streams.get() < self.takes.get()
    }
}

/// A place among the requests that wait for a connection that is being made, where there is one that may be of use.
pub(super) fn join(endpoint: &LocalEndpoint, identity: &Identity, exchange: &Exchange) -> Option<Waiting> {
    let connections = endpoint.pool.http2();
    if connections.declined.get() { None } else { connections.coming.join(identity, exchange.begun()).map(Waiting) }
}

/// A place among the waiting requests.
pub(super) struct Waiting(oneshot::Receiver<Came>);

impl Waiting {
    /// Waits until the connection is there or cannot be made. `None`: this is to be tried again.
    pub(super) async fn wait(self, upstream: &LocalUpstream, exchange: &Exchange) -> Option<Result<Stream, Failure>> {
        let came = match exchange.time_left(upstream.part.settings.timeouts.total) {
            None => self.0.await,
            Some(left) => match tokio::time::timeout(left, self.0).await {
                Ok(came) => came,
                Err(_) => return Some(Err(connect::time_is_up(exchange.endpoint_address()))),
            },
        };
        match came.ok()? {
            Came::Stream(stream) => Some(Ok(stream)),
            Came::Failed(error) => Some(Err(Failure { error, sent: Sent::Nothing })),
        }
    }
}

/// How long an endpoint may take until its SETTINGS are there, and as long until it is connected.
pub(super) fn limit(upstream: &LocalUpstream, exchange: &Exchange) -> Duration {
    let timeouts = upstream.part.settings.timeouts;
    exchange.time_left(timeouts.total).map_or(timeouts.connect, |left| left.min(timeouts.connect))
}

/// An attempt to make a connection that may speak HTTP/2. However it ends, others wait for it no longer.
pub(super) struct Attempt<'e> {
    endpoint: &'e Rc<LocalEndpoint>,
    /// `None`: no other request may use it.
    making: Option<Rc<Making>>,
}

impl<'e> Attempt<'e> {
    /// Others may wait for it and share it.
    pub(super) fn begin(endpoint: &'e Rc<LocalEndpoint>, identity: &Identity) -> Self {
        Self { endpoint, making: Some(endpoint.pool.http2().coming.begins(identity)) }
    }

    /// It carries one request and is closed with that.
    pub(super) fn alone(endpoint: &'e Rc<LocalEndpoint>) -> Self {
        Self { endpoint, making: None }
    }

    /// The endpoint has chosen HTTP/1.1. Until it chooses otherwise nobody waits for another's connection.
    pub(super) fn declined(self) {
        self.endpoint.pool.http2().declined.set(true);
    }

    /// There is no connection. The requests that wait for it would get none either, unless only the one that makes it had no more time.
    pub(super) fn failed(&self, failure: &Failure) {
        if let (Some(making), Sent::Nothing) = (&self.making, failure.sent) {
            self.endpoint.pool.http2().coming.ends(making);
            making.tell(|| Some(Came::Failed(failure.error.clone())));
        }
    }

    /// Speaks HTTP/2 on a connection that was just made, and begins a stream on it.
    pub(super) async fn speak(
        self,
        stream: evenkeel_net::Stream,
        identity: Identity,
        upstream: &LocalUpstream,
        exchange: &Exchange,
    ) -> Result<Stream, Failure> {
        let (endpoint, worker) = (self.endpoint, exchange.worker());
        let uploads = Rc::<Uploads>::default();
        let opened = handshake(stream, endpoint, upstream, &uploads, exchange).await;
        let (sender, driven) = opened.inspect_err(|failure| self.failed(failure))?;
        let connection = Rc::new(Connection {
            sender: RefCell::new(sender),
            driven,
            uploads,
            streams: Cell::new(0),
            takes: Cell::new(0),
            expires: endpoint.pool.expiry(worker),
            idle_since: Cell::new(worker.timers.now()),
            used: Cell::new(false),
            answered: Cell::new(0),
            place: RefCell::new(endpoint.pool.place(State::Idle)),
            identity,
        });
        let first = Stream::begin(Rc::clone(&connection), endpoint, worker);
        self.endpoint.pool.http2().declined.set(false);
        self.share(&connection, worker);
        Ok(first)
    }

    /// The waiting requests have their streams before any that comes now.
    fn share(self, connection: &Rc<Connection>, worker: &Rc<Worker>) {
        let (endpoint, connections) = (self.endpoint, self.endpoint.pool.http2());
        let Some(making) = &self.making else { return };
        let mut room = connection.has_room();
        connections.coming.learn(connection.takes.get());
        connections.coming.ends(making);
        connections.open.borrow_mut().push(Rc::clone(connection));
        // Made with other files of TLS than it was to be made with, it is not the one that they wait for.
        room &= connection.identity == *making.identity();
        making.tell(|| {
            room &= connection.has_room();
            room.then(|| Came::Stream(Stream::begin(Rc::clone(connection), endpoint, worker)))
        });
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(making) = &self.making {
            self.endpoint.pool.http2().coming.ends(making);
            making.tell(|| None);
        }
    }
}

/// Our preface, and the endpoint's SETTINGS.
async fn handshake(
    stream: evenkeel_net::Stream,
    endpoint: &LocalEndpoint,
    upstream: &LocalUpstream,
    uploads: &Rc<Uploads>,
    exchange: &Exchange,
) -> Result<(SendRequest<Body>, Driven), Failure> {
    let limit = limit(upstream, exchange);
    let address = exchange.endpoint_address();
    let opening = preface::open(stream, endpoint.pool.ping_interval(), uploads);
    let error = match tokio::time::timeout(limit, opening).await {
        Ok(Ok(opened)) => return Ok(opened),
        Ok(Err(Unopened::Broken(error))) => broken(&error, exchange),
        Ok(Err(Unopened::Refused(cause))) => ProxyError::TlsFailed { endpoint: address, cause },
        Ok(Err(Unopened::Silent)) => {
            ProxyError::UpstreamReset { endpoint: address, cause: "closed instead of SETTINGS".into() }
        }
        // It is the request whose time was short.
        Err(_) if exchange.time_left(upstream.part.settings.timeouts.total) == Some(Duration::ZERO) => {
            return Err(connect::time_is_up(address));
        }
        Err(_) => ProxyError::ConnectFailed { endpoint: address, cause: ConnectError::TimedOut { waited: limit } },
    };
    Err(Failure { error, sent: Sent::Nothing })
}

impl Stream {
    /// On a connection that is there and has room.
    pub(super) fn on_open(endpoint: &Rc<LocalEndpoint>, identity: &Identity, worker: &Rc<Worker>) -> Option<Self> {
        let connection = endpoint.pool.http2().with_room(identity, worker.timers.now())?;
        Some(Self::begin(connection, endpoint, worker))
    }

    fn begin(connection: Rc<Connection>, endpoint: &Rc<LocalEndpoint>, worker: &Rc<Worker>) -> Self {
        if connection.streams.get() == 0 {
            connection.place.borrow_mut().enter(State::Active);
        }
        connection.streams.set(connection.streams.get() + 1);
        let reused = connection.used.replace(true);
        let slot = Slot {
            connection,
            upload: RefCell::default(),
            begun: Cell::new(false),
            endpoint: Rc::clone(endpoint),
            worker: Rc::clone(worker),
        };
        Self { slot: Rc::new(slot), reused, begun: worker.timers.now() }
    }

    /// The head of its answer is there.
    pub(super) fn head_arrived(&self) {
        self.slot.connection.answered.set(self.slot.worker.timers.now());
        let answers = &self.slot.endpoint.pool.http2().answers;
        answers.set(answers.get() + 1);
    }

    /// No answer came in its time. If none came to any other request since it began, the connection may be dead without a word, which a PING
    /// would show only later: it gets no more requests, and those that it has go on.
    pub(super) fn timed_out(&self) {
        if self.slot.connection.answered.get() < self.begun {
            self.slot.endpoint.pool.http2().forget(&self.slot.connection);
        }
    }

    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(super) fn worker(&self) -> &Rc<Worker> {
        &self.slot.worker
    }

    pub(super) fn send(
        &self,
        mut request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        // hyper may still be sending the body when the answer is complete.
        request.body_mut().holds(Rc::clone(&self.slot));
        detach(request.headers_mut());
        self.slot.connection.sender.borrow_mut().try_send_request(request)
    }

    /// Why there is no answer, and how far the request came. `returned`: hyper gave it back.
    pub(super) fn judge(&self, error: &hyper::Error, returned: bool, exchange: &Exchange) -> Failure {
        let cause = cause(error);
        let sent = match cause {
            _ if returned => Sent::LeftOut,
            // RFC 9113, section 8.7: in both cases the endpoint has done nothing with it.
            Some(h2) if h2.is_remote() && (h2.is_go_away() || h2.reason() == Some(Code::REFUSED_STREAM)) => {
                Sent::LeftOut
            }
            Some(h2) if h2.is_library() => Sent::Answered,
            _ => Sent::Unanswered,
        };
        // All but a reset of this stream concerns the connection.
        if returned || cause.is_none_or(|h2| !h2.is_reset()) {
            self.slot.endpoint.pool.http2().forget(&self.slot.connection);
        }
        Failure { error: broken(error, exchange), sent }
    }
}

fn cause(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn broken(error: &hyper::Error, exchange: &Exchange) -> ProxyError {
    let endpoint = exchange.endpoint_address();
    match cause(error) {
        Some(h2) if h2.is_library() => {
            malformed::response(h2, None, exchange);
            ProxyError::MalformedResponse { endpoint, cause: MalformedResponse::Unparsable }
        }
        Some(h2) => ProxyError::UpstreamReset { endpoint, cause: Arc::from(h2.to_string()) },
        None => ProxyError::UpstreamReset { endpoint, cause: Arc::from(error.to_string()) },
    }
}

/// The answer is complete, or nobody wants the rest of it: what is left of the request is of no use either. hyper waits for ever where the
/// endpoint gives no window. Without the task h2 resets the stream (CANCEL).
impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(upload) = self.slot.upload.take() {
            upload.abort();
        }
    }
}

impl Slot {
    /// The body is asked for. hyper does so for the first time right before it spawns a task for it, if it needs one.
    pub(crate) fn upload_begins(self: &Rc<Self>) {
        if !self.begun.replace(true) {
            self.connection.uploads.begins(self);
        }
    }

    /// Gives the place that is free now to a request that waits for a connection, if there is one.
    fn hands_over(&self) -> bool {
        let (connection, connections) = (&self.connection, self.endpoint.pool.http2());
        if connections.coming.is_empty() || !connections.has(connection) {
            return false;
        }
        if !connection.is_usable(self.worker.timers.now()) || !connection.has_room() {
            return false;
        }
        let Some(waiting) = connections.coming.next(&connection.identity) else { return false };
        // Should that be gone, the place is free again, for the next one.
        let _ = waiting.send(Came::Stream(Stream::begin(Rc::clone(connection), &self.endpoint, &self.worker)));
        true
    }

    pub(super) fn is_uploaded_by(&self, task: AbortHandle) {
        self.upload.replace(Some(task));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.streams.set(connection.streams.get() - 1);
        if self.hands_over() || connection.streams.get() > 0 {
            return;
        }
        connection.idle_since.set(self.worker.timers.now());
        connection.place.borrow_mut().enter(State::Idle);
        let pool = &self.endpoint.pool;
        if pool.http2().idle() > pool.idle_connections_max() {
            pool.http2().forget(connection);
        }
    }
}

//! What we know of one client connection, and where it is between two requests.
//!
//! Shared by the IO wrapper, which sees bytes, the driver, which enforces time, and the requests, which begin and end.

use super::{
    http1::Hints,
    leaving::Leaving,
    owned::{Owned, OwnerId},
    streams::{Offer, Streams},
    tls::Secured,
    tunnel::Tunnel,
    uptake::Uptake,
};
use crate::worker::{LocalEndpoint, LocalListener, Timer, Worker};
use bytes::Bytes;
use evenkeel_guard::Permit;
use evenkeel_model::ClientTimeouts;
use evenkeel_net::{Peer, Stream};
use evenkeel_telemetry::{Http2Fault, ListenerCells, Reason};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use std::{
    cell::{Cell, OnceCell, RefCell},
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The rest of a head.
    Head,
    /// Us, or the endpoint, or the client taking its answer; with HTTP/2, of at least one request.
    Request,
    /// The next request.
    Idle,
    /// Nothing: it is no longer HTTP, and its tunnel keeps the time.
    Tunnel,
    /// Nothing: it never is HTTP, and its session keeps the time.
    Session,
    /// The client's end: it has had its last answer.
    Over,
}

/// One client connection.
pub(crate) struct ClientConnection {
    worker: Rc<Worker>,
    listener: Rc<LocalListener>,
    /// For whom it speaks: who has connected, unless a PROXY header says another.
    peer: Cell<Peer>,
    /// Where the peer has connected to; empty until somebody says it or an endpoint is to be told.
    reached: OnceCell<Option<SocketAddr>>,
    /// The peer's address as a field value; made with the first request.
    forwarded_for: OnceCell<HeaderValue>,
    /// For the head, the idle time, and a client that does not take its answer; these exclude each other.
    timer: Timer,
    stage: Cell<Stage>,
    /// Present once it speaks HTTP/2. Then heads are read by `h2`.
    streams: OnceCell<Streams>,
    /// From here on, in milliseconds of the worker's clock, it is too old.
    expires: u64,
    /// Bytes read since the last head was complete: a part of the next head, if any.
    early: Cell<u64>,
    /// Bytes have come during a request that are not known to be its body.
    ahead: Cell<bool>,
    /// The head of the request in progress, as it came, until that is answered; for people only.
    head: RefCell<Bytes>,
    uptake: Uptake,
    abort: Cell<bool>,
    served: Cell<bool>,
    gave_up: Cell<Option<Reason>>,
    parting: Cell<bool>,
    tardy: Cell<bool>,
    gone: Cell<bool>,
    http10: Cell<bool>,
    hints: Hints,
    /// Opened once the client has been told.
    tunnel: RefCell<Option<Tunnel>>,
    /// Connections to endpoints that it has authenticated.
    owned: Owned,
    leaving: Leaving,
    /// Where it is found when somebody wants its place.
    seat: usize,
    /// Within TLS, once the handshake is over.
    secured: OnceCell<Box<Secured>>,
    _permit: Permit,
}

impl ClientConnection {
    pub(crate) fn new(worker: &Rc<Worker>, listener: &Rc<LocalListener>, peer: Peer, permit: Permit) -> Rc<Self> {
        let timer = worker.timers.timer();
        timer.set(listener.timeouts.get().request_head);
        let connection = Rc::new_cyclic(|this| Self {
            expires: listener.connection_age_max.get().map_or(u64::MAX, |age| worker.expiry(age)),
            streams: OnceCell::new(),
            worker: Rc::clone(worker),
            listener: Rc::clone(listener),
            peer: Cell::new(peer),
            reached: OnceCell::new(),
            forwarded_for: OnceCell::new(),
            timer,
            stage: Cell::new(Stage::Head),
            early: Cell::new(0),
            ahead: Cell::new(false),
            head: RefCell::default(),
            uptake: Uptake::default(),
            abort: Cell::new(false),
            served: Cell::new(false),
            gave_up: Cell::new(None),
            parting: Cell::new(false),
            tardy: Cell::new(false),
            gone: Cell::new(false),
            http10: Cell::new(false),
            hints: Hints::default(),
            tunnel: RefCell::default(),
            owned: Owned::default(),
            leaving: Leaving::default(),
            seat: worker.places.sit(this),
            secured: OnceCell::new(),
            _permit: permit,
        });
        connection.cells().connections.add(1);
        connection.cells().connections_total.inc();
        connection
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    pub(crate) fn listener(&self) -> &LocalListener {
        &self.listener
    }

    pub(crate) fn cells(&self) -> &ListenerCells {
        self.listener.part.cells.cell(self.worker.id)
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer.get()
    }

    /// Where the peer has connected to, when that is an address.
    pub(crate) fn reached(&self) -> Option<SocketAddr> {
        self.reached.get().copied().flatten()
    }

    /// As a PROXY header says.
    pub(super) fn has_reached(&self, address: Option<SocketAddr>) {
        let fresh = self.reached.set(address);
        debug_assert!(fresh.is_ok(), "there is one PROXY header for a connection");
    }

    /// Asks the socket where its peer has connected to, if endpoints are told so and no PROXY header said it. A system call of each
    /// connection that nobody else needs.
    pub(super) fn learn_reached(&self, stream: &Stream) {
        if self.reached.get().is_none() && self.worker.announces_clients() {
            self.has_reached(stream.local());
        }
    }

    /// By what pools know it. Its address: a connection that is still in use when its owner goes is closed, so none outlives it.
    pub(crate) fn owner_id(&self) -> OwnerId {
        std::ptr::from_ref(self).addr()
    }

    /// Whether connections to endpoints may be waiting for it alone.
    pub(crate) fn owns_connections(&self) -> bool {
        self.owned.any()
    }

    /// A connection that serves only this client waits in the endpoint's pool.
    pub(crate) fn owns_connection_to(&self, endpoint: &Rc<LocalEndpoint>) {
        self.owned.add(endpoint, self.owner_id());
    }

    /// From now on, and before any request, the connection speaks for this peer.
    pub(super) fn speaks_for(&self, peer: Peer) {
        debug_assert!(self.forwarded_for.get().is_none(), "nobody has been told of another peer");
        self.peer.set(peer);
    }

    pub(crate) fn timeouts(&self) -> ClientTimeouts {
        self.listener.timeouts.get()
    }

    /// The connection's own timer, for the driver.
    pub(crate) fn clock(&self) -> &Timer {
        &self.timer
    }

    /// Another timer of the same worker.
    pub(crate) fn timer(&self) -> Timer {
        self.worker.timers.timer()
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Whether a byte of a request has come, ever.
    pub(crate) fn silent(&self) -> bool {
        !self.served.get() && self.early.get() == 0
    }

    /// Whether the client must be told that this connection ends.
    pub(crate) fn closing(&self) -> bool {
        self.leaving.gives_way()
            || self.listener.closing.get()
            || self.worker.announces_end()
            || self.worker.timers.now() >= self.expires
    }

    /// How long until it is too old, if ever.
    pub(super) fn time_to_live(&self) -> Option<Duration> {
        let left = || Duration::from_millis(self.expires.saturating_sub(self.worker.timers.now()));
        (self.expires != u64::MAX).then(left)
    }

    /// It is HTTP/2 that the client speaks.
    pub(super) fn speaks_http2(&self) {
        let fresh = self.streams.set(Streams::new(&self.worker));
        debug_assert!(fresh.is_ok(), "a connection chooses once what it speaks");
    }

    /// What its requests are, if it speaks HTTP/2.
    pub(super) fn streams(&self) -> Option<&Streams> {
        self.streams.get()
    }

    /// Whether it carries many requests at a time, each with an end of its own.
    pub(crate) fn is_http2(&self) -> bool {
        self.streams.get().is_some()
    }

    /// Whether a request has come, ever.
    pub(super) fn has_served(&self) -> bool {
        self.served.get()
    }

    /// It ends for what its client does, and says so with its last bytes.
    pub(super) fn part_with(&self, fault: Http2Fault) {
        self.breaks_http2(fault);
        self.parting.set(true);
    }

    /// What is still to be said when the socket closes.
    pub(super) fn last_words(&self) -> Option<[u8; 17]> {
        self.streams.get().filter(|_| self.parting.get()).map(Streams::goaway)
    }

    /// Counts what a client has done to HTTP/2.
    pub(super) fn breaks_http2(&self, fault: Http2Fault) {
        self.cells().http2_faults(fault).inc();
    }

    /// Whether the connection must end with the request in progress, and at once if there is none.
    pub(crate) fn must_end(&self) -> bool {
        self.listener.ended.get() || self.worker.ends()
    }

    /// Ready when it must end and no request is lost with it: it waits for the next one, or nothing came in time since it was opened. What has
    /// begun has the time that it always has.
    pub(super) fn poll_leave(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.must_end() && !self.leaving.gives_way() {
            return Poll::Pending;
        }
        if self.served.get() {
            return Poll::Ready(());
        }
        if self.leaving.is_heard() || self.early.get() > 0 {
            return Poll::Pending;
        }
        self.leaving.poll_last_call(|| self.timer(), cx)
    }

    /// Since when it waits for its next request, in milliseconds of the worker's clock. `None`: it does not, or ends already.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let waits = self.stage.get() == Stage::Idle && !self.uptake.is_stalled() && !self.leaving.gives_way();
        let idle = u64::try_from(self.timeouts().idle.as_millis()).unwrap_or(u64::MAX);
        waits.then(|| self.timer.due().saturating_sub(idle))
    }

    /// Its place is wanted: it ends, unless a request has come in this moment; then after that.
    pub(crate) fn give_way(&self) {
        debug_assert_eq!(self.stage.get(), Stage::Idle, "what is at work is not disturbed");
        self.leaving.give_way();
        self.cells().connections_reclaimed.inc();
        self.timer.wake();
    }

    pub(super) fn gives_way(&self) -> bool {
        self.leaving.gives_way()
    }

    /// The client has begun what it must say before HTTP.
    pub(super) fn is_heard(&self) {
        self.leaving.hears();
    }

    /// Whether it must end before its client has said anything of what is waited for.
    pub(super) fn ends_unheard(&self) -> bool {
        self.must_end() && !self.leaving.is_heard()
    }

    /// What comes before HTTP is over; from now on the first head is waited for.
    pub(super) fn awaits_head(&self) {
        self.timer.set(self.timeouts().request_head);
        self.leaving.begins_anew();
    }

    /// The handshake is over.
    pub(super) fn secured(&self, secured: Secured) {
        self.awaits_head();
        // There is one handshake for a connection.
        let _ = self.secured.set(Box::new(secured));
    }

    /// What the TLS handshake has told, if there was one.
    pub(crate) fn tls(&self) -> Option<&Secured> {
        self.secured.get().map(|secured| &**secured)
    }

    /// What goes into `X-Forwarded-For`. RFC 7239, section 6, has `unknown` for a peer without address.
    pub(crate) fn forwarded_for(&self) -> &HeaderValue {
        self.forwarded_for.get_or_init(|| {
            let text = self.peer.get().ip().map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
            HeaderValue::try_from(text).expect("an address has no control bytes")
        })
    }

    /// An endpoint has said something before its answer (RFC 9110, section 15.2), which is passed on: not to HTTP/1.0, which has no such thing,
    /// nor over HTTP/2, where our library cannot send it.
    pub(crate) fn hint(&self, status: StatusCode, fields: &HeaderMap) {
        if !self.is_http2() && !self.is_http10() {
            self.hints.add(status, fields);
        }
    }

    pub(super) fn hints(&self) -> &Hints {
        &self.hints
    }

    /// Whether the request in progress is HTTP/1.0, whose answer has no chunks.
    pub(crate) fn is_http10(&self) -> bool {
        self.http10.get()
    }

    /// With HTTP/2, gives the offers that will be made to its client.
    pub(crate) fn request_begins(&self, version: Version) -> Option<Rc<Offer>> {
        if let Some(streams) = self.streams.get() {
            self.stage.set(Stage::Request);
            self.served.set(true);
            if !self.uptake.is_stalled() {
                self.timer.clear();
            }
            return Some(streams.begins());
        }
        self.http10.set(version < Version::HTTP_11);
        self.stage.set(Stage::Request);
        self.served.set(true);
        self.early.set(0);
        self.hints.begin();
        self.ahead.set(false);
        self.uptake.begin();
        self.timer.clear();
        None
    }

    /// What has come so far during the request was its body. A begin of the next head in the same bytes has the idle time, until
    /// more of it comes.
    pub(crate) fn body_ends(&self) {
        self.ahead.set(false);
    }

    /// All that has come since the request was answered was its body, but for what is `ahead` of another one.
    pub(super) fn has_discarded(&self, ahead: bool) {
        let next = if ahead { Stage::Head } else { Stage::Idle };
        if self.stage.replace(next) != next {
            self.wait_for(next);
        }
    }

    pub(crate) fn request_ends(&self) {
        if self.carries() {
            return;
        }
        if self.streams.get().is_some_and(|streams| !streams.ends()) {
            return;
        }
        // Bytes that came meanwhile are the begin of the next head (pipelining), and are held there.
        let next = if self.ahead.get() { Stage::Head } else { Stage::Idle };
        self.stage.set(next);
        if !self.uptake.is_stalled() {
            self.wait_for(next);
        }
    }

    fn wait_for(&self, stage: Stage) {
        match stage {
            Stage::Head => self.timer.set(self.timeouts().request_head),
            Stage::Idle => self.timer.set(self.timeouts().idle),
            Stage::Request => self.timer.clear(),
            Stage::Tunnel | Stage::Session | Stage::Over => {}
        }
    }

    pub(super) fn heard(&self, head: Bytes) {
        self.head.replace(head);
    }

    /// The head of the request in progress, as it came.
    pub(crate) fn heard_head(&self) -> Option<Bytes> {
        Some(self.head.borrow().clone()).filter(|head| !head.is_empty())
    }

    /// Whether its bytes are nothing to us.
    fn carries(&self) -> bool {
        matches!(self.stage.get(), Stage::Tunnel | Stage::Session | Stage::Over)
    }

    pub(super) fn read(&self, bytes: &[u8]) {
        if self.carries() {
            self.cells().bytes_in.add(bytes.len() as u64);
            return;
        }
        if let Some(streams) = self.streams.get() {
            self.cells().bytes_in.add(bytes.len() as u64);
            self.early.set(1);
            if streams.read(bytes, self.worker.timers.now()) && self.stage.get() == Stage::Head {
                self.stage.set(Stage::Idle);
                self.wait_for(Stage::Idle);
            }
            return;
        }
        if self.stage.get() == Stage::Request {
            self.ahead.set(true);
        }
        let bytes = bytes.len() as u64;
        self.cells().bytes_in.add(bytes);
        self.early.set(self.early.get() + bytes);
        if self.stage.get() == Stage::Idle {
            self.stage.set(Stage::Head);
            self.wait_for(Stage::Head);
        }
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.cells().bytes_out.add(bytes as u64);
        if let Some(streams) = self.streams.get() {
            streams.room().wrote(bytes);
        }
        if self.uptake.wrote(bytes as u64, self.worker.timers.now()) {
            self.wait_for(self.stage.get());
        }
    }

    /// The client takes no bytes now. If that lasts too long, it is given up.
    pub(super) fn cannot_write(&self, stream: &Stream) {
        if self.carries() {
            return;
        }
        let first = self.uptake.begins_to_stall();
        if first || self.timer.is_due() {
            match self.uptake.look(first, stream.unsent(), self.timeouts(), self.worker.timers.now()) {
                Ok(left) => self.timer.set(left),
                Err(reason) => self.gave_up.set(Some(reason)),
            }
        }
    }

    /// Whether the client has stopped taking its answer.
    pub(crate) fn write_stalled(&self) -> bool {
        self.uptake.is_stalled()
    }

    /// We wait no longer for the client to take the answer that `end` ends; it goes on with others.
    pub(super) fn give_up_one(&self, reason: Reason, end: impl FnOnce()) {
        let all = self.gave_up.replace(Some(reason));
        end();
        self.gave_up.set(all);
    }

    /// Why we wait no longer for the client to take its answer, if so.
    pub(crate) fn gave_up(&self) -> Option<Reason> {
        self.gave_up.get()
    }

    /// The client ended its side in the middle of a request: whatever we say would answer a request that was never made.
    pub(crate) fn client_is_gone(&self) {
        // A stream of HTTP/2 ends alone, and hyper and h2 see to it.
        self.gone.set(!self.is_http2());
    }

    /// The client takes too long over a request: it is answered, and not waited for any more.
    pub(crate) fn is_too_slow(&self) {
        self.tardy.set(true);
    }

    /// Whether what the client still sends may be waited for, so that it reads its answer.
    pub(super) fn may_linger(&self) -> bool {
        !self.tardy.get()
    }

    pub(super) fn is_client_gone(&self) -> bool {
        self.gone.get()
    }

    pub(crate) fn abort_on_close(&self) {
        self.abort.set(true);
    }

    pub(super) fn aborts(&self) -> bool {
        self.abort.get()
    }

    /// An endpoint has agreed to switch protocols.
    pub(crate) fn will_tunnel(&self, tunnel: Tunnel) {
        self.tunnel.replace(Some(tunnel));
    }

    pub(super) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.take()
    }

    pub(super) fn becomes_tunnel(&self) {
        self.stage.set(Stage::Tunnel);
        self.uptake.stalls_no_more();
        self.cells().tunnels.add(1);
    }

    /// What still comes is thrown away.
    pub(super) fn becomes_nothing(&self) {
        self.stage.set(Stage::Over);
        self.uptake.stalls_no_more();
    }

    /// Its bytes are passed on as they are.
    pub(super) fn becomes_session(&self) {
        self.stage.set(Stage::Session);
        self.timer.clear();
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.owned.end(self.owner_id());
        self.worker.places.leave(self.seat);
        self.cells().connections.add(-1);
        if self.stage.get() == Stage::Tunnel {
            self.cells().tunnels.add(-1);
        }
    }
}

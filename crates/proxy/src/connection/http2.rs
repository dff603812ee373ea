//! Drives one HTTP/2 connection: hyper and `h2` parse and write, we keep the time, hold the limits and notice the end.
//!
//! Each stream is a task of its own, so that none waits for another; each is served as a request of HTTP/1.1 is. What `h2` does not
//! bound is bounded here: streams whose endpoint is still busy (`streams`), frames that cost the client nothing (`frames`), and clients
//! that never take their answer (`Served`).

use super::{
    client::{ClientConnection, Stage},
    io::ClientIo,
    leftover::Leftover,
    streams::{Offer, Streams},
    turn::{Answering, Gone, Turn},
};
use crate::{
    body::{self, Body},
    http2::{Side, Sieve},
    worker::{Pace, Timer, faults},
};
use evenkeel_net::Stream;
use evenkeel_telemetry::{Http2Fault, Reason};
use h2::Reason as Code;
use http::{Method, Request, Response};
use hyper::{body::Incoming, ext::Protocol, server::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tower::Service;

/// What a client may send on one stream before we have passed it on.
const STREAM_WINDOW: u32 = 256 * 1024;
/// And on all streams together: many times more, so that uploads that are stuck at their endpoints leave room for the others. From it h2
/// (0.4.20, `DataFrameBudget`) derives how many small DATA frames may wait: some 16 000 of ten bytes here. A gRPC client that streams tiny
/// messages faster than its endpoint takes them has that many in one window of a stream; with 2 MiB its whole connection would be
/// ended for 4 000. As much as nginx lets 128 streams have together (`http2_body_preread_size`).
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Bytes of an answer that wait for the client, for each stream.
const SEND_BUFFER: usize = 64 * 1024;

/// How a connection ended.
enum Ended {
    Http(Result<(), hyper::Error>),
    /// For what `h2` would not end it, or not with the right word.
    Fault(Http2Fault),
    TimedOut,
    /// A head did not come to its end.
    HeadTimedOut,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S>(service: S, stream: Stream, connection: Rc<ClientConnection>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    connection.speaks_http2();
    let sieve = Sieve::new(Side::Requests, head_max(&connection) as usize);
    let io = TokioIo::new(ClientIo::new(stream, Rc::clone(&connection)).through(sieve));
    let adapter = Adapter { service, connection: Rc::clone(&connection) };
    let mut http = pin!(builder(&connection).serve_connection(io, adapter));
    let age = connection.time_to_live().map(|left| {
        let timer = connection.timer();
        timer.set(left);
        timer
    });
    let mut heads = Heads::default();
    let mut leaving = false;
    let ended = std::future::poll_fn(|cx| {
        loop {
            if !leaving && leaves(&connection) {
                leaving = true;
                http.as_mut().graceful_shutdown();
                // One that does not answer is waited for as long as one whose idle time is over.
                if connection.stage() == Stage::Idle && !connection.write_stalled() {
                    connection.clock().set(connection.timeouts().request_head);
                }
            }
            if let Poll::Ready(result) = http.as_mut().poll(cx) {
                return Poll::Ready(Ended::Http(result));
            }
            if let Some(streams) = connection.streams().filter(|_| !connection.write_stalled()) {
                streams.room().drained();
            }
            if let Some(fault) = connection.streams().and_then(Streams::fault) {
                return Poll::Ready(Ended::Fault(fault));
            }
            if heads.poll(&connection, cx).is_ready() {
                return Poll::Ready(Ended::HeadTimedOut);
            }
            // No preface: there is nobody to tell that it ends.
            if connection.silent() && connection.poll_leave(cx).is_ready() {
                return Poll::Ready(Ended::Http(Ok(())));
            }
            if !leaving && age.as_ref().is_some_and(|age| age.poll(cx).is_ready()) && leaves(&connection) {
                continue;
            }
            ready!(connection.clock().poll(cx));
            if leaving || connection.stage() != Stage::Idle || connection.write_stalled() {
                return Poll::Ready(Ended::TimedOut);
            }
            connection.cells().idle_timeouts.inc();
            // Idle for too long. GOAWAY first: a request may be on its way (RFC 9113, section 6.8).
            leaving = true;
            http.as_mut().graceful_shutdown();
            connection.clock().set(connection.timeouts().request_head);
        }
    })
    .await;
    match ended {
        Ended::Http(Ok(())) => {}
        Ended::Http(Err(error)) => report(&error, &connection),
        Ended::Fault(fault) => {
            tracing::debug!(peer = %connection.peer(), "client connection: {}", fault.as_str());
            connection.part_with(fault);
        }
        Ended::TimedOut => time_out(&connection),
        Ended::HeadTimedOut => {
            faults::unparsed(&connection, 408, Reason::RequestTimeout);
        }
    }
}

/// The time that a client takes for a head. h2 waits for ever, and nothing else can come before its end, so the connection is of no use to
/// the other streams either.
#[derive(Default)]
struct Heads {
    /// Which one it is, with a clock that is made for the first that does not come in one piece.
    open: Option<u64>,
    clock: Option<Timer>,
}

impl Heads {
    /// Ready: it took too long. After each turn of hyper, which reads.
    fn poll(&mut self, connection: &ClientConnection, cx: &Context<'_>) -> Poll<()> {
        // While the client takes nothing of what is written, h2 may have stopped to read; that has a time of its own.
        let open = connection.streams().filter(|_| !connection.write_stalled()).and_then(Streams::open_head);
        if self.open != open {
            self.open = open;
            match (open, &self.clock) {
                (Some(_), _) => {
                    let clock = self.clock.get_or_insert_with(|| connection.timer());
                    clock.set(connection.timeouts().request_head);
                }
                (None, Some(clock)) => clock.clear(),
                (None, None) => {}
            }
        }
        match &self.clock {
            Some(clock) if open.is_some() => clock.poll(cx),
            _ => Poll::Pending,
        }
    }
}

/// Twice what we allow, with what HPACK counts beside the text (32 bytes a field): so heads that are too large are answered, counted and logged
/// by us, and only absurd ones by h2.
fn head_max(connection: &ClientConnection) -> u32 {
    let limits = connection.worker().snapshot().shared().config().limits;
    u32::try_from(limits.request_head_max.0.saturating_mul(2)).unwrap_or(u32::MAX)
}

fn builder(connection: &Rc<ClientConnection>) -> http2::Builder<Spawner> {
    let limits = connection.worker().snapshot().shared().config().limits;
    let pings = connection.listener().pings.get();
    let mut http = http2::Builder::new(Spawner(Rc::clone(connection)));
    http.max_concurrent_streams(limits.streams_max)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(head_max(connection))
        // WebSockets (RFC 8441).
        .enable_connect_protocol()
        .timer(TokioTimer::new())
        .keep_alive_interval(pings.interval)
        .keep_alive_timeout(pings.timeout);
    http
}

/// Whether the client must be told to take its next requests elsewhere. One that has not asked anything yet is told with its first answer:
/// else it might connect here again and again and never be served.
fn leaves(connection: &ClientConnection) -> bool {
    connection.must_end() || connection.gives_way() || (connection.closing() && connection.has_served())
}

/// hyper has answered it with GOAWAY, if that could be.
fn report(error: &hyper::Error, connection: &ClientConnection) {
    if let Some(fault) = blame(error, connection) {
        connection.breaks_http2(fault);
    }
    tracing::debug!(peer = %connection.peer(), "client connection: {error}: {:?}", std::error::Error::source(error));
}

/// What the client did, if it was the client.
fn blame(error: &hyper::Error, connection: &ClientConnection) -> Option<Http2Fault> {
    let cause = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    if !cause.is_library() {
        return None;
    }
    if connection.stage() == Stage::Head {
        return Some(Http2Fault::Preface);
    }
    // h2 does not tell which of its limits was passed; what came last does.
    let calmed = cause.reason() == Some(Code::ENHANCE_YOUR_CALM);
    let flood = connection.streams().filter(|_| calmed).map(Streams::likely_flood);
    Some(flood.unwrap_or(Http2Fault::Protocol))
}

fn time_out(connection: &ClientConnection) {
    if connection.write_stalled() {
        // What we hold for this client will never be taken; an orderly end would wait for it.
        connection.abort_on_close();
    } else if connection.stage() == Stage::Head && !connection.silent() {
        faults::unparsed(connection, 408, Reason::RequestTimeout);
    }
}

/// hyper's service: gives each request its connection and its turn, and hands it on.
struct Adapter<S> {
    service: S,
    connection: Rc<ClientConnection>,
}

impl<S> hyper::service::Service<Request<Incoming>> for Adapter<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    type Response = Response<Body>;
    type Error = h2::Error;
    type Future = Answer<Answering<S>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let open = self.connection.streams().map_or(0, |streams| streams.open());
        let limits = self.connection.worker().snapshot().shared().config().limits;
        if open >= limits.streams_max {
            return Answer::Refused;
        }
        let turn = Turn::begin(&self.connection, request.version());
        if *request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some() {
            turn.may_switch(hyper::upgrade::on(&mut request));
        }
        let request = request.map(|incoming| turn.body(body::Incoming::Http2(incoming)));
        Answer::Served { answer: Answering::begin(&self.service, request, turn) }
    }
}

pin_project! {
    /// An answer, or the refusal of a stream above the limit, which tells the client that nothing was done (RFC 9113, section 8.7).
    #[project = AnswerState]
    enum Answer<F> {
        Served { #[pin] answer: F },
        Refused,
    }
}

impl<F: Future<Output = Result<Response<Body>, Gone>>> Future for Answer<F> {
    type Output = Result<Response<Body>, h2::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnswerState::Served { answer } => answer.poll(cx).map_err(|Gone| Code::CANCEL.into()),
            AnswerState::Refused => Poll::Ready(Err(Code::REFUSED_STREAM.into())),
        }
    }
}

/// Gives each stream a task on this worker.
#[derive(Clone)]
struct Spawner(Rc<ClientConnection>);

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        if let Some(sending) = self.0.streams().and_then(Streams::switches) {
            sending.begins(future);
            return;
        }
        // hyper spawns a stream right after it has called the service for it, so the newest one is this.
        let offer = self.0.streams().and_then(Streams::newest);
        let connection = Rc::clone(&self.0);
        tokio::task::spawn_local(Served {
            future: Some(future),
            offer,
            taken: 0,
            pace: Pace::default(),
            stall: None,
            leftover: None,
            connection,
        });
    }
}

pin_project! {
    /// The task of one stream, until its request and its answer have ended. It ends one whose client takes nothing of its answer for `timeouts.body_stall`, or too little for
    /// `timeouts.body_rate`, which neither `h2` nor hyper does: with a window of zero they wait for ever.
    struct Served<F> {
        #[pin]
        future: Option<F>,
        offer: Option<Rc<Offer>>,
        taken: u64,
        pace: Pace,
        stall: Option<Timer>,
        leftover: Option<Leftover>,
        connection: Rc<ClientConnection>,
    }
}

impl<F: Future<Output = ()>> Future for Served<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if let Some(leftover) = this.leftover {
            return leftover.poll(cx);
        }
        if let Some(future) = this.future.as_mut().as_pin_mut()
            && future.poll(cx).is_ready()
        {
            // One that was about to become a tunnel, and was reset before, has left this behind.
            drop(this.connection.streams().and_then(Streams::switches));
            // Its answer is accounted for now, whatever still comes.
            this.future.set(None);
            *this.leftover = this.offer.take().and_then(|offer| Leftover::of(&offer, this.connection));
            return this.leftover.as_mut().map_or(Poll::Ready(()), |leftover| leftover.poll(cx));
        }
        let Some(offer) = this.offer else { return Poll::Pending };
        let (timeouts, now) = (this.connection.timeouts(), this.connection.worker().timers.now());
        let moved = offer.taken() - std::mem::replace(this.taken, offer.taken());
        if let Some(least) = timeouts.body_rate {
            this.pace.moved(least, now, moved);
        }
        if !offer.waits() {
            if let Some(stall) = this.stall {
                stall.clear();
            }
            return Poll::Pending;
        }
        let left = timeouts.body_rate.map(|least| this.pace.waits(least, now));
        let stall = this.stall.get_or_insert_with(|| this.connection.timer());
        if moved > 0 || !stall.is_set() {
            stall.set(left.map_or(timeouts.body_stall, |left| left.min(timeouts.body_stall)));
        }
        ready!(stall.poll(cx));
        let too_slow = left == Some(Duration::ZERO);
        let reason = if too_slow { Reason::ResponseTooSlow } else { Reason::ResponseStalled };
        // Dropped, it is reset.
        this.connection.give_up_one(reason, || this.future.set(None));
        Poll::Ready(())
    }
}

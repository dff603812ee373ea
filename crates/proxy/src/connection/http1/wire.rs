//! The client's socket, and what was read of it: what a connection's driver and the reader of a request's body share.
//!
//! Between two requests it holds nothing but the socket. Only one of them reads at a time: the body's reader as long as there is one that
//! has begun, else the driver, to whom an end of the client's side means that nobody waits for the answer.

use super::{
    answer::Asked,
    body::ClientBody,
    head::{self, Head, HeadFault, Limits},
};
use crate::{
    body::{Body, Fault, Incoming},
    codec::{Cut, Decoder, Input, Output, Part, READ_MAX, Seen},
    connection::{client::ClientConnection, io::ClientIo, turn::Turn},
    worker::Timer,
};
use bytes::Bytes;
use evenkeel_model::HalfClosedClients;
use evenkeel_net::Stream;
use http::{HeaderMap, Method, Request};
use http_body::Frame;
use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::io::AsyncWrite;

/// RFC 9110, section 15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes of an answer that are read for a client that has no room.
const READ_MIN: usize = 4 * 1024;

/// Bytes that are read of a client that waits for its answer.
const AHEAD_MAX: usize = 16 * 1024;

/// Bytes of a body that nobody wants and that are read all the same.
const UNWANTED_MAX: u64 = 64 * 1024;

/// How often it is asked whether a client that has ended its side is still there: nothing else tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why there is no next request.
#[derive(Debug)]
pub(super) enum Ended {
    /// The client has gone.
    Quietly,
    /// It sends what is no request.
    Fault(HeadFault),
    TimedOut,
    /// We wait for none: the listener or the process ends, or somebody else needs the place.
    Left,
    /// The body of an answer broke off.
    Cut,
}

/// A request whose turn it is.
pub(super) struct Begun {
    pub(super) request: Request<Body>,
    pub(super) turn: Turn,
    pub(super) asked: Asked,
}

/// The client's socket.
pub(super) struct Wire {
    /// Taken by the driver at the end, whoever still holds this.
    io: RefCell<Option<ClientIo>>,
    connection: Rc<ClientConnection>,
    input: Input,
    seen: Cell<Seen>,
    /// What is still to come of the body of the request at hand.
    body: Cell<Decoder>,
    /// There is a reader of it, and it has begun.
    read: Cell<bool>,
    begun: Cell<bool>,
    /// The client waits for a `100 Continue`.
    waits: Cell<bool>,
    /// What is still to be written of heads before that of the answer (1xx).
    interim: RefCell<Vec<u8>>,
    /// Bytes of the answer that were written, and that the client's socket has room for.
    answered: Cell<u64>,
    room: Cell<usize>,
    /// The client has ended its side.
    ended: Cell<bool>,
    look: RefCell<Option<Timer>>,
    /// Waits for the reader of the body.
    driver: Cell<Option<Waker>>,
}

impl Wire {
    pub(super) fn new(stream: Stream, connection: &Rc<ClientConnection>) -> Rc<Self> {
        Rc::new(Self {
            io: RefCell::new(Some(ClientIo::new(stream, Rc::clone(connection)))),
            connection: Rc::clone(connection),
            input: Input::default(),
            seen: Cell::default(),
            body: Cell::new(Decoder::length(0)),
            read: Cell::new(false),
            begun: Cell::new(false),
            waits: Cell::new(false),
            interim: RefCell::default(),
            answered: Cell::new(0),
            room: Cell::new(0),
            ended: Cell::new(false),
            look: RefCell::default(),
            driver: Cell::default(),
        })
    }

    pub(super) fn connection(&self) -> &Rc<ClientConnection> {
        &self.connection
    }

    pub(super) fn body(&self) -> Decoder {
        self.body.get()
    }

    /// Waits for the next head, and begins the turn of its request.
    pub(super) fn poll_request(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Result<Begun, Ended>> {
        loop {
            if let Some(next) = self.take_request().map_err(Ended::Fault)? {
                return Poll::Ready(Ok(next));
            }
            if self.ended.get() {
                return Poll::Ready(Err(Ended::Quietly));
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Ended::Quietly)),
                Poll::Pending => return self.poll_over(cx).map(Err),
            }
        }
    }

    /// Ready when the next head is not waited for any more.
    fn poll_over(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        let leaves = self.input.is_empty() && self.connection.poll_leave(cx).is_ready();
        if !leaves {
            ready!(self.connection.clock().poll(cx));
        }
        // What has come in this moment is served. The runtime tells us about it in its next turn; the socket knows it now.
        if self.input.is_empty() && self.io.borrow().as_ref().is_some_and(|io| !io.is_quiet()) {
            return Poll::Pending;
        }
        Poll::Ready(if leaves { Ended::Left } else { Ended::TimedOut })
    }

    fn take_request(self: &Rc<Self>) -> Result<Option<Begun>, HeadFault> {
        let mut input = self.input.bytes();
        if input.is_empty() {
            return Ok(None);
        }
        // Those of now: a connection may have been open through many reloads.
        let limits = self.connection.worker().snapshot().shared().config().limits;
        let limits = Limits { bytes: limits.request_head_max.as_usize(), fields: limits.headers_max };
        if !self.seen.get().may_end(&input) && input.len() <= limits.bytes {
            self.seen.set(Seen::all(&input));
            return Ok(None);
        }
        let worker = self.connection.worker();
        let mut fields = worker.spare_fields();
        let read = head::read(&mut input, limits, &mut fields);
        let Some(head) = read? else {
            worker.take_back_fields(fields);
            self.seen.set(Seen::all(&input));
            return Ok(None);
        };
        if input.is_empty() {
            // What was read may be held by nobody but the head.
            *input = Bytes::new();
        }
        drop(input);
        self.seen.take();
        Ok(Some(self.begin(head, fields)))
    }

    fn begin(self: &Rc<Self>, head: Head, fields: HeaderMap) -> Begun {
        let Head { method, target, version, body, keeps, expects, trailers, bytes } = head;
        let asked = Asked { version, to_head: method == Method::HEAD, trailers, keeps };
        let turn = Turn::begin(&self.connection, version);
        self.connection.heard(bytes);
        self.body.set(body);
        self.begun.set(false);
        self.waits.set(expects);
        let body = if body.is_end() { turn.no_body() } else { turn.body(Incoming::Http1(ClientBody::new(self))) };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = target;
        *request.version_mut() = version;
        *request.headers_mut() = fields;
        Begun { request, turn, asked }
    }

    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(io) = &mut *self.io.borrow_mut() else { return Poll::Ready(Ok(0)) };
        let result = self.input.poll_read(io, cx, self.connection.worker());
        if matches!(result, Poll::Ready(Ok(0) | Err(_))) {
            self.ended.set(true);
        }
        result
    }

    pub(super) fn is_read(&self) {
        self.read.set(true);
    }

    pub(super) fn is_read_no_more(&self) {
        self.read.set(false);
        self.wake();
    }

    fn wake(&self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// The next part of the body, for its reader.
    pub(super) fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.begun.set(true);
        // One that has begun to send does not wait (RFC 9110, section 10.1.1).
        if self.waits.take() && self.input.is_empty() {
            self.interim.borrow_mut().extend_from_slice(CONTINUE);
        }
        if ready!(self.poll_interim(cx)).is_err() {
            return Poll::Ready(Some(Err(Fault::Gone)));
        }
        loop {
            let mut body = self.body.get();
            let part = body.next(&mut self.input.bytes());
            self.body.set(body);
            if body.is_end() {
                self.wake();
            }
            match part {
                Ok(Part::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Part::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Part::End) => return Poll::Ready(None),
                Ok(Part::Unknown) => {}
                Err(_) => {
                    self.connection.heard(self.unread());
                    return Poll::Ready(Some(Err(Fault::Malformed)));
                }
            }
            if self.ended.get() || !matches!(ready!(self.poll_read(cx)), Ok(1..)) {
                return Poll::Ready(Some(Err(Fault::Gone)));
            }
        }
    }

    /// Writes what comes before the answer's head.
    fn poll_interim(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut interim = self.interim.borrow_mut();
        while !interim.is_empty() {
            let Some(io) = &mut *self.io.borrow_mut() else { break };
            let written = ready!(Pin::new(&mut *io).poll_write(cx, &interim))?;
            interim.drain(..written);
            if interim.is_empty() {
                // Within TLS it is in our buffer only. What the socket does not take now leaves with the answer.
                let _ = Pin::new(io).poll_flush(cx)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on what the endpoint has said before its answer. Ready: the client has gone.
    pub(super) fn poll_hints(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.connection.hints().take(&mut self.interim.borrow_mut());
        match self.poll_interim(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(Ended::Quietly),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Whether somebody goes on reading the body of the request at hand.
    pub(super) fn is_being_read(&self) -> bool {
        self.begun.get() && self.read.get() && !self.body.get().is_end()
    }

    /// Whether all of the request at hand was read, or is there to be: then that is thrown away, and the next one may follow.
    pub(super) fn is_read_whole(&self) -> bool {
        loop {
            let mut body = self.body.get();
            let part = body.next(&mut self.input.bytes());
            self.body.set(body);
            match part {
                Ok(Part::End | Part::Trailers(_)) => return true,
                Ok(Part::Data(_)) => {}
                Ok(Part::Unknown) | Err(_) => return false,
            }
        }
    }

    /// Whether what is still to come of a body that nobody wants is so little that it is cheaper to read it than to make another connection. A
    /// client that waits for a `100 Continue` may never send it.
    pub(super) fn is_soon_read(&self) -> bool {
        !self.waits.get() && self.body.get().left().is_some_and(|left| left <= UNWANTED_MAX)
    }

    /// Throws away what is still to come of the body of the request at hand.
    pub(super) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        while !self.is_read_whole() {
            match self.poll_read(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Ended::Quietly)),
                // It has had its answer; another would seem to be that of its next request.
                Poll::Pending => return self.connection.clock().poll(cx).map(|()| Err(Ended::Quietly)),
            }
        }
        self.connection.has_discarded(!self.input.is_empty());
        Poll::Ready(Ok(()))
    }

    /// Waits until nobody reads the body of the request at hand any more.
    pub(super) fn poll_read_by_nobody(&self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if !self.is_being_read() {
            return Poll::Ready(Ok(()));
        }
        self.driver.set(Some(cx.waker().clone()));
        self.connection.clock().poll(cx).map(|()| Err(Ended::TimedOut))
    }

    /// Ready when it makes no sense to work on for this client: it has gone, or takes nothing.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        // Requests that come ahead are read too, up to a bound: behind them may be the end.
        while !self.ended.get() && self.input.bytes().len() < AHEAD_MAX && !self.is_being_read() {
            match self.poll_read(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if self.serves_half_closed() => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ended::Quietly),
            }
        }
        if self.ended.get() && self.has_reset(cx) {
            return Poll::Ready(Ended::Quietly);
        }
        self.connection.clock().poll(cx).map(|()| Ended::TimedOut)
    }

    /// A client that ends its side may still read. If it has done so in the middle of a body, the reader of that will find out.
    fn serves_half_closed(&self) -> bool {
        self.connection.listener().half_closed.get() == HalfClosedClients::Serve
    }

    /// Looks now and then whether a client that has ended its side has gone altogether.
    fn has_reset(&self, cx: &Context<'_>) -> bool {
        let mut look = self.look.borrow_mut();
        let timer = look.get_or_insert_with(|| self.connection.timer());
        if timer.is_set() && timer.poll(cx).is_pending() {
            return false;
        }
        timer.set(LOOK_EVERY);
        let _ = timer.poll(cx);
        self.io.borrow().as_ref().is_none_or(ClientIo::is_broken)
    }

    /// Nothing but the answer is written from now on.
    pub(super) fn poll_answering(&self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.connection.heard(Bytes::new());
        self.answered.set(0);
        self.room.set(0);
        self.waits.set(false);
        self.connection.hints().take(&mut self.interim.borrow_mut());
        match self.poll_interim(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| Ended::Quietly)),
            Poll::Pending => self.connection.clock().poll(cx).map(|()| Err(Ended::TimedOut)),
        }
    }

    /// Writes an answer to its end.
    pub(super) fn poll_answer(&self, output: &mut Output, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        loop {
            let most = if output.waits() { READ_MAX } else { self.read_max() };
            let body = self.connection.worker().reading_at_most(most, || output.poll_body(cx));
            let body = match body {
                Poll::Ready(Err(Cut)) => return Poll::Ready(Err(Ended::Cut)),
                body => body,
            };
            let written = match &mut *self.io.borrow_mut() {
                Some(io) => output.poll_write(io, cx, |bytes| {
                    self.answered.set(self.answered.get() + bytes as u64);
                    self.room.set(self.room.get().saturating_sub(bytes));
                }),
                None => return Poll::Ready(Err(Ended::Quietly)),
            };
            match written {
                Poll::Ready(Ok(())) if body.is_ready() && output.is_whole() && !output.waits() => {
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) if body.is_ready() => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Ended::Quietly)),
                Poll::Ready(Ok(())) | Poll::Pending => return self.poll_gone(cx).map(Err),
            }
        }
    }

    /// Bytes of an answer to read at once: of a long one, no more than the client's socket takes. What it does not take would wait here,
    /// for as long as the client is slow (docs/decisions/0008).
    fn read_max(&self) -> usize {
        if self.answered.get() < READ_MAX as u64 {
            return READ_MAX;
        }
        if self.room.get() < READ_MAX {
            let room = self.io.borrow().as_ref().and_then(ClientIo::room);
            self.room.set(room.unwrap_or(READ_MAX));
        }
        self.room.get().clamp(READ_MIN, READ_MAX)
    }

    /// Whether the client has ended its side.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Whether no other request can come.
    pub(super) fn asks_no_more(&self) -> bool {
        self.ended.get() && self.input.is_empty()
    }

    /// Whether more was read than was understood.
    pub(super) fn has_more(&self) -> bool {
        !self.input.is_empty()
    }

    /// What was read and not understood.
    pub(super) fn unread(&self) -> Bytes {
        self.input.bytes().clone()
    }

    /// The socket, which from now on is not ours, and what was read of what comes next.
    pub(super) fn take(&self) -> Option<(ClientIo, Bytes)> {
        Some((self.io.take()?, self.input.take()))
    }
}

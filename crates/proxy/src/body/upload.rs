//! What a client sends behind a request's head.
//!
//! The endpoint's connection takes it frame by frame as it can write: back-pressure needs no code. The first frame is asked for
//! only then, and with it `100 Continue` is sent, so that a refusal costs no upload.

use super::{BodyError, Incoming, Join, Joined};
use crate::{
    connection::ClientConnection,
    request::{alike, detach},
    worker::{Pace, Timer},
};
use bytes::Bytes;
use http::HeaderName;
use http_body::{Body as _, Frame, SizeHint};
use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::watch;

/// How long an endpoint may take to say `100 Continue`; curl waits as long for us.
const AGREEMENT_MAX: Duration = Duration::from_secs(1);

/// Bytes of a body that are kept so that it can be sent again. 64 KiB cover nearly all calls of APIs, and bound what one connection
/// costs; a longer body is sent once.
const KEPT_MAX: usize = 64 * 1024;

/// What went wrong on the client's side while its body was sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// More bytes than `limits.body_max`.
    TooLarge,
    /// Nothing came for `timeouts.body_stall`.
    Stalled,
    /// Less came than `timeouts.body_rate_min`.
    TooSlow,
    /// A chunk or trailer that does not parse.
    Malformed,
    /// The connection ended.
    Gone,
}

/// A handle to what a client sends. Another attempt takes another handle, as long as no byte was taken through the first or all of
/// them were kept.
#[derive(Clone)]
pub(crate) struct Upload(Rc<Shared>);

/// What is waited for before the first byte is asked for.
struct Agreement {
    agreed: Pin<Box<dyn Future<Output = ()>>>,
    timer: Timer,
}

impl Agreement {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.agreed.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { self.timer.poll(cx) }
    }
}

/// For which side the body waits. Moments are those of the worker's clock, in milliseconds.
#[derive(Default)]
struct Turns {
    /// The client: what it has sent so far is taken.
    client: Cell<bool>,
    /// When the endpoint's turn came: the client gave something, or will give no more.
    endpoint_since: Cell<u64>,
    /// When the client began to be waited for, and when its answer last moved.
    client_since: Cell<u64>,
    answer_moved: Cell<u64>,
}

struct Shared {
    incoming: RefCell<Joined<Incoming>>,
    connection: Rc<ClientConnection>,
    stall: RefCell<Option<Timer>>,
    pace: Pace,
    turns: Turns,
    begun: Cell<bool>,
    /// Over when the endpoint has agreed to the body, or has had its time to.
    agreement: RefCell<Option<Agreement>>,
    /// The length that was announced; it stays when frames have been taken.
    length: Option<u64>,
    received: Cell<u64>,
    /// Bytes that may still come.
    left: Cell<u64>,
    fault: Cell<Option<Fault>>,
    /// All that was taken; `None`: it is not kept.
    kept: RefCell<Option<Vec<u8>>>,
    /// What another attempt gets before what still comes.
    again: RefCell<Option<Bytes>>,
    ended: Cell<bool>,
}

impl Upload {
    pub(super) fn new(incoming: Incoming, connection: &Rc<ClientConnection>, body_max: Option<u64>) -> Self {
        let length = incoming.size_hint().exact();
        // Over HTTP/1, what has a length is read as it comes, in no small parts.
        let join = if connection.is_http2() || length.is_none() { Join::WhatIsThere } else { Join::Never };
        Self(Rc::new(Shared {
            incoming: RefCell::new(Joined::new(incoming, join)),
            connection: Rc::clone(connection),
            stall: RefCell::default(),
            pace: Pace::default(),
            turns: Turns::default(),
            begun: Cell::new(false),
            agreement: RefCell::default(),
            length,
            received: Cell::new(0),
            left: Cell::new(body_max.unwrap_or(u64::MAX)),
            fault: Cell::new(None),
            kept: RefCell::default(),
            again: RefCell::default(),
            ended: Cell::new(false),
        }))
    }

    /// The announced length; `None`: chunked.
    pub(crate) fn length(&self) -> Option<u64> {
        self.0.length
    }

    /// Other than `limits.body_max`, so many bytes may come. Before the first is asked for.
    pub(crate) fn at_most(&self, bytes: u64) {
        debug_assert!(!self.begun(), "what has come has been counted against another limit");
        self.0.left.set(bytes);
    }

    /// Whether the announced length is more than may come.
    pub(crate) fn too_large(&self) -> bool {
        self.0.length.is_some_and(|length| length > self.0.left.get())
    }

    /// Whether a byte was asked for.
    fn begun(&self) -> bool {
        self.0.begun.get()
    }

    /// From now on what is taken is kept, up to [`KEPT_MAX`]; too late once something was.
    pub(crate) fn keep(&self) {
        if !self.begun() {
            self.0.kept.replace(Some(Vec::new()));
        }
    }

    /// No other attempt will be made.
    pub(crate) fn keep_no_more(&self) {
        self.0.kept.take();
    }

    /// Whether it can be sent from its first byte.
    pub(crate) fn can_begin_again(&self) -> bool {
        !self.begun() || self.0.kept.borrow().is_some()
    }

    /// A handle for another attempt, from the first byte.
    pub(super) fn begin_again(&self) -> Self {
        debug_assert!(self.can_begin_again());
        // Between two attempts the client is not waited for.
        self.0.pace.rests(self.now());
        self.0.stall.take();
        self.0.again.replace(self.0.kept.borrow().as_deref().map(Bytes::copy_from_slice));
        self.clone()
    }

    /// Keeps what was taken, if it is to be kept and still can be. Trailers are not.
    fn note(&self, frame: &Frame<Bytes>) {
        let mut kept = self.0.kept.borrow_mut();
        let Some(bytes) = &mut *kept else { return };
        match frame.data_ref() {
            Some(data) if bytes.len() + data.len() <= KEPT_MAX => bytes.extend_from_slice(data),
            _ => *kept = None,
        }
    }

    /// Asks for no byte before `agreed` becomes true or a second is over. RFC 9110, section 10.1.1: the wait must have an end, for there
    /// are servers that never send 100.
    pub(crate) fn wait_for(&self, mut agreed: watch::Receiver<bool>) {
        let timer = self.0.connection.timer();
        timer.set(AGREEMENT_MAX);
        let agreed = Box::pin(async move { drop(agreed.wait_for(|agreed| *agreed).await) });
        self.0.agreement.replace(Some(Agreement { agreed, timer }));
    }

    fn now(&self) -> u64 {
        self.0.connection.worker().timers.now()
    }

    /// Since when the endpoint has its turn, in milliseconds of the worker's clock; `None`: it has not, for the client is waited for.
    pub(crate) fn endpoint_since(&self) -> Option<u64> {
        (!self.0.turns.client.get()).then(|| self.0.turns.endpoint_since.get())
    }

    /// It is the endpoint's turn, with what the client has given or because nothing more of that is taken.
    pub(super) fn turns_to_endpoint(&self) {
        self.0.turns.client.set(false);
        self.0.turns.endpoint_since.set(self.now());
    }

    /// A part of the answer has come. As long as that moves, its client may have nothing to say.
    pub(super) fn answer_moves(&self) {
        self.0.turns.answer_moved.set(self.now());
    }

    /// Bytes so far.
    pub(crate) fn received(&self) -> u64 {
        self.0.received.get()
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.0.fault.get()
    }

    fn fail(&self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.fault.set(Some(fault));
        if matches!(fault, Fault::Stalled | Fault::TooSlow) {
            self.0.connection.is_too_slow();
        }
        self.0.stall.take();
        Poll::Ready(Some(Err(BodyError::Request)))
    }

    pub(super) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let shared = &*self.0;
        if let Some(agreement) = &mut *shared.agreement.borrow_mut() {
            std::task::ready!(agreement.poll(cx));
        }
        shared.agreement.take();
        shared.begun.set(true);
        let frame = self.poll_next(cx);
        if frame.is_ready() {
            self.turns_to_endpoint();
        }
        frame
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let shared = &*self.0;
        if let Some(again) = shared.again.take().filter(|again| !again.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(again))));
        }
        if shared.ended.get() {
            return Poll::Ready(None);
        }
        let mut incoming = shared.incoming.borrow_mut();
        let frame = match incoming.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(fault))) => return self.fail(fault),
            Poll::Ready(None) => {
                shared.connection.body_ends();
                shared.stall.take();
                shared.ended.set(true);
                return Poll::Ready(None);
            }
            Poll::Pending => return self.poll_stall(cx),
        };
        if let Some(stall) = &*shared.stall.borrow() {
            stall.clear();
        }
        if incoming.is_end_stream() {
            shared.connection.body_ends();
        }
        self.note(&frame);
        let Some(data) = frame.data_ref() else {
            // Nobody but us says who a client is, here as little as in a head.
            let snapshot = shared.connection.worker().snapshot();
            return Poll::Ready(Some(Ok(without_forbidden(frame, &snapshot.shared().identity_fields))));
        };
        let length = data.len() as u64;
        shared.received.set(shared.received.get() + length);
        if let Some(least) = shared.connection.timeouts().body_rate {
            shared.pace.not_before(shared.turns.answer_moved.get());
            shared.pace.moved(least, self.now(), length);
        }
        match shared.left.get().checked_sub(length) {
            Some(left) => shared.left.set(left),
            None => return self.fail(Fault::TooLarge),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// Nothing has come: wait no longer than the listener allows.
    fn poll_stall(&self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut stall = self.0.stall.borrow_mut();
        let (connection, turns) = (&self.0.connection, &self.0.turns);
        turns.client.set(true);
        let timer = stall.get_or_insert_with(|| connection.timer());
        let timeouts = connection.timeouts();
        self.0.pace.not_before(turns.answer_moved.get());
        let left = timeouts.body_rate.map(|least| self.0.pace.waits(least, self.now()));
        let limit = left.map_or(timeouts.body_stall, |left| left.min(timeouts.body_stall));
        if !timer.is_set() {
            turns.client_since.set(self.now());
            timer.set(limit);
        }
        while timer.poll(cx).is_ready() {
            let moved = turns.answer_moved.get();
            if moved <= turns.client_since.get() {
                drop(stall);
                return self.fail(if left == Some(Duration::ZERO) { Fault::TooSlow } else { Fault::Stalled });
            }
            turns.client_since.set(moved);
            timer.set_since(moved, limit);
        }
        Poll::Pending
    }

    /// Whether its client may still send some of it that nobody asks for, and wait with its answer unread until it is sent. Not one that takes
    /// too long over it.
    pub(crate) fn goes_on(&self) -> bool {
        let waited_for = matches!(self.0.fault.get(), None | Some(Fault::TooLarge));
        waited_for && !self.0.ended.get() && !self.0.incoming.borrow().is_end_stream()
    }

    /// Discards the next part; how many bytes that were. `None`: it has ended, in one way or another.
    pub(crate) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        let part = std::task::ready!(self.0.incoming.borrow_mut().poll_frame(cx));
        Poll::Ready(part.and_then(Result::ok).map(|frame| frame.data_ref().map_or(0, |data| data.len() as u64)))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.0.again.borrow().is_none() && self.0.incoming.borrow().is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let to_come = self.0.incoming.borrow().size_hint();
        let again = self.0.again.borrow().as_ref().map_or(0, Bytes::len) as u64;
        to_come.exact().map_or(to_come, |to_come| SizeHint::with_exact(to_come + again))
    }
}

/// Trailers must not carry what decides over framing, routing or who asks (RFC 9110, section 6.5.1), nor any of these.
pub(super) fn without_forbidden(frame: Frame<Bytes>, these: &[HeaderName]) -> Frame<Bytes> {
    use http::header;
    match frame.into_trailers() {
        Ok(mut trailers) => {
            for name in [
                header::CONTENT_LENGTH,
                header::TRANSFER_ENCODING,
                header::HOST,
                header::CONNECTION,
                header::TRAILER,
                header::TE,
                header::UPGRADE,
                header::CONTENT_ENCODING,
                header::CONTENT_TYPE,
                header::CONTENT_RANGE,
                header::AUTHORIZATION,
                header::COOKIE,
                header::SET_COOKIE,
                header::CACHE_CONTROL,
                header::EXPECT,
                header::MAX_FORWARDS,
                header::VIA,
                header::FORWARDED,
            ] {
                trailers.remove(name);
            }
            for name in these {
                alike::remove(&mut trailers, name);
            }
            let forwarded: Vec<_> = trailers
                .keys()
                .filter(|name| name.as_str().replace('_', "-").starts_with("x-forwarded-"))
                .cloned()
                .collect();
            for name in forwarded {
                trailers.remove(name);
            }
            detach(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

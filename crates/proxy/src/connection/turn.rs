//! A request's turn on its connection: from its head until nothing more is to be written of its answer, whoever gives it.
//!
//! Begun by `http1` or `http2` before the service sees the request, carried by the answer's body, ended by being dropped. While it lasts, the
//! connection waits neither for a head nor for the next request. With HTTP/2 many have their turn at a time.

use super::{client::ClientConnection, streams::Offer};
use crate::body::Body;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// The turn of one request. Dropping it ends it.
pub(crate) struct Turn {
    connection: Rc<ClientConnection>,
    /// With HTTP/2.
    offer: Option<Rc<Offer>>,
}

impl Turn {
    /// Gives a request that hyper has read its turn and its body.
    pub(super) fn begin(connection: &Rc<ClientConnection>, request: Request<Incoming>) -> (Self, Request<Body>) {
        // Here and not in the service: a layer around it may take its time before, or answer itself.
        let offer = connection.request_begins(request.version());
        let limits = connection.worker().snapshot().shared().config().limits;
        let body_max = limits.body_max.map(|max| max.0);
        let request = request.map(|incoming| Body::upload(incoming, Rc::clone(connection), body_max));
        (Self { connection: Rc::clone(connection), offer }, request)
    }

    /// The client has room for another part of its answer.
    pub(crate) fn asks(&self) {
        if let Some(offer) = &self.offer {
            offer.taken();
        }
    }

    /// A part of the answer, of so many bytes, is offered to the client.
    pub(crate) fn offers(&self, bytes: usize) {
        if let (Some(offer), Some(streams)) = (&self.offer, self.connection.streams()) {
            streams.offers(offer, bytes);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.connection.request_ends();
    }
}

pin_project! {
    /// Gives the answer the turn to carry, and opens the tunnel that a 101 promises.
    pub(super) struct Answering<F> {
        #[pin]
        answer: F,
        turn: Option<Turn>,
    }
}

impl<F> Answering<F> {
    pub(super) fn new(answer: F, turn: Turn) -> Self {
        Self { answer, turn: Some(turn) }
    }
}

impl<F, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut response = ready!(this.answer.poll(cx))?;
        // Outside of every layer: only what is really told to the client opens a tunnel.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            response.body_mut().open_tunnel();
        }
        let turn = this.turn.take();
        Poll::Ready(Ok(response.map(|body| body.with_turn(turn))))
    }
}

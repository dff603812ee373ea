//! A request's turn on its connection: from its head until nothing more is to be written of its answer, whoever gives it.
//!
//! Begun by `http1` before the service sees the request, carried by the answer's body, ended by being dropped. While it lasts, the
//! connection waits neither for a head nor for the next request.

use super::client::ClientConnection;
use crate::body::Body;
use http::{Response, StatusCode, Version};
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Nobody is there to be answered. hyper ends a connection whose service fails, without a word.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client has gone")]
pub(super) struct Gone;

/// The turn of one request. Dropping it ends it.
pub(crate) struct Turn(Rc<ClientConnection>);

impl Turn {
    pub(super) fn begin(connection: &Rc<ClientConnection>, version: Version) -> Self {
        connection.request_begins(version);
        Self(Rc::clone(connection))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.request_ends();
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

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Gone>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.answer.poll(cx));
        if this.turn.as_ref().is_some_and(|turn| turn.0.is_client_gone()) {
            return Poll::Ready(Err(Gone));
        }
        // Outside of every layer: only what is really told to the client opens a tunnel.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            response.body_mut().open_tunnel();
        }
        let turn = this.turn.take();
        Poll::Ready(Ok(response.map(|body| body.with_turn(turn))))
    }
}

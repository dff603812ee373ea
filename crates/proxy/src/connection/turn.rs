//! A request's turn on its connection: from its head until nothing more is to be written of its answer, whoever gives it.
//!
//! Begun by `http1` or `http2` before the service sees the request, carried by the answer's body, ended by being dropped. While it lasts, the
//! connection waits neither for a head nor for the next request. With HTTP/2 many have their turn at a time.

use super::{client::ClientConnection, stream_tunnel, streams::Offer};
use crate::body::{Body, Incoming};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};
use tower::{Service, util::Oneshot};

/// Nobody is there to be answered.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client has gone")]
pub(super) struct Gone;

/// The turn of one request. Dropping it ends it.
pub(crate) struct Turn {
    connection: Rc<ClientConnection>,
    /// With HTTP/2.
    offer: Option<Rc<Offer>>,
}

impl Turn {
    /// A head is there. Not in the service: a layer around it may take its time before, or answer itself.
    pub(super) fn begin(connection: &Rc<ClientConnection>, version: Version) -> Self {
        Self { connection: Rc::clone(connection), offer: connection.request_begins(version) }
    }

    /// Its stream of HTTP/2 may become a tunnel; hyper gives it when it has written a success.
    pub(super) fn may_switch(&self, stream: OnUpgrade) {
        if let Some(offer) = &self.offer {
            offer.may_switch(stream);
        }
    }

    /// The stream, if it is to become a tunnel.
    fn switches(&self) -> Option<OnUpgrade> {
        self.offer.as_ref()?.switches()
    }

    pub(super) fn connection(&self) -> &Rc<ClientConnection> {
        &self.connection
    }

    /// The body of a request that has none.
    pub(super) fn no_body(&self) -> Body {
        Body::empty_of(Rc::clone(&self.connection))
    }

    /// The body of the request whose turn it is.
    pub(super) fn body(&self, incoming: Incoming) -> Body {
        let limits = self.connection.worker().snapshot().shared().config().limits;
        let body = Body::upload(incoming, Rc::clone(&self.connection), limits.body_max.map(|max| max.0));
        if let (Some(offer), Some(upload)) = (&self.offer, body.as_upload()) {
            offer.uploads(upload.clone());
        }
        body
    }

    /// The client has room for another part of its answer. Ready when there may be one.
    pub(crate) fn poll_asks(&self, cx: &Context<'_>) -> Poll<()> {
        let (Some(offer), Some(streams)) = (&self.offer, self.connection.streams()) else { return Poll::Ready(()) };
        streams.asks(offer);
        streams.room().poll(cx)
    }

    /// So many bytes of a tunnel go to the client.
    pub(super) fn moved(&self, bytes: usize) {
        if let Some(streams) = self.connection.streams() {
            streams.moved(bytes);
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
        if let (Some(offer), Some(streams)) = (&self.offer, self.connection.streams()) {
            streams.asks(offer);
        }
        self.connection.request_ends();
    }
}

pin_project! {
    /// Gives the answer the turn to carry, and opens the tunnel that a 101 promises.
    pub(super) struct Answering<S: Service<Request<Body>>> {
        #[pin]
        answer: Answer<S>,
        turn: Option<Turn>,
        to_head: bool,
    }
}

pin_project! {
    /// What a service makes of a request. Small, for hyper moves it about.
    #[project = AnswerProjection]
    enum Answer<S: Service<Request<Body>>> {
        Asked { #[pin] answer: S::Future },
        /// The service wants to wait before it takes the request, as a layer that limits concurrency does.
        Waits { answer: Pin<Box<Oneshot<S, Request<Body>>>> },
    }
}

impl<S: Service<Request<Body>> + Clone> Answering<S> {
    // A request is hundreds of bytes to move: where this is not a call, it is built where it stays.
    #[inline(always)]
    pub(super) fn begin(service: &S, request: Request<Body>, turn: Turn) -> Self {
        let to_head = *request.method() == Method::HEAD;
        let mut service = service.clone();
        // Whoever is not ready here is asked again by `Oneshot`, with a waker.
        let answer = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Answer::Asked { answer: service.call(request) },
            Poll::Ready(Err(_)) | Poll::Pending => Answer::Waits { answer: Box::pin(Oneshot::new(service, request)) },
        };
        Self { answer, turn: Some(turn), to_head }
    }
}

impl<S> Future for Answering<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Output = Result<Response<Body>, Gone>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(match this.answer.project() {
            AnswerProjection::Asked { answer } => answer.poll(cx),
            AnswerProjection::Waits { answer } => answer.as_mut().poll(cx),
        });
        if this.turn.as_ref().is_some_and(|turn| turn.connection.is_client_gone()) {
            return Poll::Ready(Err(Gone));
        }
        // Outside of every layer: these are the answers that the client gets.
        if *this.to_head || has_no_content(response.status()) {
            without_content(&mut response);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            response.body_mut().open_tunnel();
        } else if let Some(stream) = this.turn.as_ref().and_then(Turn::switches)
            && response.status() == StatusCode::OK
            && let Some(tunnel) = response.body_mut().take_tunnel()
            && let Some(turn) = this.turn.take()
            && let Some(streams) = turn.connection.streams()
        {
            let sending = streams.will_switch();
            tokio::task::spawn_local(stream_tunnel::run(tunnel, stream, sending, turn));
        }
        response.body_mut().carries(this.turn.take());
        Poll::Ready(Ok(response))
    }
}

/// Whether an answer with this status ends with its head, whatever was asked (RFC 9112, section 6.3, rule 1).
pub(super) fn has_no_content(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Leaves the head of an answer, with the length that a GET would be told (RFC 9110, section 9.3.2). hyper would write the rest in HTTP/2.
fn without_content(response: &mut Response<Body>) {
    let length = response.body().full().map(|content| content.len());
    response.body_mut().ends_with_head();
    let status = response.status();
    if status == StatusCode::NO_CONTENT {
        // RFC 9110, section 8.6.
        response.headers_mut().remove(header::CONTENT_LENGTH);
    } else if let Some(length) = length.filter(|_| !has_no_content(status)) {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
}

//! What a request has of a connection to an endpoint, from its head to the last byte of its answer.

use super::{attempt::Failure, connect, http2, identity::Identity, pool};
use crate::{
    codec::Decoder,
    request::Exchange,
    worker::{LocalEndpoint, LocalUpstream, Timer, Worker},
};
use bytes::Bytes;
use evenkeel_model::{Protocol, UpstreamProtocol};
use http_body::{Body, SizeHint};
use hyper::body::Incoming;
use std::rc::Rc;

/// What comes behind the head of an answer.
pub(crate) enum Coming {
    /// Bytes of the connection, and which of them.
    Http1(Decoder),
    /// Frames of a stream.
    Http2(Incoming),
}

impl Coming {
    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end(),
            Self::Http2(incoming) => incoming.is_end_stream(),
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Http2(incoming) => incoming.size_hint(),
        }
    }
}

/// A connection on loan, or a stream of one.
pub(crate) enum Lease {
    /// The whole connection.
    Http1(pool::Lease),
    /// One of many streams.
    Http2(http2::Stream),
}

/// Over which connection an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// An idle one, if there is any.
    Pooled,
    /// A new one. Streams share connections all the same: none of them waits to be used.
    Fresh,
}

impl Lease {
    /// On a connection that is there, on one that is just being made, or on a new one; of the version that the upstream speaks, or that the
    /// endpoint chooses. `surely`: see [`pool::Lease::from_pool`].
    pub(super) async fn obtain(
        upstream: &LocalUpstream,
        endpoint: &Rc<LocalEndpoint>,
        identity: &Identity,
        over: Over,
        surely: bool,
        exchange: &Exchange,
    ) -> Result<Self, Failure> {
        let worker = exchange.worker();
        let cells = upstream.part.cells.cell(worker.id);
        let only = only(upstream, exchange);
        let owner = exchange.connection().filter(|_| over == Over::Pooled);
        if let Some(owned) = owner.and_then(|owner| pool::Lease::of_owner(owner, endpoint, worker, identity, surely)) {
            cells.pool_hits.inc();
            return Ok(Self::Http1(owned));
        }
        // A stream that authenticates its connection shares none, though HTTP/2 knows no such thing.
        let alone = exchange.has_connection_auth();
        loop {
            let stream = match only {
                _ if alone => None,
                Some(Protocol::Http11) => None,
                _ => http2::Stream::on_open(endpoint, identity, worker).map(Self::Http2),
            };
            let found = stream.or_else(|| match (only, over) {
                (Some(Protocol::Http2), _) | (_, Over::Fresh) => None,
                _ => pool::Lease::from_pool(endpoint, worker, identity, surely).map(Self::Http1),
            });
            if let Some(found) = found {
                cells.pool_hits.inc();
                return Ok(found);
            }
            let joins = only != Some(Protocol::Http11) && !alone;
            let Some(waiting) = joins.then(|| http2::join(endpoint, identity, exchange)).flatten() else {
                cells.pool_misses.inc();
                // Rare and large, so boxed: the future of a request over a pooled connection stays small.
                return Box::pin(Self::make(upstream, endpoint, identity, only, exchange)).await;
            };
            if let Some(came) = Box::pin(waiting.wait(upstream, exchange)).await {
                let stream = came?;
                cells.pool_hits.inc();
                return Ok(Self::Http2(stream));
            }
        }
    }

    /// Over a new connection.
    async fn make(
        upstream: &LocalUpstream,
        endpoint: &Rc<LocalEndpoint>,
        identity: &Identity,
        only: Option<Protocol>,
        exchange: &Exchange,
    ) -> Result<Self, Failure> {
        let attempt = match only {
            Some(Protocol::Http11) => None,
            _ if exchange.has_connection_auth() => Some(http2::Attempt::alone(endpoint)),
            _ => Some(http2::Attempt::begin(endpoint, identity)),
        };
        let mut identity = identity.clone();
        let opened = connect::open_for(upstream, endpoint, &mut identity, only, exchange).await;
        let (stream, protocol) =
            opened.inspect_err(|failure| attempt.iter().for_each(|attempt| attempt.failed(failure)))?;
        match attempt {
            Some(attempt) if protocol == Protocol::Http2 => {
                return attempt.speak(stream, identity, upstream, exchange).await.map(Self::Http2);
            }
            Some(attempt) => attempt.declined(),
            None => {}
        }
        Ok(Self::Http1(pool::Lease::fresh(stream, identity, endpoint, exchange.worker())))
    }

    fn worker(&self) -> &Rc<Worker> {
        match self {
            Self::Http1(lease) => lease.worker(),
            Self::Http2(stream) => stream.worker(),
        }
    }

    pub(crate) fn timer(&self) -> Timer {
        self.worker().timers.timer()
    }

    /// Milliseconds of the worker's clock.
    pub(crate) fn now(&self) -> u64 {
        self.worker().timers.now()
    }

    pub(super) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(lease) => lease.is_reused(),
            Self::Http2(stream) => stream.is_reused(),
        }
    }

    /// The last byte of the answer was read.
    /// What was read of an answer and not understood, if that is known.
    pub(crate) fn unread(&self) -> Option<Bytes> {
        match self {
            Self::Http1(lease) => Some(lease.unread()),
            Self::Http2(_) => None,
        }
    }

    pub(crate) fn give_back(self) {
        match self {
            Self::Http1(lease) => lease.give_back(),
            // Its place is free when it is dropped, however it ends.
            Self::Http2(_) => {}
        }
    }
}

/// What must be spoken, if anything must. `None`: what the endpoint chooses.
fn only(upstream: &LocalUpstream, exchange: &Exchange) -> Option<Protocol> {
    match upstream.part.settings.protocol {
        UpstreamProtocol::Http1 => Some(Protocol::Http11),
        UpstreamProtocol::H2c | UpstreamProtocol::H2 => Some(Protocol::Http2),
        // HTTP/2 has no Upgrade (RFC 9113, section 8.6), so browsers too offer only HTTP/1.1 for a WebSocket.
        // Nor has it authentication of a connection.
        UpstreamProtocol::Auto => {
            (exchange.upgrade().is_some() || exchange.has_connection_auth()).then_some(Protocol::Http11)
        }
    }
}

//! From an accepted socket to a protocol: PROXY header? -> protocol.
//!
//! Begun by `worker/accept` as the task of one connection, ends in `http1`. Until it is through, nobody has asked for anything: what goes
//! wrong here is counted and logged by listener, and the connection is closed without a word.

use super::{client::ClientConnection, http1};
use crate::body::Body;
use evenkeel_model::HeaderSenders;
use evenkeel_net::{
    Peer, Stream,
    proxy_protocol::{Announced, HeaderFault, ReceiveError, receive},
};
use evenkeel_telemetry::ProxyHeaderError;
use http::{Request, Response};
use std::{convert::Infallible, future::poll_fn, pin::pin, rc::Rc, task::Poll};
use tower::Service;

/// Opens a connection and serves it until it ends.
pub(crate) async fn open<S>(service: S, mut stream: Stream, connection: Rc<ClientConnection>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    connection.has_reached(stream.local());
    let senders = connection.listener().header_senders.borrow().clone();
    if let Some(senders) = senders {
        // Boxed, so that connections without a header do not carry its future.
        match Box::pin(introduction(&mut stream, &connection, &senders)).await {
            Introduction::Done => {}
            Introduction::Failed(failure) => return refuse(&connection, &failure),
            Introduction::Unfinished => return,
        }
    }
    http1::serve(service, stream, connection).await;
}

/// How the begin of a connection went that must have a PROXY header.
enum Introduction {
    Done,
    Failed(Failure),
    /// The listener or the process ends.
    Unfinished,
}

/// Why there is no good PROXY header.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it is not in proxy_protocol_from")]
    Untrusted,
    #[error("its PROXY header did not come in time")]
    TimedOut,
    #[error(transparent)]
    Header(#[from] ReceiveError),
}

/// Learns from the PROXY header for whom the connection speaks.
async fn introduction(stream: &mut Stream, connection: &ClientConnection, senders: &HeaderSenders) -> Introduction {
    if !senders.trusts(connection.peer().ip()) {
        return Introduction::Failed(Failure::Untrusted);
    }
    let clock = connection.clock();
    clock.set(connection.timeouts().proxy_header);
    let mut receiving = pin!(receive(stream));
    let received = poll_fn(|cx| {
        if let Poll::Ready(received) = receiving.as_mut().poll(cx) {
            return Poll::Ready(Some(received.map_err(Failure::from)));
        }
        if connection.must_end() {
            return Poll::Ready(None);
        }
        clock.poll(cx).map(|()| Some(Err(Failure::TimedOut)))
    })
    .await;
    let announced = match received {
        Some(Ok(announced)) => announced,
        Some(Err(failure)) => return Introduction::Failed(failure),
        None => return Introduction::Unfinished,
    };
    clock.set(connection.timeouts().request_head);
    match announced {
        Announced::Ip { source, destination } => {
            connection.speaks_for(Peer::Ip(source));
            connection.has_reached(Some(destination));
        }
        Announced::Unix => {
            connection.speaks_for(Peer::Unix);
            connection.has_reached(None);
        }
        // "The PROXY protocol", sections 2.1 and 2.2: the connection's own addresses stay.
        Announced::Itself | Announced::Unknown => {}
    }
    Introduction::Done
}

/// Counts and tells why a connection is closed. What it has sent was not read, so that it gets a reset and its sender notices.
fn refuse(connection: &ClientConnection, failure: &Failure) {
    let reason = match failure {
        Failure::Untrusted => ProxyHeaderError::Untrusted,
        Failure::TimedOut => ProxyHeaderError::TimedOut,
        Failure::Header(ReceiveError::Fault(HeaderFault::Missing)) => ProxyHeaderError::Missing,
        Failure::Header(ReceiveError::Fault(HeaderFault::Malformed(_))) => ProxyHeaderError::Malformed,
        Failure::Header(ReceiveError::Fault(HeaderFault::TooLong)) => ProxyHeaderError::TooLong,
        Failure::Header(ReceiveError::Closed | ReceiveError::Io(_)) => ProxyHeaderError::Closed,
    };
    connection.cells().proxy_header_errors(reason).inc();
    if reason == ProxyHeaderError::Closed {
        // Balancers that probe a port connect and close: counted, and no news.
        return;
    }
    let listener = connection.listener();
    if let Some(kept_back) = listener.complaints.lets(connection.worker().timers.now()) {
        let (name, peer) = (&listener.part.name, connection.peer());
        tracing::warn!(listener = %name, %peer, kept_back, "closed a connection: {failure}");
    }
}

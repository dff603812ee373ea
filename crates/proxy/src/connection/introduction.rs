//! The PROXY header at the begin of a client's connection: from whom it may come, in its time, and counted when it is not good.
//!
//! A step of `open`, before TLS and HTTP. What goes wrong here is told by counters and the log, and the connection is closed without a word:
//! its sender is a machine.

use super::client::ClientConnection;
use evenkeel_model::HeaderSenders;
use evenkeel_net::{
    Peer, Stream,
    proxy_protocol::{Announced, HeaderFault, ReceiveError, receive},
};
use evenkeel_telemetry::ProxyHeaderError;
use std::{future::poll_fn, pin::pin, task::Poll};

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

/// Learns from the header for whom the connection speaks. `None`: it is to be closed.
pub(super) async fn introduce(
    stream: &mut Stream,
    senders: &HeaderSenders,
    connection: &ClientConnection,
) -> Option<()> {
    let announced = match header(stream, senders, connection).await? {
        Ok(announced) => announced,
        Err(failure) => {
            refuse(connection, &failure);
            return None;
        }
    };
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
    connection.awaits_head();
    Some(())
}

/// Waits for the header. `None`: the listener or the process ends, which is nobody's fault.
async fn header(
    stream: &mut Stream,
    senders: &HeaderSenders,
    connection: &ClientConnection,
) -> Option<Result<Announced, Failure>> {
    if !senders.trusts(connection.peer().ip()) {
        return Some(Err(Failure::Untrusted));
    }
    let clock = connection.clock();
    clock.set(connection.timeouts().proxy_header);
    let mut receiving = pin!(receive(stream));
    poll_fn(|cx| {
        if let Poll::Ready(received) = receiving.as_mut().poll(cx) {
            return Poll::Ready(Some(received.map_err(Failure::from)));
        }
        if connection.poll_leave(cx).is_ready() {
            return Poll::Ready(None);
        }
        clock.poll(cx).map(|()| Some(Err(Failure::TimedOut)))
    })
    .await
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
    if let Some(kept_back) = connection.worker().headers_told.tell(connection.worker().timers.now()) {
        let (name, peer) = (&connection.listener().part.name, connection.peer());
        tracing::warn!(listener = %name, %peer, kept_back, "closed a connection: {failure}");
    }
}

//! A client connection that has become a tunnel: an endpoint has agreed to another protocol, and we carry bytes.
//!
//! Begins when the 101 is written (`http1`), and runs as a task of its own. (A stream of HTTP/2 becomes one
//! in `stream_tunnel`, and is carried here too.) It holds no snapshot: a reload frees what it removes, however long a tunnel lives. It ends when both sides have ended, when one fails,
//! when nothing moves for `timeouts.tunnel_idle`, or with its worker.

use super::{client::ClientConnection, io::ClientIo};
use crate::{
    request::{End, Exchange},
    upstream::Switched,
    worker::Timer,
};
use bytes::Bytes;
use evenkeel_net::{Carried, Relay, RelayEnd};
use evenkeel_telemetry::Reason;
use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// An upgrade that was agreed on and not yet told to the client.
pub(crate) struct Tunnel {
    pub(crate) exchange: Box<Exchange>,
    pub(crate) endpoint: Box<Switched>,
}

/// Frees a tunnel that its connection never came to open. Connection and tunnel hold each other until then.
pub(super) struct Unopened(pub(super) Rc<ClientConnection>);

impl Drop for Unopened {
    fn drop(&mut self) {
        drop(self.0.take_tunnel());
    }
}

/// Why carrying bytes ended before both sides had.
pub(super) enum Cut {
    /// The client failed.
    Client,
    /// The endpoint failed.
    Endpoint,
    /// Nothing has moved for too long.
    Idle,
}

/// The client's side of what is carried: a connection, or a stream of one.
pub(super) trait ClientSide: AsyncRead + AsyncWrite + Unpin {
    /// Ready once the client has failed, where neither reading nor writing needs to show it.
    fn poll_failed(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Its end must not look like one in good order.
    fn abort_on_close(&self);
}

impl ClientSide for ClientIo {
    fn poll_failed(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn abort_on_close(&self) {
        self.connection().abort_on_close();
    }
}

/// Carries a tunnel's bytes until the end. `early` was read from the client behind its request.
pub(super) async fn run(tunnel: Tunnel, client: ClientIo, early: Bytes, connection: Rc<ClientConnection>) {
    let Tunnel { mut exchange, endpoint } = tunnel;
    exchange.becomes_tunnel();
    connection.becomes_tunnel();
    let tell = |carried: Carried| exchange.carried(carried.forth, carried.back);
    let cut = carry(client, early, *endpoint, connection.clock(), tell).await;
    exchange.ends(end(cut));
}

/// How a tunnel ended, for its exchange.
pub(super) fn end(cut: Option<Cut>) -> End {
    match cut {
        None => End::Complete,
        Some(Cut::Client) => End::Cut(Reason::ClientClosed),
        Some(Cut::Endpoint) => End::Cut(Reason::UpstreamReset),
        Some(Cut::Idle) => End::Cut(Reason::TunnelIdle),
    }
}

/// Carries bytes both ways until the end, and tells how many. `None`: both sides have ended in order.
pub(super) async fn carry(
    client: impl ClientSide,
    early: Bytes,
    endpoint: Switched,
    timer: &Timer,
    mut tell: impl FnMut(Carried),
) -> Option<Cut> {
    let Switched { stream, early: from_endpoint, idle, place: _counted } = endpoint;
    let mut relay = Relay::new(client, early, stream, from_endpoint);
    timer.set(idle);
    let mut before = Carried::default();
    let ended = poll_fn(|cx| {
        if relay.ends().0.poll_failed(cx).is_ready() {
            return Poll::Ready(Some(RelayEnd::First(io::ErrorKind::ConnectionReset.into())));
        }
        let ended = relay.poll(cx);
        let carried = relay.carried();
        if carried != before {
            before = carried;
            tell(carried);
            timer.set(idle);
        }
        match ended {
            Poll::Ready(end) => Poll::Ready(Some(end)),
            Poll::Pending => timer.poll(cx).map(|()| None),
        }
    })
    .await;
    match ended {
        Some(RelayEnd::Complete) => None,
        // What was on its way is lost: the other side must not take it for an orderly end.
        Some(RelayEnd::First(error)) => {
            tracing::debug!("carrying bytes: the client failed: {error}");
            relay.ends().1.abort_on_close();
            Some(Cut::Client)
        }
        Some(RelayEnd::Second(error)) => {
            tracing::debug!("carrying bytes: the endpoint failed: {error}");
            relay.ends().0.abort_on_close();
            Some(Cut::Endpoint)
        }
        None => Some(Cut::Idle),
    }
}

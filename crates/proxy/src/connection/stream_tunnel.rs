//! A stream of HTTP/2 that has become a tunnel: its client's extended CONNECT was agreed to (RFC 8441).
//!
//! Begins when the 200 is handed to hyper (`turn`), which writes it and gives the stream. The other streams of the connection go on; this one
//! keeps its place among them until its tunnel is over. What is carried, counted and waited for is as in `tunnel`.
//!
//! hyper splits the stream: what is received is read from it, what is sent goes through a future that hyper wants spawned. That future is
//! kept here instead, because only it shows that the client has reset its stream, and because dropping it, before it has said that all
//! was sent, resets the stream from our side: then a cut never looks like an end (RFC 8441, section 5).

use super::{
    client::ClientConnection,
    tunnel::{ClientSide, Tunnel, carry, end},
    turn::Turn,
};
use bytes::Bytes;
use evenkeel_net::Carried;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The sending half of a stream.
#[derive(Default)]
pub(super) struct Sending(RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>);

impl Sending {
    /// hyper has written the 200, and gives what sends the rest.
    pub(super) fn begins(&self, future: impl Future<Output = ()> + 'static) {
        self.0.replace(Some(Box::pin(future)));
    }

    /// Ready when all was sent, or the client takes no more.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut future = self.0.borrow_mut();
        let Some(sends) = &mut *future else { return Poll::Ready(()) };
        std::task::ready!(sends.as_mut().poll(cx));
        *future = None;
        Poll::Ready(())
    }
}

impl std::fmt::Debug for Sending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sending")
    }
}

/// Carries a tunnel's bytes once hyper has given the stream, until the end. `turn` is that of its request.
pub(super) async fn run(tunnel: Tunnel, stream: OnUpgrade, sending: Rc<Sending>, turn: Turn) {
    let Tunnel { mut exchange, endpoint } = tunnel;
    // Without it the client has gone before it could be told.
    let Ok(stream) = stream.await else { return };
    exchange.becomes_tunnel();
    let connection = Rc::clone(turn.connection());
    let _counted = Counted::new(&connection);
    let client = StreamSide { stream: TokioIo::new(stream), sending, ended: Cell::new(false) };
    let mut sent = 0;
    let tell = |carried: Carried| {
        exchange.carried(carried.forth, carried.back);
        // What moves pays for the frames by which the client asks for more.
        turn.moved(usize::try_from(carried.back - sent).unwrap_or(usize::MAX));
        sent = carried.back;
    };
    let cut = carry(client, Bytes::new(), *endpoint, &connection.timer(), tell).await;
    exchange.ends(end(cut));
}

/// One more tunnel, as long as this lives.
struct Counted<'c>(&'c ClientConnection);

impl<'c> Counted<'c> {
    fn new(connection: &'c ClientConnection) -> Self {
        connection.cells().tunnels.add(1);
        Self(connection)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.cells().tunnels.add(-1);
    }
}

/// A stream as a socket. Dropped before both sides have ended, it is reset (CANCEL).
struct StreamSide {
    stream: TokioIo<Upgraded>,
    sending: Rc<Sending>,
    /// All was sent, or will be.
    ended: Cell<bool>,
}

impl ClientSide for StreamSide {
    fn poll_failed(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.sending.poll(cx) {
            Poll::Ready(()) if !self.ended.get() => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    fn abort_on_close(&self) {}
}

impl AsyncRead for StreamSide {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for StreamSide {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended.set(true);
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

//! The client's socket as the codecs see it: counts bytes and tells the connection when they move and when they do not.

use super::{ClientConnection, tls};
use crate::http2::Sieve;
use evenkeel_net::Stream;
use evenkeel_telemetry::Http2Fault;
use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The client's socket.
pub(super) struct ClientIo {
    stream: Stream,
    connection: Rc<ClientConnection>,
    /// All that was to be written has been.
    flushed: bool,
    /// What the client has done to TLS was told.
    faulted: bool,
    /// Present where HTTP/2 is spoken.
    sieve: Option<Box<Sieve>>,
}

impl ClientIo {
    pub(super) fn new(stream: Stream, connection: Rc<ClientConnection>) -> Self {
        Self { stream, connection, flushed: true, faulted: false, sieve: None }
    }

    /// The same, for a client that speaks HTTP/2.
    pub(super) fn through(mut self, sieve: Sieve) -> Self {
        self.sieve = Some(Box::new(sieve));
        self
    }

    pub(super) fn connection(&self) -> &ClientConnection {
        &self.connection
    }

    /// Whoever is about to tell an endpoint where the client has connected to must have asked for it before.
    pub(super) fn learn_reached(&self) {
        self.connection.learn_reached(&self.stream);
    }

    /// Whether the client has reset the connection.
    pub(super) fn is_broken(&self) -> bool {
        self.stream.is_broken()
    }

    /// Whether nothing of the client's waits to be read.
    pub(super) fn is_quiet(&self) -> bool {
        self.stream.is_quiet()
    }

    /// Bytes that the client's socket takes at once, as far as is known.
    pub(super) fn room(&self) -> Option<usize> {
        self.stream.room()
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &result
            && !std::mem::replace(&mut self.faulted, true)
        {
            tls::note_fault(&self.connection, error);
        }
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            self.learn_reached();
            self.connection.read(bytes);
        }
        result
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(bytes)) => self.connection.wrote(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.connection.cannot_write(&self.stream),
        }
        result
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(mut sieve) = this.sieve.take() else { return this.poll_bytes(cx, buf) };
        let result = sieve.poll_read(cx, buf, |cx, buf| this.poll_bytes(cx, buf));
        for _ in 0..sieve.take_malformed() {
            this.connection.breaks_http2(Http2Fault::Protocol);
        }
        if let (Some(breach), Some(streams)) = (sieve.breach(), this.connection.streams()) {
            streams.breaches(breach);
        }
        this.sieve = Some(sieve);
        result
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.flushed = false;
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.written(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.flushed = false;
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Within TLS it is here that a client which takes nothing is noticed: until then a write only fills our buffer.
        let result = Pin::new(&mut this.stream).poll_flush(cx);
        this.flushed = matches!(result, Poll::Ready(Ok(())));
        if this.flushed && !this.connection.write_stalled() {
            return result;
        }
        this.written(result.map_ok(|()| 0)).map_ok(drop)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        // Only where a frame may begin: h2 flushes when it has written all of its own. One attempt, as nobody waits for this client.
        if let Some(words) = self.connection.last_words().filter(|_| self.flushed) {
            let _ = Pin::new(&mut self.stream).poll_write(&mut Context::from_waker(Waker::noop()), &words);
        }
        if self.connection.aborts() {
            self.stream.abort_on_close();
        }
    }
}

//! Makes a connection to an endpoint, and starts hyper on it where HTTP/1.1 is spoken; where HTTP/2 is, `http2` does.

use super::{
    announcement::Announcement,
    attempt::{Failure, Sent},
    pool::{Lease, Wire},
};
use crate::{
    body::Body,
    error::ProxyError,
    request::Exchange,
    worker::{LocalEndpoint, LocalUpstream, Worker},
};
use evenkeel_net::{ConnectError, Stream, Watched};
use evenkeel_telemetry::ConnectResult;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::{
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Bytes that hyper may hold of an endpoint's answer.
const BUFFER_MAX: usize = 64 * 1024;

/// How long a connection may take to be made.
pub(super) fn limit(upstream: &LocalUpstream, exchange: &Exchange) -> Duration {
    let timeouts = upstream.part.settings.timeouts;
    exchange.time_left(timeouts.total).map_or(timeouts.connect, |left| left.min(timeouts.connect))
}

/// Connects to an endpoint, and tells it first for whom, where it wants to know.
pub(super) async fn stream(
    upstream: &LocalUpstream,
    endpoint: &Rc<LocalEndpoint>,
    announcement: Option<&Announcement>,
    exchange: &Exchange,
) -> Result<Stream, Failure> {
    let cells = upstream.part.cells.cell(exchange.worker().id);
    let limit = limit(upstream, exchange);
    let connected = match (evenkeel_net::connect(&endpoint.part.target, limit).await, announcement) {
        (Ok(stream), Some(announcement)) => announce(stream, announcement).await,
        (connected, _) => connected,
    };
    match connected {
        Ok(stream) => {
            cells.connects(ConnectResult::Ok).inc();
            Ok(stream)
        }
        Err(cause) => {
            let timed_out = matches!(cause, ConnectError::TimedOut { .. });
            cells.connects(if timed_out { ConnectResult::TimedOut } else { ConnectResult::Failed }).inc();
            let endpoint = exchange.endpoint_address();
            Err(Failure { error: ProxyError::ConnectFailed { endpoint, cause }, sent: Sent::Nothing })
        }
    }
}

/// Makes a connection that speaks HTTP/1.1.
pub(super) async fn connect(
    upstream: &LocalUpstream,
    endpoint: &Rc<LocalEndpoint>,
    announcement: Option<&Announcement>,
    exchange: &Exchange,
) -> Result<Lease, Failure> {
    let worker = exchange.worker();
    let stream = stream(upstream, endpoint, announcement, exchange).await?;
    let (stream, watch) = Watched::new(stream);
    let wire = Rc::new(Wire::new(watch));
    let io = TokioIo::new(EndpointIo { stream, wire: Rc::clone(&wire), worker: Rc::clone(worker) });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER_MAX);
    let (sender, connection) = builder.handshake::<_, Body>(io).await.map_err(|error| Failure {
        error: ProxyError::UpstreamReset { endpoint: exchange.endpoint_address(), cause: Arc::from(error.to_string()) },
        sent: Sent::Nothing,
    })?;
    let (driven, driven_on) = (Rc::clone(&wire), Rc::clone(worker));
    tokio::task::spawn_local(async move {
        drive(connection, &driven).await;
        driven.ended(driven_on.timers.now());
        driven.keep_head(&driven_on);
    });
    Ok(Lease::fresh(sender, wire, announcement, endpoint, worker))
}

/// A new socket has room for these few bytes, so this does not wait.
async fn announce(mut stream: Stream, announcement: &Announcement) -> Result<Stream, ConnectError> {
    stream.write_all(&announcement.header()).await?;
    Ok(stream)
}

/// Its errors reach us through the request or the body that they concern; an idle one that ends is noticed at the pool. One that ends
/// with the 101 that a request hoped for is handed over, with what was read behind the 101.
async fn drive(mut connection: http1::Connection<TokioIo<EndpointIo>, Body>, wire: &Wire) {
    let ended = std::future::poll_fn(|cx| Pin::new(&mut connection).poll(cx)).await;
    if ended.is_ok() && wire.may_switch() {
        let http1::Parts { io, read_buf, .. } = connection.into_parts();
        wire.switched(io.into_inner().stream, read_buf);
    }
}

/// The endpoint's socket as hyper sees it: remembers whether bytes have moved.
struct EndpointIo {
    stream: Watched,
    wire: Rc<Wire>,
    worker: Rc<Worker>,
}

impl AsyncRead for EndpointIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.wire.read(&buf.filled()[before..], &this.worker);
        result
    }
}

impl AsyncWrite for EndpointIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.wire.wrote(result, buf.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.wire.wrote(result, bufs.iter().map(|buf| buf.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

//! Makes a connection to an endpoint, and starts hyper on it where HTTP/1.1 is spoken; where HTTP/2 is, `http2` does. `lease` decides which
//! is wanted.

use super::{
    announcement::Announcement,
    attempt::{Failure, Sent},
    identity::Identity,
    pool::{Lease, Wire},
};
use crate::{
    body::Body,
    error::ProxyError,
    request::Exchange,
    worker::{LocalEndpoint, LocalUpstream, Worker},
};
use evenkeel_model::{Address, Protocol};
use evenkeel_net::{ConnectError, Stream, Watched, tls::Refusal};
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

/// Bytes that hyper may hold of an endpoint's answer: as fast as twice as much for large ones, and half the price of a client that takes
/// nothing (docs/decisions/0006).
const BUFFER_MAX: usize = 32 * 1024;

/// Speaks HTTP/1.1 on a new connection.
pub(super) async fn speak(
    stream: Stream,
    identity: Identity,
    endpoint: &Rc<LocalEndpoint>,
    exchange: &Exchange,
) -> Result<Lease, Failure> {
    let worker = exchange.worker();
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
    Ok(Lease::fresh(sender, wire, identity, endpoint, worker))
}

/// As [`open`], for a request, which may have little time left.
pub(super) async fn open_for(
    upstream: &LocalUpstream,
    endpoint: &LocalEndpoint,
    identity: &mut Identity,
    only: Option<Protocol>,
    exchange: &Exchange,
) -> Result<(Stream, Protocol), Failure> {
    let total = upstream.part.settings.timeouts.total;
    let time = |limit: Duration| exchange.time_left(total).map_or(limit, |left| left.min(limit));
    let opened = open(upstream, endpoint, identity, only, time, exchange.worker()).await;
    opened.map_err(|error| Failure { error, sent: Sent::Nothing })
}

/// A connection, the PROXY header, TLS: each of the latter where the upstream has it. The header comes before TLS, as HAProxy sends it.
/// Within TLS the endpoint chooses what is spoken, unless `only` this is offered. `time` is how much of a timeout there is. Counts how it
/// ends, and notes in `identity` how it was made.
pub(super) async fn open(
    upstream: &LocalUpstream,
    endpoint: &LocalEndpoint,
    identity: &mut Identity,
    only: Option<Protocol>,
    time: impl Fn(Duration) -> Duration,
    worker: &Worker,
) -> Result<(Stream, Protocol), ProxyError> {
    let (timeouts, address) = (upstream.part.settings.timeouts, endpoint.part.target.address());
    let count = |result| upstream.part.cells.cell(worker.id).connects(result).inc();
    let connected = evenkeel_net::connect(&endpoint.part.target, time(timeouts.connect)).await;
    let announced = match (connected, &identity.announcement) {
        (Ok(stream), Some(announcement)) => announce(stream, announcement).await,
        (connected, _) => connected,
    };
    let stream = announced.map_err(|cause| {
        let timed_out = matches!(cause, ConnectError::TimedOut { .. });
        count(if timed_out { ConnectResult::TimedOut } else { ConnectResult::Failed });
        ProxyError::ConnectFailed { endpoint: address.clone(), cause }
    })?;
    let Some(tls) = &upstream.part.tls else {
        count(ConnectResult::Ok);
        // Only one is spoken without TLS.
        return Ok((stream, upstream.part.settings.protocol.offers()[0]));
    };
    let connected = tls.connect(stream, address, only, time(timeouts.tls)).await.map_err(|cause| {
        count(ConnectResult::TlsFailed);
        tls_failed(upstream, cause, address.clone(), worker)
    })?;
    count(ConnectResult::Ok);
    identity.tls = Some(connected.identity);
    Ok((connected.stream, connected.protocol))
}

/// TLS with an endpoint did not come about: tells the operator, who is mostly the one to do something about it.
pub(super) fn tls_failed(upstream: &LocalUpstream, cause: Refusal, endpoint: Address, worker: &Worker) -> ProxyError {
    let error = ProxyError::TlsFailed { endpoint, cause };
    if let Some(kept_back) = worker.refusals_told.tell() {
        tracing::warn!(upstream = %upstream.part.settings.name, kept_back, "{error}");
    }
    error
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

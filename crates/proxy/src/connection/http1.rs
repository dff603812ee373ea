//! Drives one HTTP/1.1 connection: hyper parses and writes, we keep the time and notice the end.

use super::{
    client::{ClientConnection, Stage},
    io::ClientIo,
    tunnel::{self, Unopened},
    turn::{Answering, Gone, Turn},
};
use crate::{body::Body, malformed, request::proxy_status, worker::faults};
use evenkeel_model::HalfClosedClients;
use evenkeel_net::Stream;
use evenkeel_telemetry::Reason;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, pin::Pin, rc::Rc, task::Poll};
use tokio::io::AsyncWriteExt;
use tower::Service;

/// Bytes that hyper may hold of a client: room for the largest head, and a bound on what one client costs.
const BUFFER_MAX: usize = 64 * 1024;

/// Fields that hyper reads when it is told nothing. Told anything, it allocates room for them with each head (hyper 1.12,
/// `http1::Builder::max_headers`), so lower limits are held behind it.
const HEADERS_UNSET: usize = 100;

/// How a connection ended.
enum Ended {
    Http(Result<(), hyper::Error>),
    TimedOut,
}

/// hyper's service: gives each request its connection and its turn, and hands it on.
struct Adapter<S> {
    service: S,
    connection: Rc<ClientConnection>,
}

impl<S> hyper::service::Service<Request<Incoming>> for Adapter<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    type Response = Response<Body>;
    type Error = Gone;
    type Future = Answering<S>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let turn = Turn::begin(&self.connection, request.version());
        let request = request.map(|incoming| turn.body(incoming));
        Answering::begin(&self.service, request, turn)
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve<S>(service: S, stream: Stream, connection: Rc<ClientConnection>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    let limits = connection.worker().snapshot().shared().config().limits;
    let head_max = limits.request_head_max.as_usize();
    let io = TokioIo::new(ClientIo::new(stream, Rc::clone(&connection)));
    let adapter = Adapter { service, connection: Rc::clone(&connection) };
    let mut http = http1::Builder::new();
    http.max_buf_size(BUFFER_MAX.max(head_max)).max_header_size(head_max);
    http.half_close(connection.listener().half_closed.get() == HalfClosedClients::Serve);
    if limits.headers_max > HEADERS_UNSET {
        http.max_headers(limits.headers_max);
    }
    let mut http = http.serve_connection(io, adapter);
    let _unopened = Unopened(Rc::clone(&connection));
    let mut ending = false;
    let ended = std::future::poll_fn(|cx| {
        if !ending && connection.must_end() {
            ending = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        if let Poll::Ready(result) = Pin::new(&mut http).poll(cx) {
            return Poll::Ready(Ended::Http(result));
        }
        connection.clock().poll(cx).map(|()| Ended::TimedOut)
    })
    .await;
    match ended {
        Ended::Http(Ok(())) => {
            // hyper ends like this in two cases: HTTP is over, or the 101 is written and the sockets are ours.
            if let Some(tunnel) = connection.take_tunnel() {
                let http1::Parts { io, read_buf, .. } = http.into_parts();
                // A task of its own, so that what HTTP needed is freed.
                tokio::task::spawn_local(tunnel::run(tunnel, io.into_inner(), read_buf, connection));
            }
        }
        Ended::Http(Err(error)) => report(&error, &http.into_parts().read_buf, &connection),
        Ended::TimedOut => time_out(http.into_parts().io.into_inner(), &connection).await,
    }
}

/// hyper has answered what it could not parse; nobody else has seen it. `rest` is what it had read and not taken.
fn report(error: &hyper::Error, rest: &[u8], connection: &ClientConnection) {
    if error.is_parse_too_large() {
        faults::unparsed(connection, 431, Reason::RequestHeadTooLarge);
    } else if error.is_parse() && !connection.is_fault_logged() {
        faults::unparsed(connection, 400, Reason::MalformedRequest);
        malformed::unparsed(connection, error, rest);
    }
    tracing::debug!(peer = %connection.peer(), "client connection: {error}");
}

async fn time_out(mut io: ClientIo, connection: &ClientConnection) {
    if connection.write_stalled() {
        // What we hold for this client will never be taken; an orderly end would wait for it.
        connection.abort_on_close();
        return;
    }
    // A connection that never said a word gets none either: browsers open some in reserve.
    if connection.stage() == Stage::Head && !connection.silent() {
        faults::unparsed(connection, 408, Reason::RequestTimeout);
        let status = if connection.listener().proxy_status.get() {
            format!("proxy-status: {}\r\n", proxy_status(Reason::RequestTimeout))
        } else {
            String::new()
        };
        // RFC 9110, section 15.5.9. One attempt; the socket's buffer is empty or the client is no reader.
        let answer = format!("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n{status}\r\n");
        let _ = io.write(answer.as_bytes()).await;
        let _ = io.shutdown().await;
    }
}

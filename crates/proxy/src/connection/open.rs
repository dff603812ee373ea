//! The first thing that happens to an accepted connection: PROXY header? -> TLS? -> the protocol that it speaks.
//!
//! Between `worker/accept`, which has the socket, and `http1` or `http2`, which speak. Never lets a client that says nothing stay.

use super::{client::ClientConnection, first_bytes, http1, http2, introduction::introduce, tcp, tls};
use crate::{body::Body, worker::LocalTcp};
use evenkeel_model::{ListenerProtocol, Protocol};
use evenkeel_net::Stream;
use http::{Request, Response};
use std::{convert::Infallible, rc::Rc};
use tower::Service;

/// Serves a connection until it ends. `tcp` is where it goes if it is passed on as it is.
pub(crate) async fn open<S>(service: S, mut stream: Stream, connection: Rc<ClientConnection>, tcp: Option<LocalTcp>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    if tcp.is_some() {
        connection.becomes_session();
    }
    let senders = connection.listener().header_senders.borrow().clone();
    if let Some(senders) = senders
        // Boxed, so that connections without a header do not carry its future.
        && Box::pin(introduce(&mut stream, &senders, &connection)).await.is_none()
    {
        return;
    }
    let secured = connection.listener().tls.borrow().clone();
    let (stream, protocol) = match secured {
        None => match connection.listener().protocol.get() {
            ListenerProtocol::Http1 => (stream, Protocol::Http11),
            ListenerProtocol::H2c => (stream, Protocol::Http2),
            ListenerProtocol::Auto => match first_bytes::tell(stream, &connection).await {
                Some(told) => told,
                None => return,
            },
        },
        // Boxed: a handshake is large and soon over.
        Some(listener) => match Box::pin(tls::secure(stream, listener, &connection)).await {
            Some(secured) => secured,
            None => return,
        },
    };
    if let Some(tcp) = tcp {
        // A task of its own, so that a session has no room in it for what HTTP needs.
        tokio::task::spawn_local(tcp::serve(stream, connection, tcp));
        return;
    }
    match protocol {
        Protocol::Http11 => http1::serve(service, stream, connection).await,
        // A task of its own as well: it is the larger one, and neither should carry the other.
        Protocol::Http2 => drop(tokio::task::spawn_local(http2::serve(service, stream, connection))),
    }
}

//! The first thing that happens to an accepted connection: TLS, where its listener has it, then the protocol that it speaks.
//!
//! Between `worker/accept`, which has the socket, and `http1`, which speaks. Never lets a client that says nothing stay.

use super::{client::ClientConnection, http1, tls};
use crate::body::Body;
use evenkeel_model::Protocol;
use evenkeel_net::Stream;
use http::{Request, Response};
use std::{convert::Infallible, rc::Rc};
use tower::Service;

/// Serves a connection until it ends.
pub(crate) async fn open<S>(service: S, stream: Stream, connection: Rc<ClientConnection>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    let secured = connection.listener().tls.borrow().clone();
    let (stream, protocol) = match secured {
        None => (stream, Protocol::Http11),
        // Boxed: a handshake is large and soon over.
        Some(listener) => match Box::pin(tls::secure(stream, listener, &connection)).await {
            Some(secured) => secured,
            None => return,
        },
    };
    match protocol {
        Protocol::Http11 => http1::serve(service, stream, connection).await,
    }
}

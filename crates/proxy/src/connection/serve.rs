//! Chooses how a connection is served.

use super::{ClientConnection, http1, http2};
use crate::body::Body;
use evenkeel_model::Protocol;
use evenkeel_net::Stream;
use http::{Request, Response};
use std::{convert::Infallible, rc::Rc};
use tower::Service;

/// Serves a connection until it ends, in the protocol that its listener speaks. Nothing is guessed from what a client says first: that
/// wait has no good end.
pub(crate) async fn serve<S>(service: S, stream: Stream, connection: Rc<ClientConnection>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    match connection.listener().protocol.get() {
        Protocol::Http => http1::serve(service, stream, connection).await,
        Protocol::H2c => http2::serve(service, stream, connection).await,
    }
}

//! The proxy as a tower `Service`, so that an embedding program can wrap it with any `Layer`.

use super::handle;
use crate::{body::Body, worker::Worker};
use http::{Request, Response};
use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// The proxy of one worker. Cloning is cheap; it stays on its thread.
#[derive(Clone)]
pub struct ProxyService(Rc<Worker>);

impl ProxyService {
    pub(crate) fn new(worker: Rc<Worker>) -> Self {
        Self(worker)
    }
}

impl fmt::Debug for ProxyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyService")
    }
}

impl tower::Service<Request<Body>> for ProxyService {
    type Response = Response<Body>;
    type Error = Infallible;
    // A trait cannot name the future of an async function. One box for a request, from a thread-local free list.
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let worker = Rc::clone(&self.0);
        let mut request = request;
        Box::pin(async move { Ok(handle::handle(&worker, &mut request).await) })
    }
}

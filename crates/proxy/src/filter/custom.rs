//! Filters of an embedding program.

use crate::body::Body;
use http::{Request, Response};
use std::pin::Pin;

/// What a filter decided.
#[derive(Debug)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Answer with this; the request does not leave.
    Answer(Response<Body>),
}

/// A step of an embedding program. One is made in each worker, so it needs neither `Send` nor a lock; it must not block.
pub trait CustomFilter {
    /// Sees a request before it leaves. Framing fields (`Content-Length`, `Transfer-Encoding`) are set after this.
    ///
    /// # Errors
    /// A text for the log; the client gets a 500.
    fn on_request<'a>(
        &'a self,
        request: &'a mut Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Flow, String>> + 'a>>;

    /// Sees a response before the client does.
    fn on_response(&self, _response: &mut Response<Body>) {}
}

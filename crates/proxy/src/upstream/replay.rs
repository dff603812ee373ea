//! What is needed to send a request a second time.
//!
//! hyper takes a request for good once it has begun to write it. So its head is remembered, in a list that the worker uses again
//! and again; a field's value is shared, not copied. The body can be sent again as long as nothing of it was taken, or all of that was
//! kept: only what a client has marked with a key is.

use crate::{
    body::Body,
    request::{CHUNKED, Exchange, plain_length},
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use tokio::sync::watch;

/// By which a server knows that it has seen a request before (draft-ietf-httpapi-idempotency-key-header-07, section 2).
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request that can be made again.
pub(super) struct Replay {
    first: Option<Request<Body>>,
    method: Method,
    uri: Uri,
    fields: Vec<(HeaderName, HeaderValue)>,
    bodiless: bool,
    idempotent: bool,
    /// Told when the endpoint says `100 Continue` to a client that waits for it.
    agreed: Option<watch::Sender<bool>>,
}

impl Replay {
    /// Takes a request that is ready to leave, and gives it the one right framing.
    pub(super) fn of(mut request: Request<Body>, exchange: &Exchange) -> Self {
        let waits = exchange.upload().filter(|_| waits_for_agreement(&mut request));
        let agreed = waits.map(|upload| {
            let (agreed, receiver) = watch::channel(false);
            upload.wait_for(receiver);
            agreed
        });
        frame(&mut request, exchange);
        let mut fields = exchange.worker().spare_fields();
        fields.extend(request.headers().iter().map(|(name, value)| (name.clone(), value.clone())));
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let keyed = request.headers().contains_key(&IDEMPOTENCY_KEY) && exchange.trusts_idempotency_key();
        if let (true, Some(upload)) = (keyed, exchange.upload()) {
            upload.keep();
        }
        let idempotent = keyed || method.is_idempotent();
        Self { method, uri, fields, bodiless: exchange.upload().is_none(), idempotent, agreed, first: Some(request) }
    }

    /// The request; made again if it has been taken before.
    pub(super) fn request(&mut self, exchange: &Exchange) -> Request<Body> {
        let mut request = self.first.take().unwrap_or_else(|| {
            let mut request = Request::new(Body::again(exchange.upload()));
            *request.method_mut() = self.method.clone();
            *request.uri_mut() = self.uri.clone();
            *request.version_mut() = Version::HTTP_11;
            // Appended one by one: a field may have many lines.
            request.headers_mut().extend(self.fields.iter().cloned());
            request
        });
        if let Some(agreed) = self.agreed.clone() {
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    agreed.send_replace(true);
                }
            });
        }
        request
    }

    /// hyper gave it back untouched.
    pub(super) fn returned(&mut self, request: Request<Body>) {
        self.first = Some(request);
    }

    /// Whether nothing of the body is gone for good.
    pub(super) fn is_possible(&self, exchange: &Exchange) -> bool {
        self.first.is_some() || exchange.upload().is_none_or(|upload| upload.can_begin_again())
    }

    /// By its method, or by its client's word where that is taken.
    pub(super) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Whether it may be sent again even when nobody knows what the endpoint made of it.
    pub(super) fn is_repeatable(&self) -> bool {
        self.bodiless && self.is_idempotent()
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Gives the list of fields back to the worker.
    pub(super) fn end(&mut self, exchange: &Exchange) {
        exchange.worker().take_back_fields(std::mem::take(&mut self.fields));
    }
}

/// Whether the client sends its body only after a `100 Continue` (RFC 9110, section 10.1.1). From an HTTP/1.0 client that means nothing,
/// and goes no further.
fn waits_for_agreement(request: &mut Request<Body>) -> bool {
    let waits = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if !request.headers().get(header::EXPECT).is_some_and(waits) {
        return false;
    }
    if request.version() < Version::HTTP_11 {
        request.headers_mut().remove(header::EXPECT);
        return false;
    }
    true
}

/// The one place where a request's framing is decided. hyper would send a body of unknown length with GET or HEAD, or in
/// HTTP/1.0, as no body at all, and without an error; and it passes a Content-Length on that does not fit the body.
fn frame(request: &mut Request<Body>, exchange: &Exchange) {
    *request.version_mut() = Version::HTTP_11;
    // What hyper noted of the client's spelling and wishes is not for the endpoint.
    request.extensions_mut().clear();
    // HTTP/1.1 needs a Host (RFC 9112, section 3.2); a client of HTTP/1.0 may have sent none.
    if !request.headers().contains_key(header::HOST)
        && let Ok(name) = HeaderValue::from_str(exchange.upstream_name())
    {
        request.headers_mut().insert(header::HOST, name);
    }
    let length = exchange.upload().map(|upload| upload.length());
    let headers = request.headers_mut();
    match length {
        // A body of unknown length.
        Some(None) => {
            headers.remove(header::CONTENT_LENGTH);
            headers.insert(header::TRANSFER_ENCODING, CHUNKED.clone());
        }
        Some(Some(length)) => {
            if plain_length(headers).is_none() {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        // No body. A plain `Content-Length: 0` may stay: for POST it says something (RFC 9110, section 8.6).
        None => {
            if plain_length(headers).is_none_or(|length| length.as_bytes() != b"0") {
                headers.remove(header::CONTENT_LENGTH);
            }
        }
    }
}

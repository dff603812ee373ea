//! What is needed to send a request a second time.
//!
//! Over HTTP/1.1 a request stays in its place, and only its body is taken. Over HTTP/2 hyper takes all of it, for good once it has begun to
//! write it; so its head is remembered, as bytes in a buffer that the worker uses again and again. The body can be sent again as long
//! as nothing of it was taken, or all of that was kept: only what a client has marked with a key is.

use crate::{
    body::Body,
    request::{CHUNKED, Exchange, plain_length},
    worker::LocalUpstream,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header,
    uri::{self, Authority, Scheme},
};
use tokio::sync::watch;

/// By which a server knows that it has seen a request before (draft-ietf-httpapi-idempotency-key-header-07, section 2).
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request that can be made again, in the version that is spoken on the connection at hand.
pub(super) struct Replay<'r> {
    request: &'r mut Request<Body>,
    /// Whether the head of `request` is in its place, and in HTTP/1.1.
    head_there: bool,
    /// Whether its body is in its place.
    body_there: bool,
    /// Present once hyper has been given the request.
    original: Option<Original>,
    /// Of the endpoint, for HTTP/2.
    scheme: Scheme,
    /// A body that no client sends.
    full: Option<Bytes>,
    to_head: bool,
    bodiless: bool,
    idempotent: bool,
    /// Told when the endpoint says `100 Continue` to a client that waits for it.
    agreed: Option<watch::Sender<bool>>,
}

/// The head of a request in HTTP/1.1.
struct Original {
    method: Method,
    uri: Uri,
    /// As `write_fields` makes them.
    fields: Vec<u8>,
}

impl<'r> Replay<'r> {
    /// Gives a request that is ready to leave the one right framing.
    pub(super) fn of(request: &'r mut Request<Body>, upstream: &LocalUpstream, exchange: &Exchange) -> Self {
        let waits = exchange.upload().filter(|_| waits_for_agreement(request));
        let agreed = waits.map(|upload| {
            let (agreed, receiver) = watch::channel(false);
            upload.wait_for(receiver);
            agreed
        });
        frame(request, exchange);
        let keyed = exchange.trusts_idempotency_key() && request.headers().contains_key(&IDEMPOTENCY_KEY);
        if let (true, Some(upload)) = (keyed, exchange.upload()) {
            upload.keep();
        }
        Self {
            head_there: true,
            body_there: true,
            original: None,
            scheme: if upstream.part.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP },
            full: request.body().full(),
            to_head: *request.method() == Method::HEAD,
            bodiless: exchange.upload().is_none(),
            idempotent: keyed || request.method().is_idempotent(),
            agreed,
            request,
        }
    }

    /// The request in HTTP/1.1, whose body may be taken; and who waits for the endpoint's `100 Continue`.
    pub(super) fn lend(&mut self, exchange: &Exchange) -> (&mut Request<Body>, Option<watch::Sender<bool>>) {
        self.restore(exchange);
        self.body_there = false;
        (self.request, self.agreed.clone())
    }

    /// The request in HTTP/2, for good.
    pub(super) fn request(&mut self, exchange: &Exchange) -> Request<Body> {
        self.restore(exchange);
        (self.head_there, self.body_there) = (false, false);
        if self.original.is_none() {
            let mut fields = exchange.worker().spare_head();
            write_fields(self.request.headers(), &mut fields);
            let (method, uri) = (self.request.method().clone(), self.request.uri().clone());
            self.original = Some(Original { method, uri, fields });
        }
        // hyper passes no 100 on, so the body follows at once; RFC 9110, section 10.1.1, allows that.
        if let Some(agreed) = &self.agreed {
            agreed.send_replace(true);
        }
        // The begin of a body is taken at once, and a stream may be refused after that (RFC 9113, section 8.7).
        if let Some(upload) = exchange.upload() {
            upload.keep();
        }
        let mut request = std::mem::take(self.request);
        translate(&mut request, &self.scheme, exchange.upstream_name());
        request
    }

    /// Puts everything into its place.
    fn restore(&mut self, exchange: &Exchange) {
        if !std::mem::replace(&mut self.body_there, true) {
            let again = || Body::again(exchange.upload());
            *self.request.body_mut() = self.full.clone().map_or_else(again, Body::from);
        }
        if let (false, Some(original)) = (self.head_there, &self.original) {
            *self.request.method_mut() = original.method.clone();
            *self.request.uri_mut() = original.uri.clone();
            *self.request.version_mut() = Version::HTTP_11;
            self.request.headers_mut().clear();
            read_fields(&original.fields, self.request.headers_mut());
        }
        self.head_there = true;
    }

    /// hyper gave it back untouched.
    pub(super) fn returned(&mut self, request: Request<Body>) {
        *self.request = request;
        self.body_there = true;
    }

    /// Whether nothing of the body is gone for good.
    pub(super) fn is_possible(&self, exchange: &Exchange) -> bool {
        self.body_there || exchange.upload().is_none_or(|upload| upload.can_begin_again())
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
        self.to_head
    }

    /// Gives the buffer back to the worker, and lets go of what was kept: there is an answer.
    pub(super) fn end(&mut self, exchange: &Exchange) {
        if let Some(upload) = exchange.upload() {
            upload.keep_no_more();
        }
        if let Some(original) = self.original.take() {
            exchange.worker().take_back_head(original.fields);
        }
    }
}

/// Appends all fields, a line each: the name, `:`, the value, a line feed. Neither can contain what ends it (RFC 9110, sections 5.1
/// and 5.5, and `HeaderValue` holds no line feed).
fn write_fields(headers: &HeaderMap, bytes: &mut Vec<u8>) {
    for (name, value) in headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        bytes.reserve(name.len() + value.len() + 2);
        bytes.extend_from_slice(name);
        bytes.push(b':');
        bytes.extend_from_slice(value);
        bytes.push(b'\n');
    }
}

/// What `write_fields` has written.
fn read_fields(bytes: &[u8], headers: &mut HeaderMap) {
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let field = HeaderName::from_bytes(&line[..colon]).ok().zip(HeaderValue::from_bytes(&line[colon + 1..]).ok());
        if let Some((name, value)) = field {
            headers.append(name, value);
        }
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
            headers.remove(header::TRANSFER_ENCODING);
            if plain_length(headers).is_none() {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        // No body. A plain `Content-Length: 0` may stay: for POST it says something (RFC 9110, section 8.6).
        None => {
            headers.remove(header::TRANSFER_ENCODING);
            if plain_length(headers).is_none_or(|length| length.as_bytes() != b"0") {
                headers.remove(header::CONTENT_LENGTH);
            }
        }
    }
}

/// From HTTP/1.1 to HTTP/2 (RFC 9113, section 8.3.1): the authority in its place instead of a Host field, and no field that concerns
/// one connection. `TE: trailers` stays: without it servers of gRPC refuse a call.
fn translate(request: &mut Request<Body>, scheme: &Scheme, otherwise: &str) {
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    let host = headers.remove(header::HOST);
    for name in [header::CONNECTION, header::UPGRADE, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = uri::Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = authority.or_else(|| otherwise.parse().ok());
    parts.path_and_query = request.uri().path_and_query().cloned();
    // A request without an authority is one that no server understands; h2 refuses it as well.
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_is_remembered_field_by_field_and_byte_by_byte(
            fields in prop::collection::vec(("[a-z0-9!#$%&'*+.^_`|~-]{1,12}", prop::collection::vec(0x20_u8..=0xff, 0..20)), 0..20)
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in &fields {
                if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
                    headers.append(name, value);
                }
            }
            let (mut bytes, mut read) = (Vec::new(), HeaderMap::new());
            write_fields(&headers, &mut bytes);
            read_fields(&bytes, &mut read);
            prop_assert_eq!(headers, read);
        }
    }
}

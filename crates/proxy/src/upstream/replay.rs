//! What is needed to send a request a second time.
//!
//! Over HTTP/1.1 a request stays in its place, and only its body is taken. Over HTTP/2 hyper takes all of it, for good once it has begun to
//! write it; so its head is remembered, as bytes in a buffer that the worker uses again and again. The body can be sent again as long
//! as nothing of it was taken, or all of that was kept: only what a client has marked with a key is.

use crate::{
    body::Body,
    request::{CHUNKED, Exchange, plain_length},
};
use bytes::Bytes;
use evenkeel_model::UpstreamProtocol;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header,
    uri::{self, Authority, Scheme},
};
use tokio::sync::watch;

/// By which a server knows that it has seen a request before (draft-ietf-httpapi-idempotency-key-header-07, section 2).
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request that can be made again.
pub(super) struct Replay<'r> {
    request: &'r mut Request<Body>,
    /// Whether `request` is still, or again, in its place.
    there: bool,
    method: Method,
    uri: Uri,
    version: Version,
    /// Its fields, as `write_fields` makes them. HTTP/1.1 needs no copy, for it leaves the request where it is.
    fields: Vec<u8>,
    /// A body that no client sends.
    full: Option<Bytes>,
    bodiless: bool,
    idempotent: bool,
    /// Told when the endpoint says `100 Continue` to a client that waits for it.
    agreed: Option<watch::Sender<bool>>,
}

impl<'r> Replay<'r> {
    /// Gives a request that is ready to leave the one right framing.
    pub(super) fn of(request: &'r mut Request<Body>, protocol: UpstreamProtocol, exchange: &Exchange) -> Self {
        // Over HTTP/2 hyper passes no 100 on, so the body follows at once; RFC 9110, section 10.1.1, allows that.
        let waits = exchange.upload().filter(|_| waits_for_agreement(request) && protocol == UpstreamProtocol::Http1);
        let agreed = waits.map(|upload| {
            let (agreed, receiver) = watch::channel(false);
            upload.wait_for(receiver);
            agreed
        });
        frame(request, exchange);
        if protocol == UpstreamProtocol::H2c {
            translate(request, exchange.upstream_name());
        }
        let mut fields = Vec::new();
        if protocol != UpstreamProtocol::Http1 {
            fields = exchange.worker().spare_head();
            write_fields(request.headers(), &mut fields);
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let keyed = exchange.trusts_idempotency_key() && request.headers().contains_key(&IDEMPOTENCY_KEY);
        // HTTP/2 takes the begin of a body at once, and refuses a stream after that (RFC 9113, section 8.7).
        if let (true, Some(upload)) = (keyed || protocol == UpstreamProtocol::H2c, exchange.upload()) {
            upload.keep();
        }
        let idempotent = keyed || method.is_idempotent();
        let full = request.body().full();
        let bodiless = exchange.upload().is_none();
        let version = request.version();
        Self { method, uri, version, fields, full, bodiless, idempotent, agreed, request, there: true }
    }

    /// The request, with its body, which may be taken.
    pub(super) fn lend(&mut self, exchange: &Exchange) -> &mut Request<Body> {
        if !std::mem::take(&mut self.there) {
            *self.request.body_mut() = self.body(exchange);
        }
        self.request
    }

    /// Who waits for the endpoint's `100 Continue`.
    pub(super) fn agreed(&self) -> Option<watch::Sender<bool>> {
        self.agreed.clone()
    }

    fn body(&self, exchange: &Exchange) -> Body {
        self.full.clone().map_or_else(|| Body::again(exchange.upload()), Body::from)
    }

    /// The request; made again if it has been taken before.
    pub(super) fn request(&mut self, exchange: &Exchange) -> Request<Body> {
        let mut request = std::mem::take(self.request);
        if !std::mem::take(&mut self.there) {
            *request.body_mut() = self.body(exchange);
            *request.method_mut() = self.method.clone();
            *request.uri_mut() = self.uri.clone();
            *request.version_mut() = self.version;
            read_fields(&self.fields, request.headers_mut());
        }
        request
    }

    /// hyper gave it back untouched.
    pub(super) fn returned(&mut self, request: Request<Body>) {
        *self.request = request;
        self.there = true;
    }

    /// Whether nothing of the body is gone for good.
    pub(super) fn is_possible(&self, exchange: &Exchange) -> bool {
        self.there || exchange.upload().is_none_or(|upload| upload.can_begin_again())
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

    /// Gives the buffer back to the worker, and lets go of what was kept: there is an answer.
    pub(super) fn end(&mut self, exchange: &Exchange) {
        if let Some(upload) = exchange.upload() {
            upload.keep_no_more();
        }
        exchange.worker().take_back_head(std::mem::take(&mut self.fields));
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

/// From HTTP/1.1 to HTTP/2 (RFC 9113, section 8.3.1): the authority in its place instead of a Host field, and no field that concerns
/// one connection. `TE: trailers` stays: without it servers of gRPC refuse a call.
fn translate(request: &mut Request<Body>, otherwise: &str) {
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    let host = headers.remove(header::HOST);
    for name in [header::CONNECTION, header::UPGRADE, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
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

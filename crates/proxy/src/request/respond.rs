//! Answers of our own: a small plain text with a request id, by which the log line is found.

use super::{Exchange, grpc, proxy_status};
use crate::{body::Body, error::ProxyError};
use http::{HeaderName, HeaderValue, Response, header};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Turns an error into an answer. The cause goes to the log; a client learns no addresses.
pub(crate) fn with_error(error: &ProxyError, exchange: &mut Exchange) -> Response<Body> {
    exchange.failed(error);
    let id = exchange.request_id();
    if let Some(code) = exchange.grpc_status(error) {
        return to_call(code, error, id, exchange);
    }
    let status = error.status();
    let text = format!(
        "{} {}\nreason: {}\nrequest: {id:016x}\n",
        status.as_str(),
        status.canonical_reason().unwrap_or(""),
        error.reason().as_str()
    );
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(&REQUEST_ID, HeaderValue::try_from(format!("{id:016x}")).expect("hex digits"));
    if exchange.shows_status() {
        headers.insert(&PROXY_STATUS, proxy_status::of_error(error));
    }
    if error.closes() && !exchange.is_http2() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if matches!(error, ProxyError::MethodRefused | ProxyError::LastHop) {
        // RFC 9110, section 15.5.6: a 405 must say what is allowed. Section 9.3.7: that is what OPTIONS asks.
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    response
}

/// An answer to a call of gRPC that consists of its trailers, sent as its head ("Trailers-Only" in gRPC's PROTOCOL-HTTP2.md).
fn to_call(code: u8, error: &ProxyError, id: u64, exchange: &Exchange) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, grpc::CONTENT_TYPE.clone());
    headers.insert(&grpc::STATUS, HeaderValue::from(u16::from(code)));
    // A name of ours and hex digits: nothing that would have to be percent-encoded.
    let message = format!("{} (request {id:016x})", error.reason().as_str());
    headers.insert(&grpc::MESSAGE, HeaderValue::try_from(message).expect("a name and hex digits"));
    headers.insert(&REQUEST_ID, HeaderValue::try_from(format!("{id:016x}")).expect("hex digits"));
    if exchange.shows_status() {
        headers.insert(&PROXY_STATUS, proxy_status::of_error(error));
    }
    response
}

/// Marks the answer of a filter as ours.
pub(super) fn by_filter(response: &mut Response<Body>, exchange: &mut Exchange) {
    exchange.answered_by_filter();
    if exchange.shows_status() {
        response.headers_mut().insert(&PROXY_STATUS, proxy_status::of_filter());
    }
}

//! Keeps what broke HTTP, with what is known of where it came from.

use super::{
    kept::{Head, Kept, Malformed},
    scan::{self, Kind},
};
use crate::{body::Body, connection::ClientConnection, error::MalformedRequest, request::Exchange, worker::Worker};
use evenkeel_telemetry::Reason;
use http::{HeaderMap, Request, Response, Version};
use std::{fmt::Display, time::SystemTime};

/// A request whose head is none; `rest` is what was read from its begin on.
pub(crate) fn unparsed(connection: &ClientConnection, fault: impl Display, rest: &[u8]) {
    let head = Some(shown(Kind::Request, rest, None));
    keep(
        connection.worker(),
        Malformed {
            at: SystemTime::now(),
            listener: connection.listener().part.name.to_string(),
            client: connection.peer().ip(),
            sender: None,
            reason: Reason::MalformedRequest,
            cause: fault.to_string(),
            head,
        },
    );
}

/// A request that we refuse.
pub(crate) fn request(request: &Request<Body>, cause: MalformedRequest, exchange: &Exchange) {
    let heard = exchange.connection().and_then(|connection| connection.heard_head());
    let head = heard.map_or_else(
        || {
            let target = request.uri();
            let line = format!("{} {target} {:?}\r\n", request.method(), request.version());
            Head::around(&written(&line, request.headers()), None, false)
        },
        |heard| shown(Kind::Request, &heard, Some(cause)),
    );
    note(Reason::MalformedRequest, cause, Some(head), None, exchange);
}

/// The body of a request. In HTTP/1.1, what was heard last is what it has from the wrong byte on.
pub(crate) fn request_body(exchange: &Exchange) {
    let connection = exchange.connection().filter(|connection| !connection.is_http2());
    let rest = connection.and_then(|connection| connection.heard_head());
    let rest = rest.map(|rest| Head::around(&rest, Some(0), true));
    note(Reason::MalformedRequest, MalformedRequest::Body, rest, None, exchange);
}

/// The body of an answer; `rest` is what it has from the wrong byte on.
pub(crate) fn response_body(rest: Option<&[u8]>, exchange: &Exchange) {
    let rest = rest.map(|rest| Head::around(rest, Some(0), true));
    note(Reason::UpstreamProtocol, "the response's body is malformed", rest, sender(exchange), exchange);
}

/// What an endpoint sent; `heard` is the begin of its head, as it came.
pub(crate) fn response(cause: impl Display, heard: Option<&[u8]>, exchange: &Exchange) {
    let head = heard.map(|heard| shown(Kind::Response, heard, None));
    note(Reason::UpstreamProtocol, cause, head, sender(exchange), exchange);
}

/// A head that an endpoint sent, which could be read and not be passed on.
pub(crate) fn response_head<B>(cause: impl Display, response: &Response<B>, exchange: &Exchange) {
    let version = if response.version() == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let line = format!("{version} {}\r\n", response.status());
    let head = Head::around(&written(&line, response.headers()), None, false);
    note(Reason::UpstreamProtocol, cause, Some(head), sender(exchange), exchange);
}

fn note(
    reason: Reason,
    cause: impl Display,
    head: Option<Head>,
    sender: Option<(String, String)>,
    exchange: &Exchange,
) {
    let listener = exchange.connection().map_or_else(String::new, |c| c.listener().part.name.to_string());
    let (at, cause) = (SystemTime::now(), cause.to_string());
    keep(exchange.worker(), Malformed { at, listener, client: exchange.client(), sender, reason, cause, head });
}

fn keep(worker: &Worker, message: Malformed) {
    let snapshot = worker.snapshot();
    let kept: &Kept = snapshot.shared().malformed.cell(worker.id);
    kept.keep(message);
}

fn sender(exchange: &Exchange) -> Option<(String, String)> {
    Some((exchange.upstream_name().to_owned(), exchange.endpoint_label().to_owned()))
}

/// A head as it came, without what came behind it.
fn shown(kind: Kind, bytes: &[u8], cause: Option<MalformedRequest>) -> Head {
    let finding = scan::find(kind, bytes, cause);
    Head::around(&bytes[..finding.end.unwrap_or(bytes.len())], finding.offset, true)
}

/// A head as we have understood it.
fn written(line: &str, headers: &HeaderMap) -> Vec<u8> {
    let mut bytes = line.as_bytes().to_vec();
    for (name, value) in headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes
}

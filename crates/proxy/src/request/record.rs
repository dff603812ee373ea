//! The access-log line of a request. What the client said is copied while we still have it, and only while there is a log.

use super::Exchange;
use crate::{body::Body, connection::ClientConnection};
use evenkeel_telemetry::{
    Reason,
    access_log::{Answer, Phases, Record, Request as Asked, Target},
};
use http::{Request, header};
use std::time::{Duration, SystemTime};

/// What a client said.
pub(super) struct Said {
    time: SystemTime,
    method: http::Method,
    host: Option<http::HeaderValue>,
    uri: http::Uri,
    trace: Option<http::HeaderValue>,
}

impl Said {
    pub(super) fn of(request: &Request<Body>) -> Self {
        Self {
            time: SystemTime::now(),
            method: request.method().clone(),
            host: host(request),
            uri: request.uri().clone(),
            trace: request.headers().get("traceparent").cloned(),
        }
    }
}

/// By which it is routed: an authority in the target, as all of HTTP/2 have it, is what `Host` must be (RFC 9112, section 3.2.2; RFC 9113,
/// section 8.3.1).
fn host(request: &Request<Body>) -> Option<http::HeaderValue> {
    let authority = request.uri().authority().map(|authority| http::HeaderValue::from_str(authority.as_str()));
    authority.and_then(Result::ok).or_else(|| request.headers().get(header::HOST).cloned())
}

/// `00-TRACE-SPAN-FLAGS` (W3C Trace Context, section 3.2.2).
fn trace_id(traceparent: &http::HeaderValue) -> Option<&str> {
    let trace = traceparent.to_str().ok()?.split('-').nth(1)?;
    (trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit())).then_some(trace)
}

/// Writes the line of a request that has ended.
pub(super) fn write(exchange: &Exchange, said: &Said, took: Duration) {
    let id = if exchange.id == 0 { String::new() } else { format!("{:016x}", exchange.id) };
    let head = exchange.head.and_then(|head| exchange.connected.map(|connected| head.saturating_sub(connected)));
    exchange.worker().log().write(&Record {
        time: said.time,
        listener: exchange.connection().map_or("", |connection| connection.listener().part.name.as_str()),
        client: exchange.client,
        request: Asked {
            id: &id,
            trace_id: said.trace.as_ref().and_then(trace_id).unwrap_or(""),
            method: said.method.as_str(),
            host: said.host.as_ref().map_or(b"", |host| host.as_bytes()),
            path: said.uri.path_and_query().map_or("", |path| path.as_str()).as_bytes(),
            bytes: exchange.received(),
        },
        answer: Answer {
            status: Some(exchange.status),
            grpc_status: exchange.call.and_then(|call| call.status),
            reason: exchange.reason.map_or("", Reason::as_str),
            fault: exchange.reason.map_or("", |reason| reason.fault().as_str()),
            bytes: exchange.sent,
        },
        target: Target {
            route: exchange.route_name(),
            upstream: exchange.upstream_name(),
            endpoint: exchange.endpoint_label(),
            attempts: exchange.attempts,
        },
        phases: Phases { queue: None, connect: exchange.connected, response_head: head, total: took },
    });
}

/// Writes the line of what never became a request: method, host, path and route are empty.
pub(crate) fn log_unparsed(connection: &ClientConnection, id: u64, status: u16, reason: Reason) {
    connection.worker().log().write(&Record {
        time: SystemTime::now(),
        listener: connection.listener().part.name.as_str(),
        client: connection.peer().ip(),
        request: Asked { id: &format!("{id:016x}"), ..Asked::default() },
        answer: Answer {
            status: Some(status),
            reason: reason.as_str(),
            fault: reason.fault().as_str(),
            ..Answer::default()
        },
        target: Target::default(),
        phases: Phases::default(),
    });
}

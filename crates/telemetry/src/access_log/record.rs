//! What is written about one request, and how: one flat JSON object, the same fields in the same order on every line.
//!
//! A text that is not known is `""`, a number that is not known is `null`. Durations are seconds.

use super::{escape, stamp::Stamp};
use std::{
    io::Write as _,
    net::IpAddr,
    time::{Duration, SystemTime},
};

/// One request, as it ended.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When it began.
    pub time: SystemTime,
    /// The name of the listener it came by.
    pub listener: &'a str,
    /// Who sent it, as far as trusted proxies tell; `None` on a unix socket.
    pub client: Option<IpAddr>,
    /// What was asked.
    pub request: Request<'a>,
    /// What was answered.
    pub answer: Answer,
    /// Where it went.
    pub target: Target<'a>,
    /// How long each part took.
    pub phases: Phases,
}

/// What was asked. Any bytes may be in it: they leave escaped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Our own id for it, which local answers also show.
    pub id: &'a str,
    /// The trace id of its `traceparent` field, 32 hex digits (W3C Trace Context, section 3.2.2.3); empty without one.
    pub trace_id: &'a str,
    /// The method; empty if the request never parsed.
    pub method: &'a str,
    /// The host that it was routed by.
    pub host: &'a [u8],
    /// The path and query that it was routed by.
    pub path: &'a [u8],
    /// Bytes of its body that were received.
    pub bytes: u64,
}

/// What was answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    /// The status code; `None` if not even a head was sent.
    pub status: Option<u16>,
    /// The `grpc-status` of a call of gRPC; `None` if it had none, or was no such call.
    pub grpc_status: Option<u8>,
    /// Why the answer came from us, or how a session ended; empty if it came from an endpoint, or ended in order.
    pub reason: &'static str,
    /// Whose fault that was: `client`, `upstream`, `policy` (as configured) or `us`; empty without a reason.
    pub fault: &'static str,
    /// Bytes of its body that were sent.
    pub bytes: u64,
}

/// Where it went; empty as far as it did not get there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// The name of the route.
    pub route: &'a str,
    /// The name of the upstream.
    pub upstream: &'a str,
    /// The address of the last endpoint that was tried.
    pub endpoint: &'a str,
    /// How many endpoints were tried.
    pub attempts: u32,
}

/// How long each part took; `None` for a part that did not begin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// Waiting for its turn.
    pub queue: Option<Duration>,
    /// Connecting to endpoints, all attempts together.
    pub connect: Option<Duration>,
    /// From the end of the request's head being sent to the head of the response.
    pub response_head: Option<Duration>,
    /// From the first byte of the request to the last byte of the answer.
    pub total: Duration,
}

impl Record<'_> {
    /// Appends the line, with its end.
    pub(super) fn write(&self, out: &mut Vec<u8>, stamp: &mut Stamp) {
        out.extend_from_slice(b"{\"time\":\"");
        stamp.write(out, self.time);
        out.push(b'"');
        text(out, "listener", self.listener.as_bytes());
        key(out, "client");
        match self.client {
            // Digits, letters, dots and colons: nothing to escape. Writing to memory cannot fail.
            Some(client) => {
                let _ = write!(out, "\"{}\"", client.to_canonical());
            }
            None => out.extend_from_slice(b"\"\""),
        }
        text(out, "method", self.request.method.as_bytes());
        text(out, "host", self.request.host);
        text(out, "path", self.request.path);
        number(out, "status", self.answer.status);
        number(out, "grpc_status", self.answer.grpc_status);
        text(out, "reason", self.answer.reason.as_bytes());
        text(out, "fault", self.answer.fault.as_bytes());
        number(out, "bytes_in", Some(self.request.bytes));
        number(out, "bytes_out", Some(self.answer.bytes));
        text(out, "route", self.target.route.as_bytes());
        text(out, "upstream", self.target.upstream.as_bytes());
        text(out, "endpoint", self.target.endpoint.as_bytes());
        number(out, "attempts", Some(self.target.attempts));
        seconds(out, "queue", self.phases.queue);
        seconds(out, "connect", self.phases.connect);
        seconds(out, "response_head", self.phases.response_head);
        seconds(out, "total", Some(self.phases.total));
        text(out, "trace_id", self.request.trace_id.as_bytes());
        text(out, "request_id", self.request.id.as_bytes());
        out.extend_from_slice(b"}\n");
    }
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    key(out, name);
    escape::string(out, bytes);
}

fn number(out: &mut Vec<u8>, name: &str, number: Option<impl itoa::Integer>) {
    key(out, name);
    match number {
        Some(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
}

/// Seconds with six digits after the point.
fn seconds(out: &mut Vec<u8>, name: &str, duration: Option<Duration>) {
    number(out, name, duration.map(|duration| duration.as_secs()));
    let Some(mut micros) = duration.map(|duration| duration.subsec_micros()) else { return };
    let mut digits = *b".000000";
    for digit in digits[1..].iter_mut().rev() {
        *digit += u8::try_from(micros % 10).expect("a digit is below 10");
        micros /= 10;
    }
    out.extend_from_slice(&digits);
}

//! What gRPC asks of a proxy: errors in its own words, and its deadline.
//!
//! A client of gRPC looks for `grpc-status` in an answer and takes anything else for a broken connection. Only over HTTP/2: elsewhere there is
//! no gRPC (grpc-web is an ordinary request).

use crate::error::ProxyError;
use evenkeel_telemetry::GrpcClass;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::time::Duration;

pub(super) static STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(super) static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(super) static CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// `TimeoutValue` is a positive integer of at most eight digits (gRPC's PROTOCOL-HTTP2.md).
const DIGITS_MAX: usize = 8;

const UNKNOWN: u8 = 2;

/// What is known of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// How long the client waits, from the head of its request.
    pub(super) timeout: Option<Duration>,
    /// What its answer says of how it ended; `None`: nothing, so far.
    pub(super) status: Option<u8>,
}

impl Call {
    /// The call that a request over HTTP/2 is, if it is one: "Requests" in gRPC's PROTOCOL-HTTP2.md.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE)?.as_bytes();
        let rest = kind.strip_prefix(b"application/grpc")?;
        // `application/grpc-web` is another protocol.
        matches!(rest.first(), None | Some(b'+' | b';')).then(|| Self { timeout: timeout(headers), status: None })
    }

    /// Takes the status from trailers, or from a head that is all there is ("Trailers-Only").
    pub(super) fn ends(&mut self, trailers: &HeaderMap) {
        let Some(status) = trailers.get(&STATUS) else { return };
        // What is no number that could be one is UNKNOWN to clients as well.
        self.status = Some(status.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(UNKNOWN));
    }

    pub(super) fn class(&self) -> GrpcClass {
        self.status.map_or(GrpcClass::None, GrpcClass::of)
    }
}

/// `grpc-timeout`: at most eight digits and a unit. What does not parse is no deadline; the endpoint will say what it thinks of it.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

/// The status of a call that got an error of ours. `overdue`: the client's own deadline is over. From gRPC's "HTTP to gRPC Status Code Mapping"
/// (doc/http-grpc-status-mapping.md), so that a client sees what it would have made of our plain answer itself.
pub(super) fn status(error: &ProxyError, overdue: bool) -> u8 {
    const DEADLINE_EXCEEDED: u8 = 4;
    const PERMISSION_DENIED: u8 = 7;
    const UNIMPLEMENTED: u8 = 12;
    const INTERNAL: u8 = 13;
    const UNAVAILABLE: u8 = 14;
    const UNAUTHENTICATED: u8 = 16;
    let late =
        matches!(error, ProxyError::TimeIsUp { .. } | ProxyError::ConnectFailed { .. } | ProxyError::TlsFailed { .. });
    if overdue && late {
        return DEADLINE_EXCEEDED;
    }
    match error.status() {
        StatusCode::BAD_REQUEST => INTERNAL,
        StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
        StatusCode::FORBIDDEN => PERMISSION_DENIED,
        StatusCode::NOT_FOUND => UNIMPLEMENTED,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: &'static str, timeout: &'static str) -> Option<Call> {
        let lines = [("content-type", kind), ("grpc-timeout", timeout)];
        Call::of(&lines.into_iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect())
    }

    #[test]
    fn a_call_is_known_by_its_content_type() {
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc;charset=x"] {
            assert!(call(kind, "").is_some(), "{kind}");
        }
        for kind in ["application/grpc-web", "application/json", "", "application/grpcx"] {
            assert!(call(kind, "").is_none(), "{kind}");
        }
    }

    #[test]
    fn a_deadline_has_at_most_eight_digits_and_a_unit() {
        let timeout = |text| call("application/grpc", text).unwrap().timeout;
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(timeout("2M"), Some(Duration::from_mins(2)));
        assert_eq!(timeout("0S"), Some(Duration::ZERO));
        assert_eq!((timeout("5m"), timeout("5u")), (Some(Duration::from_millis(5)), Some(Duration::from_micros(5))));
        assert_eq!(timeout("5n"), Some(Duration::from_nanos(5)));
        for text in ["", "S", "5", "5s", "+5S", "-1S", "123456789S", "5 S", "1.5S"] {
            assert_eq!(timeout(text), None, "{text}");
        }
    }

    #[test]
    fn a_call_ends_with_the_status_of_its_trailers() {
        let status = |text: &'static str| {
            let mut call = Call::default();
            call.ends(&[(STATUS.clone(), HeaderValue::from_static(text))].into_iter().collect());
            (call.status, call.class())
        };
        assert_eq!(status("0"), (Some(0), GrpcClass::Ok));
        assert_eq!(status("5"), (Some(5), GrpcClass::ClientError));
        for odd in ["", "x", "-1", "256"] {
            assert_eq!(status(odd), (Some(2), GrpcClass::ServerError), "{odd}");
        }
        let mut call = Call::default();
        call.ends(&HeaderMap::new());
        assert_eq!((call.status, call.class()), (None, GrpcClass::None));
    }

    #[test]
    fn a_plain_error_has_the_status_that_a_client_would_give_it() {
        use crate::error::MalformedRequest;
        assert_eq!(status(&ProxyError::NoRoute, false), 12);
        assert_eq!(status(&ProxyError::MalformedRequest(MalformedRequest::Target), true), 13);
        assert_eq!(status(&ProxyError::MethodRefused, false), 2);
        let late = ProxyError::TimeIsUp { endpoint: "127.0.0.1:1".parse().unwrap() };
        assert_eq!((status(&late, false), status(&late, true)), (14, 4));
    }
}

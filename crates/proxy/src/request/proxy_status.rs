//! Why an answer is ours, as RFC 9209 says it.

use crate::error::ProxyError;
use evenkeel_net::{ConnectError, tls::Refusal};
use evenkeel_telemetry::Reason;
use http::HeaderValue;

/// The value of `Proxy-Status` for an error: of its reason, but for what the reason leaves open.
pub(super) fn of_error(error: &ProxyError) -> HeaderValue {
    let text = match error {
        ProxyError::ConnectFailed { cause: ConnectError::NoAddress, .. } => "evenkeel; error=dns_error",
        ProxyError::TlsFailed { cause: Refusal::TimedOut { .. }, .. } => "evenkeel; error=connection_timeout",
        other => of(other.reason()),
    };
    HeaderValue::from_static(text)
}

/// The value of `Proxy-Status` for an answer that a filter gave.
pub(super) fn of_filter() -> HeaderValue {
    HeaderValue::from_static(of(Reason::Filter))
}

/// RFC 9209, section 2.3, has the error types.
pub(crate) const fn of(reason: Reason) -> &'static str {
    match reason {
        Reason::NoRoute => "evenkeel; error=destination_not_found",
        Reason::NoEndpoint => "evenkeel; error=destination_unavailable",
        Reason::ConnectFailed => "evenkeel; error=connection_refused",
        Reason::ConnectTimeout => "evenkeel; error=connection_timeout",
        Reason::UpstreamTls => "evenkeel; error=tls_protocol_error",
        Reason::UpstreamTimeout | Reason::UpstreamStalled | Reason::TotalTimeout | Reason::UpstreamTooSlow => {
            "evenkeel; error=http_response_timeout"
        }
        Reason::UpstreamReset => "evenkeel; error=connection_terminated",
        Reason::UpstreamProtocol => "evenkeel; error=http_protocol_error",
        Reason::MalformedRequest
        | Reason::RequestHeadTooLarge
        | Reason::UriTooLong
        | Reason::RequestTooLarge
        | Reason::RequestTimeout
        | Reason::RequestStalled
        | Reason::ResponseStalled
        | Reason::RequestTooSlow
        | Reason::ResponseTooSlow
        | Reason::ClientClosed
        | Reason::Misdirected => "evenkeel; error=http_request_error",
        Reason::MethodRefused | Reason::UpgradeRefused => "evenkeel; error=http_request_denied",
        Reason::Loop => "evenkeel; error=proxy_loop_detected",
        Reason::Filter | Reason::LastHop => "evenkeel; error=proxy_internal_response",
        // A tunnel has had its answer; nobody is told.
        Reason::TunnelIdle | Reason::Stopped | Reason::Internal => "evenkeel; error=proxy_internal_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_error_type_of_ours() {
        for reason in Reason::ALL {
            let error = of(reason).strip_prefix("evenkeel; error=").unwrap();
            assert!(error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{error}");
        }
    }

    #[test]
    fn a_connection_that_took_too_long_was_not_refused() {
        let cause = ConnectError::TimedOut { waited: std::time::Duration::from_secs(1) };
        let error = ProxyError::ConnectFailed { endpoint: "a:1".parse().unwrap(), cause };
        assert_eq!(of_error(&error), "evenkeel; error=connection_timeout");
    }
}

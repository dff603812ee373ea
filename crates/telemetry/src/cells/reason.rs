//! Why we answered a request ourselves, and whose fault it was.

use super::labels::label_set;

label_set! {
    /// Why a request got its answer from us and not from an endpoint: exactly one for each such request, the label
    /// `reason` of `evenkeel_responses_local_total` and the field `reason` of the access log.
    pub enum Reason {
        /// No route matches: 404.
        NoRoute => "no_route",
        /// Every endpoint is unhealthy, ejected, draining or without an address: 503.
        NoEndpoint => "no_endpoint",
        /// No endpoint that was tried could be connected to: 502.
        ConnectFailed => "connect_failed",
        /// No endpoint that was tried accepted within `timeouts.connect`: 504.
        ConnectTimeout => "connect_timeout",
        /// An endpoint could be connected to, but TLS did not come about: 502.
        UpstreamTls => "upstream_tls",
        /// The endpoint's answer did not begin within `timeouts.response_head`: 504.
        UpstreamTimeout => "upstream_timeout",
        /// The endpoint sent nothing of its answer's body for `timeouts.body_stall` of its upstream: the client's connection cut.
        UpstreamStalled => "upstream_stalled",
        /// `timeouts.total` of the upstream, or the deadline of a call of gRPC, was over: 504, or the client's connection cut.
        TotalTimeout => "total_timeout",
        /// The endpoint sent its answer's body more slowly than `timeouts.body_rate_min` of its upstream: the client's connection cut.
        UpstreamTooSlow => "upstream_too_slow",
        /// The endpoint closed before its answer was complete: 502, or the client's connection cut.
        UpstreamReset => "upstream_reset",
        /// The endpoint answered, but not with HTTP that may be passed on: 502, or the client's connection cut.
        UpstreamProtocol => "upstream_protocol",
        /// The client broke HTTP: 400 and close.
        MalformedRequest => "malformed_request",
        /// The request's head is longer than `limits.request_head_max` or has more fields than `limits.headers_max`: 431 (RFC 6585,
        /// section 5).
        RequestHeadTooLarge => "request_head_too_large",
        /// The request's target is longer than `limits.uri_max`: 414 (RFC 9110, section 15.5.15).
        UriTooLong => "uri_too_long",
        /// The request's body is longer than the `body_max` of its route or of the limits: 413 (RFC 9110, section 15.5.14).
        RequestTooLarge => "request_too_large",
        /// The head of a request was not there within `timeouts.request_head`: 408.
        RequestTimeout => "request_timeout",
        /// The client sent nothing of a request's body for `timeouts.body_stall`: 408, or its connection cut.
        RequestStalled => "request_stalled",
        /// The client took nothing of its answer for `timeouts.body_stall`: its connection cut.
        ResponseStalled => "response_stalled",
        /// The client sent a request's body more slowly than `timeouts.body_rate_min`: 408.
        RequestTooSlow => "request_too_slow",
        /// The client took its answer more slowly than `timeouts.body_rate_min`: its connection cut.
        ResponseTooSlow => "response_too_slow",
        /// The client left before its answer was complete; nobody to answer (logged as 499, as nginx does).
        ClientClosed => "client_closed",
        /// A method that we do not forward, such as CONNECT: 405 or 501.
        MethodRefused => "method_refused",
        /// The request is for an authority that its connection does not serve: 421 (RFC 9110, section 15.5.20).
        Misdirected => "misdirected",
        /// An extended CONNECT of HTTP/2 that we do not serve: 501 (RFC 9220, section 3).
        UpgradeRefused => "upgrade_refused",
        /// No byte moved in either direction of an upgraded connection for `timeouts.tunnel_idle`: both ends cut.
        TunnelIdle => "tunnel_idle",
        /// An OPTIONS with `Max-Forwards: 0`, which is ours to answer: 200 (RFC 9110, section 7.6.2).
        LastHop => "last_hop",
        /// The request has passed this proxy too often, by what `Via` says: 508 (RFC 5842, section 7.2).
        Loop => "loop",
        /// A filter answered, as configured: a redirect, a fixed response.
        Filter => "filter",
        /// We are stopping and the drain's deadline cut the request off.
        Stopped => "stopped",
        /// A fault of our own: 500.
        Internal => "internal",
    }
}

/// Who caused an answer that came from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The client.
    Client,
    /// No fault: it was answered or ended as the file asks.
    Policy,
    /// We: no request and no configuration should lead to it.
    Us,
    /// The upstream.
    Upstream,
}

impl Fault {
    /// As a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Policy => "policy",
            Self::Us => "us",
            Self::Upstream => "upstream",
        }
    }
}

impl Reason {
    /// Who is at fault.
    #[must_use]
    pub const fn fault(self) -> Fault {
        match self {
            Self::NoRoute
            | Self::MalformedRequest
            | Self::RequestHeadTooLarge
            | Self::UriTooLong
            | Self::RequestTooLarge
            | Self::RequestTimeout
            | Self::RequestStalled
            | Self::ResponseStalled
            | Self::RequestTooSlow
            | Self::ResponseTooSlow
            | Self::ClientClosed
            | Self::MethodRefused
            | Self::Misdirected
            | Self::UpgradeRefused
            | Self::LastHop
            // Any client can write a `Via` that says so, and what any client can cause must not look like a fault of ours.
            | Self::Loop
            | Self::TunnelIdle => Fault::Client,
            Self::NoEndpoint
            | Self::ConnectFailed
            | Self::ConnectTimeout
            | Self::UpstreamTls
            | Self::UpstreamTimeout
            | Self::UpstreamStalled
            | Self::TotalTimeout
            | Self::UpstreamTooSlow
            | Self::UpstreamReset
            | Self::UpstreamProtocol => Fault::Upstream,
            Self::Filter | Self::Stopped => Fault::Policy,
            Self::Internal => Fault::Us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_reasons_share_a_name() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Reason::COUNT);
    }

    #[test]
    fn only_what_should_never_happen_is_a_fault_of_ours() {
        let of = |fault| Reason::ALL.into_iter().filter(|reason| reason.fault() == fault).collect::<Vec<_>>();
        assert_eq!(of(Fault::Us), [Reason::Internal]);
        assert_eq!(of(Fault::Policy), [Reason::Filter, Reason::Stopped]);
    }
}

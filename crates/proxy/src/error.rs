//! Why a request gets an answer of our own: who is at fault, and what the client is told.

use evenkeel_model::{Address, PathError, UpstreamName};
use evenkeel_net::ConnectError;
use evenkeel_telemetry::Reason;
use http::StatusCode;
use std::{sync::Arc, time::Duration};

/// What the client did wrong. RFC 9112, section 2.2: answer 400 and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRequest {
    /// RFC 9112, section 3.2.
    #[error("the Host field is missing")]
    HostMissing,
    /// RFC 9112, section 3.2.
    #[error("there is more than one Host field")]
    HostTwice,
    /// RFC 9112, section 3.2; RFC 9110, section 4.2.4 for userinfo.
    #[error("the Host field or the target's authority is not HOST or HOST:PORT")]
    HostMalformed,
    /// RFC 9113, section 8.3.1.
    #[error("the Host field and :authority differ")]
    AuthorityMismatch,
    /// RFC 9112, section 3.2.
    #[error("the target is neither a path nor an absolute http URI")]
    Target,
    /// Control bytes, backslashes, raw bytes above 0x7f, a broken percent-encoding, or `%00`.
    #[error("the path has a byte that a path cannot have")]
    PathByte,
    /// `/../x`.
    #[error("the path climbs above its root")]
    PathClimbs,
    /// Not exactly `chunked`. RFC 9112, section 6.1.
    #[error("the transfer coding is not exactly 'chunked'")]
    TransferEncoding,
    /// `X_Forwarded_For`, where the file refuses such names.
    #[error("a field's name has an underscore")]
    Underscore,
    /// What was refused before it was a request.
    #[error("the request cannot be parsed")]
    Unparsable,
    /// A chunk size, a trailer or a length that does not hold.
    #[error("the request's body is malformed")]
    Body,
}

impl From<PathError> for MalformedRequest {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Byte => Self::PathByte,
            PathError::Climbs => Self::PathClimbs,
        }
    }
}

/// What an endpoint did wrong after the request had been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedResponse {
    /// Not HTTP, or lengths that contradict each other.
    #[error("the response cannot be parsed")]
    Unparsable,
    /// Not exactly `chunked`. RFC 9112, section 6.1.
    #[error("the transfer coding is not exactly 'chunked'")]
    TransferEncoding,
    /// RFC 9110, section 15.2.2: 101 answers an Upgrade field.
    #[error("101 Switching Protocols without having been asked")]
    UnaskedUpgrade,
    /// RFC 9110, section 7.8: a server must not switch to a protocol that was not asked for.
    #[error("101 Switching Protocols to another protocol than the one asked for")]
    OtherUpgrade,
    /// RFC 6455, section 4.1: a client must fail the connection then.
    #[error("101 Switching Protocols with a Sec-WebSocket-Accept that does not answer our key")]
    WrongAccept,
    /// RFC 8441, section 5.
    #[error("a success without 101 Switching Protocols, which over HTTP/2 would open a WebSocket")]
    NotSwitched,
}

/// Why a request gets an answer of our own.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The client broke HTTP.
    #[error("{0}")]
    MalformedRequest(MalformedRequest),
    /// The head is larger than `limits.request_head_max`, or has more fields than `limits.headers_max`.
    #[error("the request's head is too large")]
    HeadTooLarge,
    /// The target is longer than `limits.uri_max`.
    #[error("the request's target is too long")]
    UriTooLong,
    /// The body is larger than the route's `body_max`, or else `limits.body_max`.
    #[error("the request's body is too large")]
    BodyTooLarge,
    /// The client stopped sending in its body.
    #[error("nothing came of the request's body")]
    RequestStalled,
    /// The client sends its body below the least rate.
    #[error("the request's body comes too slowly")]
    RequestTooSlow,
    /// The client went away in mid-request.
    #[error("the client closed the connection")]
    ClientClosed,
    /// CONNECT and TRACE.
    #[error("this method is not served")]
    MethodRefused,
    /// An extended CONNECT of HTTP/2 for another protocol than WebSocket, or where that cannot be had: RFC 9220, section 3.
    #[error("this protocol is not served over HTTP/2")]
    UpgradeRefused,
    /// An OPTIONS that wants to go no further: RFC 9110, section 7.6.2. No failure, but an answer of ours.
    #[error("the request goes no further, as it asks")]
    LastHop,
    /// It has passed us too often: RFC 9110, section 7.6.3, has `Via` to find this out.
    #[error("the request goes round in a circle")]
    Loop,
    /// The connection's certificate is not for this host: RFC 9110, section 15.5.20.
    #[error("this connection is not for this host")]
    Misdirected,
    /// No route matches.
    #[error("no route matches this host and path")]
    NoRoute,
    /// Every endpoint is unhealthy, ejected, draining or has just refused a connection.
    #[error("no endpoint of upstream '{upstream}' is usable")]
    NoEndpoint {
        /// The upstream.
        upstream: UpstreamName,
    },
    /// No connection could be made, to any endpoint that was tried.
    #[error("no connection to {endpoint}: {cause}")]
    ConnectFailed {
        /// The last one tried.
        endpoint: Address,
        /// The last cause.
        cause: ConnectError,
    },
    /// A connection could be made, but TLS did not come about.
    #[error("{endpoint}: {cause}")]
    TlsFailed {
        /// The last one tried.
        endpoint: Address,
        /// The last cause.
        cause: evenkeel_net::tls::Refusal,
    },
    /// The endpoint did not answer in time.
    #[error("{endpoint} did not answer within {waited:?}")]
    UpstreamTimedOut {
        /// Which.
        endpoint: Address,
        /// How long we waited.
        waited: Duration,
    },
    /// The time for the request as a whole is over.
    #[error("{endpoint} had not answered when the time for the whole request was over")]
    TimeIsUp {
        /// Who was asked last.
        endpoint: Address,
    },
    /// The endpoint closed the connection instead of answering.
    #[error("{endpoint} closed the connection without an answer: {cause}")]
    UpstreamReset {
        /// Which.
        endpoint: Address,
        /// In hyper's words.
        cause: Arc<str>,
    },
    /// The endpoint broke HTTP.
    #[error("{endpoint} broke HTTP: {cause}")]
    MalformedResponse {
        /// Which.
        endpoint: Address,
        /// How.
        cause: MalformedResponse,
    },
    /// A filter of the embedding program refused.
    #[error("a filter failed: {0}")]
    Filter(String),
}

impl ProxyError {
    /// The label in metrics and logs; it knows who is at fault.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::MalformedRequest(_) => Reason::MalformedRequest,
            Self::HeadTooLarge => Reason::RequestHeadTooLarge,
            Self::UriTooLong => Reason::UriTooLong,
            Self::BodyTooLarge => Reason::RequestTooLarge,
            Self::RequestStalled => Reason::RequestStalled,
            Self::RequestTooSlow => Reason::RequestTooSlow,
            Self::ClientClosed => Reason::ClientClosed,
            Self::MethodRefused => Reason::MethodRefused,
            Self::UpgradeRefused => Reason::UpgradeRefused,
            Self::LastHop => Reason::LastHop,
            Self::Loop => Reason::Loop,
            Self::Misdirected => Reason::Misdirected,
            Self::NoRoute => Reason::NoRoute,
            Self::NoEndpoint { .. } => Reason::NoEndpoint,
            Self::ConnectFailed { cause: ConnectError::TimedOut { .. }, .. } => Reason::ConnectTimeout,
            Self::ConnectFailed { .. } => Reason::ConnectFailed,
            Self::TlsFailed { .. } => Reason::UpstreamTls,
            Self::UpstreamTimedOut { .. } => Reason::UpstreamTimeout,
            Self::TimeIsUp { .. } => Reason::TotalTimeout,
            Self::UpstreamReset { .. } => Reason::UpstreamReset,
            Self::MalformedResponse { .. } => Reason::UpstreamProtocol,
            Self::Filter(_) => Reason::Internal,
        }
    }

    /// What the client is told. RFC 9110, section 15; 499 is nginx's word for a client that left, never sent.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MalformedRequest(_) => StatusCode::BAD_REQUEST,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestStalled | Self::RequestTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::ClientClosed => StatusCode::from_u16(499).expect("three digits"),
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::UpgradeRefused => StatusCode::NOT_IMPLEMENTED,
            Self::LastHop => StatusCode::OK,
            // RFC 5842, section 7.2.
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoEndpoint { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectFailed { cause: ConnectError::TimedOut { .. }, .. }
            | Self::UpstreamTimedOut { .. }
            | Self::TimeIsUp { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::ConnectFailed { .. }
            | Self::TlsFailed { .. }
            | Self::UpstreamReset { .. }
            | Self::MalformedResponse { .. } => StatusCode::BAD_GATEWAY,
            Self::Filter(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the client's connection must not be used again: after a fault of framing or a body that we did not read,
    /// nobody can say where the next request begins.
    #[must_use]
    pub fn closes(&self) -> bool {
        match self {
            Self::MalformedRequest(_)
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::RequestStalled
            | Self::RequestTooSlow
            // What follows a CONNECT may be meant for a tunnel.
            | Self::MethodRefused
            | Self::ClientClosed => true,
            Self::UriTooLong
            | Self::UpgradeRefused
            | Self::LastHop
            | Self::Loop
            | Self::Misdirected
            | Self::NoRoute
            | Self::NoEndpoint { .. }
            | Self::ConnectFailed { .. }
            | Self::TlsFailed { .. }
            | Self::UpstreamTimedOut { .. }
            | Self::TimeIsUp { .. }
            | Self::UpstreamReset { .. }
            | Self::MalformedResponse { .. }
            | Self::Filter(_) => false,
        }
    }
}

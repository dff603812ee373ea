//! How long we wait and how much we hold. Each default has its reason.

use crate::{ByteSize, Duration, HANDSHAKE_TIMEOUT};

/// How long we wait for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// From accept to the end of a PROXY header, where one must come first.
    pub proxy_header: Duration,
    /// From accept, or the PROXY header, to the end of the TLS handshake.
    pub tls: Duration,
    /// From a request's first byte (on a new connection: from accept, or what had to come before a request) to the end of its head.
    pub request_head: Duration,
    /// Without a byte of the request body while we want one, or of the response taken while we offer one.
    pub body_stall: Duration,
    /// Between an answer and the next request on the same connection.
    pub idle: Duration,
    /// How much of a body a client must send while we want it, or take while we offer it. `None`: a byte now and then will do.
    pub body_rate: Option<RateMin>,
}

/// How we find out that a client of HTTP/2 is gone without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pings {
    /// After so long a silence it is asked (PING).
    pub interval: Duration,
    /// And has so long to answer.
    pub timeout: Duration,
}

impl Default for Pings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), timeout: Duration::from_secs(10) }
    }
}

/// The least that a peer must move while it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateMin {
    /// Bytes in a second; never 0.
    pub bytes: ByteSize,
    /// For so long it may be below, over all that it has not made up for since.
    pub grace: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        // 75 s is nginx's keepalive_timeout (ngx_http_core_module), which clients and other balancers expect.
        // 5 s: a header is one segment, and "The PROXY protocol", section 2, wants room for one that is sent again (3 s at least).
        Self {
            proxy_header: Duration::from_secs(5),
            tls: HANDSHAKE_TIMEOUT,
            request_head: Duration::from_secs(10),
            body_stall: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            // As with HAProxy, nginx and Envoy, which know none. Apache's mod_reqtimeout wants 500 bytes a second after 20 s, Kestrel 240
            // after 5 s; but a body that is written as things happen (a log, a feed) is slow by right.
            body_rate: None,
        }
    }
}

/// How long we wait for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// For a connection to be made.
    pub connect: Duration,
    /// For the TLS handshake on a new connection, where TLS is spoken.
    pub tls: Duration,
    /// From the last byte of the request to the head of the response.
    pub response_head: Duration,
    /// Without a byte of the response body.
    pub body_stall: Duration,
    /// From the request's head to the last byte of its answer, all attempts together. `None`: no limit; a download may take hours.
    pub total: Option<Duration>,
    /// Without a byte in either direction of an upgraded connection.
    pub tunnel_idle: Duration,
    /// How much of a response body must come while it is wanted. `None`: a byte now and then will do.
    pub body_rate: Option<RateMin>,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        // 60 s is nginx's proxy_read_timeout (ngx_http_proxy_module).
        Self {
            connect: Duration::from_secs(2),
            tls: HANDSHAKE_TIMEOUT,
            response_head: Duration::from_secs(60),
            body_stall: Duration::from_secs(60),
            total: None,
            tunnel_idle: Duration::from_secs(3600),
            body_rate: None,
        }
    }
}

/// The idle connections that one worker keeps to one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// An idle connection older than this is closed.
    pub idle: Duration,
    /// No more than this many idle connections, for each endpoint and worker. 0: every request makes its own connection.
    pub idle_connections_max: usize,
    /// A connection is not reused once it is this old, give or take a tenth, so that load moves to new machines behind a
    /// name or a virtual address.
    pub age_max: Duration,
    /// With HTTP/2: silence of an endpoint, with a request in flight, after which it is asked whether it is there.
    pub ping_interval: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            idle_connections_max: 128,
            age_max: Duration::from_secs(3600),
            ping_interval: Duration::from_secs(360),
        }
    }
}

/// What one client may cost us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at a time, all listeners together. `None`: derived from the descriptor limit.
    pub connections_max: Option<usize>,
    /// Bytes of a request's head; above it 431.
    pub request_head_max: ByteSize,
    /// Bytes of a request's target; above it 414.
    pub uri_max: ByteSize,
    /// Bytes of a request's body; above it 413. `None`: no limit, bodies are streamed and never held.
    pub body_max: Option<ByteSize>,
    /// Fields of a request's head; above it 431.
    pub headers_max: usize,
    /// Requests at a time on one HTTP/2 connection (`SETTINGS_MAX_CONCURRENT_STREAMS`); what comes above is refused and may be repeated.
    pub streams_max: u32,
    /// What becomes of a request with a `_` in a field's name.
    pub underscores: Underscores,
}

/// What becomes of a request with a `_` in a field's name. Valid (RFC 9110, section 5.6.2), but CGI and its heirs turn `-` and `_` into
/// one (RFC 3875, section 4.1.18), so that such a field can pass for another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// It is passed on.
    #[default]
    Allow,
    /// 400.
    Refuse,
}

/// In which fields endpoints learn who asked. The form that is not written is removed, whoever sent it: nothing that we did not write
/// may speak for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarded {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    #[default]
    X,
    /// `Forwarded` (RFC 7239).
    Rfc7239,
    /// Both forms.
    Both,
}

impl Forwarded {
    /// Whether `X-Forwarded-*` are written.
    #[must_use]
    pub const fn is_x(self) -> bool {
        matches!(self, Self::X | Self::Both)
    }

    /// Whether `Forwarded` is written.
    #[must_use]
    pub const fn is_rfc7239(self) -> bool {
        matches!(self, Self::Rfc7239 | Self::Both)
    }
}

impl Default for Limits {
    fn default() -> Self {
        // 100 fields are what hyper reads without allocating (hyper 1.12, `proto::h1::role::DEFAULT_MAX_HEADERS`).
        Self {
            connections_max: None,
            request_head_max: ByteSize::kib(32),
            uri_max: ByteSize::kib(16),
            body_max: None,
            headers_max: 100,
            // RFC 9113, section 6.5.2, recommends no fewer than 100; nginx has 128 (http2_max_concurrent_streams).
            streams_max: 128,
            underscores: Underscores::Allow,
        }
    }
}

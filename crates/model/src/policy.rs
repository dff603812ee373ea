//! How long we wait and how much we hold. Each default has its reason.

use crate::{ByteSize, Duration};

/// How long we wait for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// From a request's first byte (on a new connection: from accept) to the end of its head.
    pub request_head: Duration,
    /// Without a byte of the request body while we want one, or of the response taken while we offer one.
    pub body_stall: Duration,
    /// Between an answer and the next request on the same connection.
    pub idle: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        // 75 s is nginx's keepalive_timeout (ngx_http_core_module), which clients and other balancers expect.
        Self {
            request_head: Duration::from_secs(10),
            body_stall: Duration::from_secs(30),
            idle: Duration::from_secs(75),
        }
    }
}

/// How long we wait for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// For a connection to be made.
    pub connect: Duration,
    /// From the last byte of the request to the head of the response.
    pub response_head: Duration,
    /// Without a byte of the response body.
    pub body_stall: Duration,
    /// From the request's head to the last byte of its answer, all attempts together. `None`: no limit; a download may take hours.
    pub total: Option<Duration>,
    /// Without a byte in either direction of an upgraded connection.
    pub tunnel_idle: Duration,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        // 60 s is nginx's proxy_read_timeout (ngx_http_proxy_module).
        Self {
            connect: Duration::from_secs(2),
            response_head: Duration::from_secs(60),
            body_stall: Duration::from_secs(60),
            total: None,
            tunnel_idle: Duration::from_secs(3600),
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
}

impl Default for Pool {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), idle_connections_max: 128, age_max: Duration::from_secs(3600) }
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
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: None, request_head_max: ByteSize::kib(32), uri_max: ByteSize::kib(16), body_max: None }
    }
}

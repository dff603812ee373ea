//! A question that we ask an endpoint about its health.

use crate::{Duration, Protocol, ProxyProtocol};
use std::{num::NonZeroU32, ops::RangeInclusive};

/// How an endpoint is asked, and how many answers make a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is asked.
    pub kind: ProbeKind,
    /// Ask at this port instead of the endpoint's own. Not for unix sockets.
    pub port: Option<u16>,
    /// In which version a connection says first that it speaks for us alone. `None`: it does not.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// In which version a question by HTTP is asked without TLS; within TLS the endpoint chooses.
    pub protocol: Protocol,
    /// From one question to the next, give or take a fifth; one second while a verdict is changing (or `interval`, if shorter).
    pub interval: Duration,
    /// An answer later than this is a failure.
    pub timeout: Duration,
    /// So many good answers in a row make an unhealthy endpoint healthy.
    pub healthy_after: NonZeroU32,
    /// So many bad answers in a row make a healthy endpoint unhealthy.
    pub unhealthy_after: NonZeroU32,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// A connection can be made.
    Tcp,
    /// An HTTP request is answered as expected.
    Http(HttpProbe),
    /// A call of `grpc.health.v1.Health/Check` over HTTP/2 says that it serves.
    Grpc(GrpcProbe),
}

/// A question to a server of gRPC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcProbe {
    /// The service; empty: the server as a whole.
    pub service: String,
    /// The authority of the call; by default the endpoint's address.
    pub host: Option<http::HeaderValue>,
}

/// An HTTP question and the answer we want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProbe {
    /// The method, `GET` by default.
    pub method: http::Method,
    /// Path and query, such as `/health`.
    pub path: http::uri::PathAndQuery,
    /// The `Host` field; by default the endpoint's address.
    pub host: Option<http::HeaderValue>,
    /// Statuses that count as good; by default 200 to 299.
    pub expect_status: Vec<RangeInclusive<u16>>,
    /// A substring that must be in the first 64 KiB of the body.
    pub expect_body: Option<String>,
}

impl Default for HttpProbe {
    fn default() -> Self {
        Self {
            method: http::Method::GET,
            path: http::uri::PathAndQuery::from_static("/health"),
            host: None,
            expect_status: vec![200..=299],
            expect_body: None,
        }
    }
}

impl Default for Probe {
    fn default() -> Self {
        const TWO: NonZeroU32 = NonZeroU32::new(2).expect("not zero");
        const THREE: NonZeroU32 = NonZeroU32::new(3).expect("not zero");
        Self {
            kind: ProbeKind::Tcp,
            port: None,
            proxy_protocol: None,
            protocol: Protocol::Http11,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            healthy_after: TWO,
            unhealthy_after: THREE,
        }
    }
}

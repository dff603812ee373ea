//! A named group of endpoints that can do the same work.

use crate::{Address, Duration, Pool, Probe, Protocol, UpstreamName, UpstreamTimeouts, UpstreamTls, Weight};

/// A named group of endpoints that can do the same work.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its name, which is its identity over reloads.
    pub name: UpstreamName,
    /// Who gets the next request.
    pub balance: Algorithm,
    /// At least one; no address twice.
    pub endpoints: Vec<Endpoint>,
    /// How long we wait for them.
    pub timeouts: UpstreamTimeouts,
    /// What we keep open to them.
    pub pool: Pool,
    /// How they are asked; `None`: not at all, and every endpoint counts as up.
    pub health: Option<Probe>,
    /// How often a host name is resolved again.
    pub resolve_interval: Duration,
    /// What they speak.
    pub protocol: UpstreamProtocol,
    /// In which version each connection says first for whom it speaks. `None`: it does not.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How TLS is spoken to them; `None`: it is not.
    pub tls: Option<UpstreamTls>,
}

/// One address within an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is; with the upstream's name its identity over reloads.
    pub address: Address,
    /// Its share.
    pub weight: Weight,
    /// Gets no new request; what runs ends normally.
    pub drain: bool,
}

/// What the endpoints of an upstream speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    /// HTTP/1.1: a connection for each request in flight.
    #[default]
    Http1,
    /// HTTP/2 without TLS, which they know to expect (RFC 9113, section 3.3): a connection for many requests.
    H2c,
    /// HTTP/2 within TLS; who does not choose it is not connected to (RFC 9113, section 3.2).
    H2,
    /// What each of them chooses within TLS, at each handshake anew (ALPN, RFC 7301).
    Auto,
}

impl UpstreamProtocol {
    /// What is offered within TLS, the dearest first.
    #[must_use]
    pub const fn offers(self) -> &'static [Protocol] {
        match self {
            Self::Http1 => &[Protocol::Http11],
            Self::H2c | Self::H2 => &[Protocol::Http2],
            Self::Auto => &Protocol::ALL,
        }
    }
}

/// A version of the PROXY protocol (HAProxy, "The PROXY protocol, versions 1 & 2").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// One line of text.
    V1,
    /// Binary, and able to say that a connection speaks for nobody else, as a probe does.
    V2,
}

/// Who gets the next request. The names are those of the configuration file (`snake_case`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Of two at random, the one with fewer requests in flight for its weight (Mitzenmacher, "The power of two choices", 2001).
    #[default]
    PowerOfTwo,
    /// In turn, weights interleaved smoothly.
    RoundRobin,
    /// The fewest requests in flight for its weight.
    LeastConnections,
    /// The same client address goes to the same endpoint (Eisenbud et al., "Maglev", NSDI 2016).
    IpHash,
    /// At random, in proportion to the weights.
    Random,
}

impl Algorithm {
    /// All of them, in the order of the handbook.
    pub const ALL: [Self; 5] = [Self::PowerOfTwo, Self::RoundRobin, Self::LeastConnections, Self::IpHash, Self::Random];

    /// The name in the configuration file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PowerOfTwo => "power_of_two",
            Self::RoundRobin => "round_robin",
            Self::LeastConnections => "least_connections",
            Self::IpHash => "ip_hash",
            Self::Random => "random",
        }
    }
}

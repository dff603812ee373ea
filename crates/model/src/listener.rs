//! A place where we accept connections.

use crate::{Address, ClientTimeouts, Duration, HostPattern, ListenerName, Pings, Tls, UpstreamName};
use ipnet::IpNet;
use std::net::IpAddr;

/// A place where we accept connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, which is its identity over reloads.
    pub name: ListenerName,
    /// Where it listens. Port 0 takes a free port.
    pub listen: Address,
    /// What is spoken where there is no TLS, which would say it (ALPN).
    pub protocol: ListenerProtocol,
    /// Where its connections go as they are. Then none of them is HTTP, and no route applies.
    pub tcp: Option<Tcp>,
    /// A connection is ended in good order once it is this old, give or take a tenth. `None`: never for its age.
    pub connection_age_max: Option<Duration>,
    /// How clients of HTTP/2 are asked whether they are there.
    pub pings: Pings,
    /// How it speaks TLS, if it does.
    pub tls: Option<Tls>,
    /// How long we wait for its clients.
    pub timeouts: ClientTimeouts,
    /// What becomes of a request whose client has closed its sending side.
    pub half_closed_clients: HalfClosedClients,
    /// Whether answers of our own carry `Proxy-Status` (RFC 9209).
    pub proxy_status: bool,
    /// Who must begin each connection with a PROXY header. `None`: nobody may.
    pub proxy_protocol: Option<HeaderSenders>,
}

/// What the clients of a listener without TLS speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, which they know beforehand (RFC 9113, section 3.3).
    H2c,
    /// What the first bytes of each connection say: those of HTTP/2 are always the same (RFC 9113, section 3.4).
    Auto,
}

/// Where the connections of a listener go that does not look into them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// By the name that a TLS client asks for. Not empty: each connection has to begin with a TLS ClientHello, unless `upstream` takes the
    /// others as well.
    pub sni: Vec<SniRoute>,
    /// Where all others go. `None`: nowhere, they are closed.
    pub upstream: Option<UpstreamName>,
}

impl Tcp {
    /// Every upstream that is named, perhaps more than once.
    pub fn upstreams(&self) -> impl Iterator<Item = &UpstreamName> {
        self.sni.iter().map(|route| &route.upstream).chain(&self.upstream)
    }
}

/// Where connections go whose client asks for one of these names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SniRoute {
    /// The names, at least one.
    pub hosts: Vec<HostPattern>,
    /// Where they go.
    pub upstream: UpstreamName,
}

/// The balancers in front of a listener, whose PROXY headers say for whom each of their connections speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderSenders(pub Vec<IpNet>);

impl HeaderSenders {
    /// Whether this peer is one of them. A unix socket has no addresses: who may connect to it is decided by the rights of its file.
    #[must_use]
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.is_none_or(|peer| self.0.iter().any(|network| network.contains(&peer.to_canonical())))
    }
}

/// What becomes of a request whose client has closed its sending side. A client that went away looks the same (FIN), so most
/// balancers cancel (nginx, Envoy).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HalfClosedClients {
    /// It is cancelled, at its endpoint as well.
    #[default]
    Cancel,
    /// It is answered. A client that is gone is noticed only when its answer cannot be written.
    Serve,
}

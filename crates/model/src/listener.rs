//! A place where we accept connections.

use crate::{Address, ClientTimeouts, Duration, ListenerName};

/// A place where we accept connections. TLS and TCP get their fields with their feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, which is its identity over reloads.
    pub name: ListenerName,
    /// Where it listens. Port 0 takes a free port.
    pub listen: Address,
    /// What its clients speak.
    pub protocol: Protocol,
    /// A connection is ended in good order once it is this old, give or take a tenth. `None`: never for its age.
    pub connection_age_max: Option<Duration>,
    /// How long we wait for its clients.
    pub timeouts: ClientTimeouts,
    /// What becomes of a request whose client has closed its sending side.
    pub half_closed_clients: HalfClosedClients,
    /// Whether answers of our own carry `Proxy-Status` (RFC 9209).
    pub proxy_status: bool,
}

/// What the clients of a listener speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/2 in clear text, without a word of HTTP/1.1 before it ("prior knowledge", RFC 9113, section 3.3).
    H2c,
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

//! A place where we accept connections.

use crate::{Address, ClientTimeouts, ListenerName, Tls};

/// A place where we accept connections. It speaks HTTP/1.1, within TLS where there are certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, which is its identity over reloads.
    pub name: ListenerName,
    /// Where it listens. Port 0 takes a free port.
    pub listen: Address,
    /// How it speaks TLS, if it does.
    pub tls: Option<Tls>,
    /// How long we wait for its clients.
    pub timeouts: ClientTimeouts,
    /// What becomes of a request whose client has closed its sending side.
    pub half_closed_clients: HalfClosedClients,
    /// Whether answers of our own carry `Proxy-Status` (RFC 9209).
    pub proxy_status: bool,
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

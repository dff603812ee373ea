//! A place where we accept connections.

use crate::{Address, ClientTimeouts, ListenerName};

/// A place where we accept connections. It speaks HTTP/1.1; TLS and TCP get their fields with their feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, which is its identity over reloads.
    pub name: ListenerName,
    /// Where it listens. Port 0 takes a free port.
    pub listen: Address,
    /// How long we wait for its clients.
    pub timeouts: ClientTimeouts,
}

//! Where to connect: an address as written, and for a host name the last good answer of the system's resolver.
//!
//! The control thread resolves, workers read; a worker never waits for a name.

use arc_swap::ArcSwapOption;
use evenkeel_model::Address;
use std::{io, net::SocketAddr, sync::Arc};

/// Where to connect. Shared by all workers and the prober; one for each endpoint.
#[derive(Debug)]
pub struct Target {
    address: Address,
    /// Never an empty list.
    answer: ArcSwapOption<Vec<SocketAddr>>,
}

impl Target {
    /// A target; a host name has no addresses until [`Target::resolve`] found some.
    #[must_use]
    pub fn new(address: Address) -> Arc<Self> {
        let known = match address {
            Address::Ip(ip) => Some(Arc::new(vec![ip])),
            Address::Host(..) | Address::Unix(_) => None,
        };
        Arc::new(Self { address, answer: ArcSwapOption::new(known) })
    }

    /// The address as written.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether a connection can be tried at all.
    #[must_use]
    pub fn resolved(&self) -> bool {
        matches!(self.address, Address::Unix(_)) || self.answer.load().is_some()
    }

    /// The addresses to try, in the resolver's order; empty for a unix socket and an unresolved name.
    #[must_use]
    pub fn addresses(&self) -> Option<Arc<Vec<SocketAddr>>> {
        self.answer.load_full()
    }

    /// Asks the system's resolver again, in a blocking task. Tells whether the answer is another than before.
    ///
    /// # Errors
    /// What the resolver says; the last good answer stays.
    pub async fn resolve(&self) -> io::Result<bool> {
        let Address::Host(name, port) = &self.address else { return Ok(false) };
        let mut found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), *port)).await?.collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        // A resolver may turn the list from one answer to the next (RFC 1794); that is no change.
        found.sort_unstable();
        found.dedup();
        let changed = self.answer.load().as_deref() != Some(&found);
        if changed {
            self.answer.store(Some(Arc::new(found)));
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_has_addresses_once_it_was_resolved_and_keeps_them() {
        let target = Target::new("localhost:80".parse().unwrap());
        assert!(!target.resolved());
        assert!(target.resolve().await.unwrap());
        assert!(target.resolved());
        assert!(target.addresses().unwrap().iter().all(|a| a.ip().is_loopback() && a.port() == 80));
        assert!(!target.resolve().await.unwrap(), "the same answer is no change");
    }

    #[tokio::test]
    async fn an_address_and_a_socket_need_no_resolver() {
        for text in ["127.0.0.1:1", "unix:/tmp/x"] {
            let target = Target::new(text.parse().unwrap());
            assert!(target.resolved());
            assert!(!target.resolve().await.unwrap());
        }
    }
}

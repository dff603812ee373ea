//! Files of TLS that change while the configuration does not: read again, for new clients and for new connections to endpoints.

use crate::Proxy;
use evenkeel_model::{ListenerName, UpstreamName};
use evenkeel_net::tls::{Reloaded, TlsProblem};
use std::{fmt, time::SystemTime};

/// Whose section `tls` something is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsOwner {
    /// Of a listener.
    Listener(ListenerName),
    /// Of an upstream.
    Upstream(UpstreamName),
}

impl TlsOwner {
    /// The path of the section in the configuration.
    #[must_use]
    pub fn section(&self) -> String {
        match self {
            Self::Listener(name) => format!("listeners.{name}.tls"),
            Self::Upstream(name) => format!("upstreams.{name}.tls"),
        }
    }
}

impl fmt::Display for TlsOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(name) => write!(f, "listener '{name}'"),
            Self::Upstream(name) => write!(f, "upstream '{name}'"),
        }
    }
}

/// What came of reading certificates again.
#[derive(Debug, Default)]
pub struct CertificatesReloaded {
    /// Those of whom something is other now, with the number of such things.
    pub changed: Vec<(TlsOwner, usize)>,
    /// What was wrong.
    pub problems: Vec<(TlsOwner, TlsProblem)>,
}

impl Proxy {
    /// Reads the files of TLS of all listeners and upstreams again. What is good holds for new connections from now on, the rest stays as
    /// it was. Blocks; not for a worker's thread, and not while a change is being made.
    #[must_use]
    pub fn reload_certificates(&self) -> CertificatesReloaded {
        let (snapshot, now) = (self.snapshot(), SystemTime::now());
        let listeners = snapshot.listeners.iter().zip(&snapshot.tls).filter_map(|(part, tls)| {
            Some((TlsOwner::Listener(part.name.clone()), tls.as_ref()?.server().reload(now)))
        });
        let upstreams = snapshot
            .upstreams
            .iter()
            .filter_map(|part| Some((TlsOwner::Upstream(part.settings.name.clone()), part.tls.as_ref()?.reload(now))));
        let mut all = CertificatesReloaded::default();
        for (owner, Reloaded { changed, problems }) in listeners.chain(upstreams) {
            all.problems.extend(problems.into_iter().map(|problem| (owner.clone(), problem)));
            if changed > 0 {
                all.changed.push((owner, changed));
            }
        }
        all
    }
}

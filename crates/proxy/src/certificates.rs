//! Certificates that change while the configuration does not: read again and shown to new clients.

use crate::Proxy;
use evenkeel_model::ListenerName;
use evenkeel_net::tls::{Reloaded, TlsProblem};
use std::time::SystemTime;

/// What came of reading certificates again.
#[derive(Debug, Default)]
pub struct CertificatesReloaded {
    /// Listeners with the number of their certificates that are others now.
    pub changed: Vec<(ListenerName, usize)>,
    /// What was wrong.
    pub problems: Vec<(ListenerName, TlsProblem)>,
}

impl Proxy {
    /// Reads the files of all listeners' certificates again. Those that are good are shown to new clients from now on, the others stay as
    /// they were. Blocks; not for a worker's thread, and not while a change is being made.
    #[must_use]
    pub fn reload_certificates(&self) -> CertificatesReloaded {
        let (snapshot, now) = (self.snapshot(), SystemTime::now());
        let mut all = CertificatesReloaded::default();
        for (part, tls) in snapshot.listeners.iter().zip(&snapshot.tls) {
            let Some(tls) = tls else { continue };
            let Reloaded { changed, problems } = tls.server().reload(now);
            if changed > 0 {
                all.changed.push((part.name.clone(), changed));
            }
            all.problems.extend(problems.into_iter().map(|problem| (part.name.clone(), problem)));
        }
        all
    }
}

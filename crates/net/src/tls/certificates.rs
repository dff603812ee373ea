//! Which certificate a client is shown: by the name that it asks for (SNI) and by the signatures that it understands.
//!
//! The table is swapped as a whole when files change; the resolver that rustls holds stays, and with it everything that lets clients
//! resume their sessions.

use super::facts::Facts;
use arc_swap::ArcSwap;
use evenkeel_model::UnknownNames;
use rustls::{
    SignatureAlgorithm,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{collections::HashMap, sync::Arc, time::SystemTime};

/// A certificate with its key.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) facts: Facts,
}

impl Certificate {
    /// Its names with its end. One without names goes by the empty one.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&str, SystemTime)> {
        let names = self.facts.names.iter().map(|name| &**name);
        let nameless = self.facts.names.is_empty().then_some("");
        names.chain(nameless).map(|name| (name, self.facts.not_after))
    }
}

/// All names of the certificates that were chosen for a client.
#[derive(Clone, Debug)]
pub struct Names(Arc<[Box<str>]>);

impl Names {
    /// Whether one of them is this host, or a wildcard for it. A wildcard stands for one label (RFC 9525, section 6.3).
    #[must_use]
    pub fn cover(&self, host: &str) -> bool {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.0.iter().any(|name| match name.strip_prefix("*.") {
            Some(wild) => parent.is_some_and(|parent| wild.eq_ignore_ascii_case(parent)),
            None => name.eq_ignore_ascii_case(host),
        })
    }
}

/// Certificates that are good for the same name, and all names that they have.
#[derive(Debug)]
struct Group {
    certificates: Vec<Arc<CertifiedKey>>,
    names: Names,
}

/// All certificates of a listener, by name.
#[derive(Debug)]
pub(super) struct Table {
    /// In the order of the file.
    certificates: Vec<Certificate>,
    exact: HashMap<Box<str>, Arc<Group>>,
    /// By what stands behind `*.`.
    wildcard: HashMap<Box<str>, Arc<Group>>,
    /// For whoever names nobody that we know; `None`: refused.
    fallback: Option<Arc<Group>>,
}

impl Table {
    /// A table of one certificate at least.
    pub(super) fn new(certificates: Vec<Certificate>, unknown: UnknownNames) -> Self {
        let mut by_name: HashMap<&str, Vec<&Certificate>> = HashMap::new();
        for certificate in &certificates {
            for name in &certificate.facts.names {
                by_name.entry(name).or_default().push(certificate);
            }
        }
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for (name, certificates) in by_name {
            let group = Arc::new(Group::new(&certificates));
            match name.strip_prefix("*.") {
                Some(parent) => wildcard.insert(parent.into(), group),
                None => exact.insert(name.into(), group),
            };
        }
        let fallback = match (unknown, certificates.first()) {
            (UnknownNames::Default, Some(first)) => {
                // The first one, and its like with another kind of key.
                let alike = certificates.iter().filter(|other| other.facts.names == first.facts.names);
                Some(Arc::new(Group::new(&alike.collect::<Vec<_>>())))
            }
            _ => None,
        };
        Self { exact, wildcard, fallback, certificates }
    }

    fn group(&self, name: Option<&str>) -> Option<&Arc<Group>> {
        let named = name.and_then(|name| {
            let wild = || self.wildcard.get(name.split_once('.')?.1);
            self.exact.get(name).or_else(wild)
        });
        named.or(self.fallback.as_ref())
    }

    /// The certificate in this place of the file.
    pub(super) fn get(&self, index: usize) -> Option<&Certificate> {
        self.certificates.get(index)
    }

    /// Each name with the end of its certificate.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&str, SystemTime)> {
        self.certificates.iter().flat_map(Certificate::ends)
    }
}

impl Group {
    fn new(certificates: &[&Certificate]) -> Self {
        let names: Vec<Box<str>> = certificates.iter().flat_map(|c| c.facts.names.iter().cloned()).collect();
        let mut keys: Vec<_> = certificates.iter().map(|certificate| Arc::clone(&certificate.key)).collect();
        // A signature with RSA costs several times one with ECDSA: only for those who know nothing else.
        keys.sort_by_key(|key| key.key.algorithm() == SignatureAlgorithm::RSA);
        Self { certificates: keys, names: Names(names.into()) }
    }
}

/// What rustls asks.
#[derive(Debug)]
pub(super) struct Resolver(ArcSwap<Table>);

impl Resolver {
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self(ArcSwap::new(table))
    }

    pub(super) fn table(&self) -> Arc<Table> {
        self.0.load_full()
    }

    pub(super) fn swap(&self, table: Arc<Table>) {
        self.0.store(table);
    }

    /// The names of the certificates that are chosen for this one.
    pub(super) fn names(&self, name: Option<&str>) -> Option<Names> {
        self.0.load().group(name).map(|group| group.names.clone())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.0.load();
        let group = table.group(hello.server_name())?;
        let understood = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        // Without one that it understands rustls will find that out, and say it to the client.
        group.certificates.iter().find(understood).or(group.certificates.first()).cloned()
    }
}

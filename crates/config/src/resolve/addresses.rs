//! No two listeners at one address.

use crate::{
    error::{Finding, Place, Report},
    file::Draft,
};
use evenkeel_model::Address;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

/// Where something listens already.
#[derive(Default)]
struct Taken<'a> {
    exact: HashMap<&'a Address, Place>,
    /// `0.0.0.0` and `[::]`: all addresses of a family at a port.
    whole: HashMap<(bool, u16), Place>,
    /// One address of a family at a port.
    single: HashMap<(bool, u16), Place>,
}

/// The admin listener counts: it would fail to bind just the same.
pub(super) fn check(draft: &Draft<'_>, report: &Report) {
    let admin = draft.admin.as_ref().map(|admin| (&admin.value.listen, admin.place));
    let listeners = draft.listeners.iter().filter_map(|listener| listener.address.as_ref());
    let mut all: Vec<(&Address, Place)> = listeners.map(|a| (&a.value, a.place)).chain(admin).collect();
    // In the order of the file, so that it is the second one that is wrong.
    all.sort_by_key(|(_, place)| *place);
    let mut taken = Taken::default();
    for (address, place) in all {
        // Port 0 takes a free port, another one each time.
        if address.port() == Some(0) {
            continue;
        }
        if let Some((first, what)) = taken.by(address) {
            let finding = Finding::error(place, format!("{:?} {what}", address.to_string()));
            report.add(finding.related(first, "the first one is here").hint("listen at another address or port"));
        }
        taken.take(address, place);
    }
}

impl<'a> Taken<'a> {
    fn by(&self, address: &Address) -> Option<(Place, &'static str)> {
        if let Some(first) = self.exact.get(address) {
            return Some((*first, "is listened at twice"));
        }
        let Address::Ip(ip) = address else { return None };
        let overlap = if ip.ip().is_unspecified() { &self.single } else { &self.whole };
        overlap.get(&family(ip)).map(|first| (*first, "overlaps with another listener"))
    }

    fn take(&mut self, address: &'a Address, place: Place) {
        self.exact.entry(address).or_insert(place);
        if let Address::Ip(ip) = address {
            let map = if ip.ip().is_unspecified() { &mut self.whole } else { &mut self.single };
            map.entry(family(ip)).or_insert(place);
        }
    }
}

fn family(address: &SocketAddr) -> (bool, u16) {
    (matches!(address.ip(), IpAddr::V4(_)), address.port())
}

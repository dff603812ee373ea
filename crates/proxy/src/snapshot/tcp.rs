//! Where the connections of a tcp listener go: built with the snapshot, asked once for each connection.
//!
//! Names are found as hosts of routes are: exact, then the longest wildcard, then the default.

use evenkeel_model::{HostPattern, Tcp, UpstreamName};
use evenkeel_telemetry::{PerWorker, SessionCells};
use std::{collections::HashMap, sync::Arc};

/// Where the connections of one listener go.
#[derive(Debug)]
pub(crate) struct TcpPart {
    exact: HashMap<Arc<str>, usize>,
    wildcard: HashMap<Arc<str>, usize>,
    default: Option<usize>,
    /// Each upstream once.
    targets: Vec<TcpTarget>,
    /// For those that go nowhere.
    nowhere: Arc<PerWorker<SessionCells>>,
}

/// An upstream to which a listener leads.
#[derive(Debug)]
pub(crate) struct TcpTarget {
    /// Position in the snapshot's list.
    pub(crate) upstream: u32,
    pub(crate) name: UpstreamName,
    pub(crate) cells: Arc<PerWorker<SessionCells>>,
}

impl TcpPart {
    /// `position` finds an upstream; what is counted goes on from `previous`.
    ///
    /// # Errors
    /// An upstream that is not there.
    pub(super) fn build(
        settings: &Tcp,
        workers: usize,
        previous: Option<&Self>,
        position: impl Fn(&UpstreamName) -> Option<u32>,
    ) -> Result<Arc<Self>, UpstreamName> {
        let fresh = || Arc::new(PerWorker::new(workers));
        let mut part = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: None,
            targets: Vec::new(),
            nowhere: previous.map_or_else(fresh, |previous| Arc::clone(&previous.nowhere)),
        };
        let mut indexes: HashMap<&UpstreamName, usize> = HashMap::new();
        for name in settings.upstreams() {
            if indexes.contains_key(name) {
                continue;
            }
            let upstream = position(name).ok_or_else(|| name.clone())?;
            let known = previous.and_then(|previous| previous.targets.iter().find(|target| target.name == *name));
            let cells = known.map_or_else(fresh, |known| Arc::clone(&known.cells));
            indexes.insert(name, part.targets.len());
            part.targets.push(TcpTarget { upstream, name: name.clone(), cells });
        }
        for route in &settings.sni {
            for host in &route.hosts {
                let (table, host) = match host {
                    HostPattern::Exact(host) => (&mut part.exact, host),
                    HostPattern::Wildcard(host) => (&mut part.wildcard, host),
                };
                table.entry(Arc::clone(host)).or_insert(indexes[&route.upstream]);
            }
        }
        part.default = settings.upstream.as_ref().map(|name| indexes[name]);
        Ok(Arc::new(part))
    }

    /// Whether it matters for which name a client asks.
    pub(crate) fn asks_names(&self) -> bool {
        !(self.exact.is_empty() && self.wildcard.is_empty())
    }

    /// Where a connection goes whose client asks for this name (in lower case), or for none.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<&TcpTarget> {
        let named = name.and_then(|name| {
            let parents = || std::iter::successors(name.split_once('.'), |(_, rest)| rest.split_once('.'));
            let wildcard = || parents().find_map(|(_, parent)| self.wildcard.get(parent));
            self.exact.get(name).or_else(wildcard).copied()
        });
        named.or(self.default).map(|index| &self.targets[index])
    }

    /// What is counted of connections that go nowhere.
    pub(crate) fn nowhere(&self) -> &Arc<PerWorker<SessionCells>> {
        &self.nowhere
    }

    /// What is counted, by the name of the upstream; empty for nowhere.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&str, &PerWorker<SessionCells>)> {
        let targets = self.targets.iter().map(|target| (target.name.as_str(), &*target.cells));
        std::iter::once(("", &*self.nowhere)).chain(targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_model::SniRoute;

    fn part(sni: &[(&[&str], &str)], default: Option<&str>) -> Arc<TcpPart> {
        let route = |(hosts, upstream): &(&[&str], &str)| SniRoute {
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            upstream: upstream.parse().unwrap(),
        };
        let upstream = default.map(|name| name.parse().unwrap());
        let settings = Tcp { sni: sni.iter().map(route).collect(), upstream };
        TcpPart::build(&settings, 1, None, |_| Some(0)).unwrap()
    }

    #[test]
    fn an_exact_name_wins_then_the_longest_wildcard_then_the_default() {
        let part = part(
            &[(&["a.example.com", "*.b.example.com"], "a"), (&["*.example.com"], "b"), (&["x.b.example.com"], "c")],
            Some("d"),
        );
        let found = |name: Option<&str>| part.find(name).map(|target| target.name.to_string());
        for (name, upstream) in [
            (Some("a.example.com"), "a"),
            (Some("z.b.example.com"), "a"),
            (Some("x.b.example.com"), "c"),
            (Some("y.x.b.example.com"), "a"),
            (Some("b.example.com"), "b"),
            (Some("example.com"), "d"),
            (None, "d"),
        ] {
            assert_eq!(found(name).as_deref(), Some(upstream), "{name:?}");
        }
    }

    #[test]
    fn without_a_default_other_names_lead_nowhere() {
        let part = part(&[(&["a.example.com"], "a")], None);
        assert!(part.asks_names() && part.find(Some("b.example.com")).is_none() && part.find(None).is_none());
    }
}

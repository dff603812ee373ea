//! All routes of a snapshot, arranged so that finding one costs the same among ten as among ten thousand.
//!
//! Host, then path, then the other conditions: exact host before the longest wildcard before any host; exact path before the
//! longest prefix; then method, number of header conditions, and order in the file (Gateway API, `HTTPRoute`). If the most
//! specific host has no route that matches, less specific ones are tried.
//! A route may take several paths for the same (`PathFolding`); such routes have tables of their own in a host, and `Host::find_folded`
//! compares what they find.
//! Keys that a client chooses are hashed with the standard library's keyed hash, so nobody can make them collide.

use super::predicate::Predicate;
use crate::snapshot::ListenerNumber;
use evenkeel_model::{HostPattern, PathFolding, PathMatch, Route};
use http::{HeaderMap, Method};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Where a route stands in the snapshot's list.
pub(crate) type RouteIndex = u32;

/// What is known of a request when its route is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// Lower case, without port and trailing dot; empty when there is none (HTTP/1.0).
    pub(crate) host: &'a str,
    /// The normalised path, without query.
    pub(crate) path: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    /// The listener by which it came, if by any.
    pub(crate) listener: Option<ListenerNumber>,
}

#[derive(Clone, Debug)]
struct Candidate {
    route: RouteIndex,
    predicate: Predicate,
}

/// The routes of one host.
#[derive(Debug, Default)]
struct Host {
    /// Those for which a path is the same only as itself.
    plain: Paths,
    /// The others, by what is the same to them.
    folded: BTreeMap<PathFolding, Paths>,
}

/// Routes that read a path in the same way.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<Arc<str>, Vec<Candidate>>,
    prefix: HashMap<Arc<str>, Vec<Candidate>>,
    /// Of the prefix `/`, which every path has: nothing need be looked up.
    root: Vec<Candidate>,
    /// Bytes of the longest prefix: a longer piece of a path need not be looked up.
    longest: usize,
}

/// All routes.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    exact: HashMap<Arc<str>, Host>,
    wildcard: HashMap<Arc<str>, Host>,
    any: Host,
    /// Labels of the deepest wildcard.
    deepest: usize,
}

impl RouteTable {
    /// `listener` tells the number of a listener by its name.
    pub(crate) fn new(routes: &[Route], listener: impl Fn(&str) -> Option<ListenerNumber>) -> Self {
        let mut table = Self::default();
        for (index, route) in routes.iter().enumerate() {
            let index = RouteIndex::try_from(index).expect("fewer than four billion routes");
            let listeners = route.listeners.iter().filter_map(|name| listener(name.as_str())).collect();
            let candidate = Candidate { route: index, predicate: Predicate::new(route, listeners) };
            if route.hosts.is_empty() {
                table.any.add(route, candidate.clone());
            }
            for host in &route.hosts {
                let host = match host {
                    HostPattern::Exact(name) => table.exact.entry(Arc::clone(name)).or_default(),
                    HostPattern::Wildcard(name) => {
                        table.deepest = table.deepest.max(name.split('.').count());
                        table.wildcard.entry(Arc::clone(name)).or_default()
                    }
                };
                host.add(route, candidate.clone());
            }
        }
        let hosts = table.exact.values_mut().chain(table.wildcard.values_mut());
        hosts.chain([&mut table.any]).for_each(Host::sort);
        table
    }

    /// The route that a request takes.
    pub(crate) fn find(&self, question: Question<'_>) -> Option<RouteIndex> {
        if let Some(found) = self.exact.get(question.host).and_then(|host| host.find(question)) {
            return Some(found);
        }
        if self.deepest > 0 {
            // From the longest ending down, but none with more labels than any wildcard has: a host of a thousand dots costs
            // no more lookups than we have configured depth.
            let labels = question.host.bytes().filter(|b| *b == b'.').count();
            let mut rest = question.host;
            let mut left = labels;
            while let Some((_, parent)) = rest.split_once('.') {
                rest = parent;
                if left <= self.deepest
                    && let Some(found) = self.wildcard.get(rest).and_then(|host| host.find(question))
                {
                    return Some(found);
                }
                left -= 1;
            }
        }
        self.any.find(question)
    }
}

impl Host {
    fn add(&mut self, route: &Route, candidate: Candidate) {
        let plain = route.folding == PathFolding::default();
        let paths = if plain { &mut self.plain } else { self.folded.entry(route.folding).or_default() };
        paths.add(&route.path, candidate);
    }

    fn sort(&mut self) {
        self.folded.values_mut().chain([&mut self.plain]).for_each(Paths::sort);
    }

    fn find(&self, question: Question<'_>) -> Option<RouteIndex> {
        let plain = self.plain.find(question.path, question);
        if self.folded.is_empty() {
            plain.map(|found| found.candidate.route)
        } else {
            self.find_folded(plain, question)
        }
    }

    /// Each reading of the path has its most specific route. Of two such routes the more specific one wins, by the path as either of them
    /// reads it: so `/static/..;/admin` is a path for `/admin`, and not one for `/static`, as soon as there is a route for `/admin` that
    /// ignores parameters, whatever else there is for `/static`.
    fn find_folded(&self, plain: Option<Found<'_>>, question: Question<'_>) -> Option<RouteIndex> {
        let mut best = plain.map(|found| (PathFolding::default(), found));
        for (folding, paths) in &self.folded {
            let Some(found) = paths.find(&folding.fold(question.path), question) else { continue };
            let Some((before, other)) = &best else {
                best = Some((*folding, found));
                continue;
            };
            let both = folding.or(*before);
            let path = both.fold(question.path);
            // Where neither holds any more, the looser reading wins.
            if found.rank(both, &path) >= other.rank(both, &path) {
                best = Some((*folding, found));
            }
        }
        best.map(|(_, found)| found.candidate.route)
    }
}

/// A route that takes a request, and the path by which it does.
#[derive(Clone, Copy, Debug)]
struct Found<'t> {
    candidate: &'t Candidate,
    exact: bool,
    /// Of a prefix without its trailing slash.
    path: &'t str,
}

impl Found<'_> {
    /// How specific it is for a path that is folded; nothing where it does not hold for that. What is first in the file is greater.
    fn rank(&self, folding: PathFolding, path: &str) -> Option<impl Ord + use<>> {
        let own = folding.fold(self.path);
        let own = if self.exact { &*own } else { own.trim_end_matches('/') };
        let rest = path.strip_prefix(own)?;
        let holds = rest.is_empty() || (!self.exact && rest.starts_with('/'));
        let Candidate { route, predicate } = self.candidate;
        holds.then(|| (self.exact, own.len(), predicate.specificity(), Reverse(*route)))
    }
}

impl Paths {
    fn add(&mut self, path: &PathMatch, candidate: Candidate) {
        match path {
            PathMatch::Exact(path) => self.exact.entry(Arc::clone(path)).or_default().push(candidate),
            PathMatch::Prefix(path) if path.is_empty() => self.root.push(candidate),
            PathMatch::Prefix(path) => {
                self.longest = self.longest.max(path.len());
                self.prefix.entry(Arc::clone(path)).or_default().push(candidate);
            }
        }
    }

    /// A stable sort: what is equally specific stays in the order of the file.
    fn sort(&mut self) {
        for candidates in self.exact.values_mut().chain(self.prefix.values_mut()).chain([&mut self.root]) {
            candidates.sort_by_key(|c| std::cmp::Reverse(c.predicate.specificity()));
        }
    }

    /// A path cut at each slash from the right, as far as a prefix may be: `/a/b/c`, `/a/b`, `/a`.
    fn pieces<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> {
        let whole = path.strip_suffix('/').unwrap_or(path);
        let longest = self.longest;
        let shorter = |piece: &&'p str| piece.rfind('/').map(|end| &piece[..end]);
        std::iter::successors(Some(whole), shorter)
            .filter(move |piece| piece.len() <= longest)
            .take_while(|piece| !piece.is_empty())
    }

    /// The most specific route for a path as these routes read it.
    fn find<'t>(&'t self, path: &str, question: Question<'_>) -> Option<Found<'t>> {
        let fits = |c: &&Candidate| c.predicate.holds(question.method, question.headers, question.listener);
        let first = |exact, path, candidates: &'t [Candidate]| {
            candidates.iter().find(fits).map(|candidate| Found { candidate, exact, path })
        };
        if !self.exact.is_empty()
            && let Some((path, candidates)) = self.exact.get_key_value(path)
            && let Some(found) = first(true, path, candidates)
        {
            return Some(found);
        }
        let by_prefix = |piece: &str| {
            let (prefix, candidates) = self.prefix.get_key_value(piece)?;
            first(false, prefix, candidates)
        };
        if !self.prefix.is_empty()
            && let Some(found) = self.pieces(path).find_map(by_prefix)
        {
            return Some(found);
        }
        // The asterisk of `OPTIONS *` is no path.
        if path.starts_with('/') { first(false, "", &self.root) } else { None }
    }
}

#[cfg(test)]
mod tests;

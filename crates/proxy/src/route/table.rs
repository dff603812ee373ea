//! All routes of a snapshot, arranged so that finding one costs the same among ten as among ten thousand.
//!
//! Host, then path, then the other conditions: exact host before the longest wildcard before any host; exact path before the
//! longest prefix; then method, number of header conditions, and order in the file (Gateway API, `HTTPRoute`). If the most
//! specific host has no route that matches, less specific ones are tried.
//! Keys that a client chooses are hashed with the standard library's keyed hash, so nobody can make them collide.

use super::predicate::Predicate;
use crate::snapshot::ListenerNumber;
use evenkeel_model::{HostPattern, PathMatch, Route};
use http::{HeaderMap, Method};
use std::{collections::HashMap, sync::Arc};

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
    exact: HashMap<Arc<str>, Paths>,
    wildcard: HashMap<Arc<str>, Paths>,
    any: Paths,
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
                table.any.add(&route.path, candidate.clone());
            }
            for host in &route.hosts {
                let paths = match host {
                    HostPattern::Exact(name) => table.exact.entry(Arc::clone(name)).or_default(),
                    HostPattern::Wildcard(name) => {
                        table.deepest = table.deepest.max(name.split('.').count());
                        table.wildcard.entry(Arc::clone(name)).or_default()
                    }
                };
                paths.add(&route.path, candidate.clone());
            }
        }
        let hosts = table.exact.values_mut().chain(table.wildcard.values_mut());
        hosts.for_each(Paths::sort);
        table.any.sort();
        table
    }

    /// The route that a request takes.
    pub(crate) fn find(&self, question: Question<'_>) -> Option<RouteIndex> {
        if let Some(found) = self.exact.get(question.host).and_then(|paths| paths.find(question)) {
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
                    && let Some(found) = self.wildcard.get(rest).and_then(|paths| paths.find(question))
                {
                    return Some(found);
                }
                left -= 1;
            }
        }
        self.any.find(question)
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

    fn find(&self, question: Question<'_>) -> Option<RouteIndex> {
        let holds = |candidates: &Vec<Candidate>| {
            let fits = |c: &&Candidate| c.predicate.holds(question.method, question.headers, question.listener);
            candidates.iter().find(fits).map(|c| c.route)
        };
        if !self.exact.is_empty()
            && let Some(found) = self.exact.get(question.path).and_then(holds)
        {
            return Some(found);
        }
        if !self.prefix.is_empty()
            && let Some(found) = self.pieces(question.path).find_map(|piece| self.prefix.get(piece).and_then(holds))
        {
            return Some(found);
        }
        // The asterisk of `OPTIONS *` is no path.
        if question.path.starts_with('/') { holds(&self.root) } else { None }
    }
}

#[cfg(test)]
mod tests;

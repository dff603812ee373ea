//! Routes that can never match, because another one always wins.
//!
//! Precedence is that of the Gateway API (`HTTPRouteRule.matches`): exact host, then the longest wildcard; exact path, then the longest
//! prefix; then a method; then the number of headers; then order. So a route that wins over another on every request that the other
//! could take has the same host and the same path (a more specific one takes only some, a less specific one loses), has methods where
//! the other has, asks for the same header fields, and stands before it.

use crate::{
    error::{Finding, Place, Report},
    file::{Draft, RouteDraft},
};
use evenkeel_model::{HostPattern, PathFolding, PathMatch};
use http::{HeaderName, HeaderValue, Method};
use std::collections::{HashMap, HashSet};

/// What two routes must have in common before their headers are compared. `None` is "any".
type Slot<'a> = (Option<&'a str>, Option<&'a HostPattern>, (PathFolding, PathMatch), Option<&'a Method>);

/// Conditions on header fields, sorted by name; `None` is any value.
type Headers<'a> = Vec<(&'a HeaderName, Option<&'a HeaderValue>)>;

/// The header conditions of the routes seen so far in one slot.
#[derive(Default)]
struct Seen<'a> {
    routes: HashMap<Headers<'a>, Place>,
    /// For the same names: which of them were asked for with a value. There are few, so a route is compared with kinds, not with routes.
    kinds: HashMap<Vec<&'a HeaderName>, HashSet<Vec<bool>>>,
}

pub(super) fn check(draft: &Draft<'_>, report: &Report) {
    let listeners: Vec<&str> = draft.listeners.iter().filter(|l| !l.is_tcp).map(|l| l.name.value).collect();
    let mut slots: HashMap<Slot<'_>, Seen<'_>> = HashMap::new();
    // A route with a problem may have lost a condition: it is neither shadowed nor a shadow.
    for route in draft.routes.iter().filter(|route| route.sound) {
        let headers: Headers<'_> = route.headers.iter().map(|h| (&h.name, h.value.as_ref())).collect();
        if let Some(first) = shadow_of(route, &headers, &slots, &listeners) {
            let finding = Finding::error(route.place, "this route can never match");
            let hint = "the earlier one takes all its requests: take one out, or add a condition";
            report.add(finding.related(first, "this one comes first").hint(hint));
            continue;
        }
        for listener in any_or(route.listeners.iter().map(|name| name.value)) {
            for slot in slots_of(route, listener, route.folding) {
                slots.entry(slot).or_default().add(&headers, route.place);
            }
        }
    }
}

/// A route that stands before this one and wins on its requests, if all its requests are taken.
fn shadow_of<'a>(
    route: &'a RouteDraft<'_>,
    headers: &Headers<'a>,
    slots: &HashMap<Slot<'a>, Seen<'a>>,
    listeners: &[&'a str],
) -> Option<Place> {
    looser(route.folding).find_map(|folding| shadow_by(folding, route, headers, slots, listeners))
}

/// The same, of routes that read a path in this way.
fn shadow_by<'a>(
    folding: PathFolding,
    route: &'a RouteDraft<'_>,
    headers: &Headers<'a>,
    slots: &HashMap<Slot<'a>, Seen<'a>>,
    listeners: &[&'a str],
) -> Option<Place> {
    let on = |listener: Option<&'a str>| {
        let mut first = None;
        for slot in slots_of(route, listener, folding) {
            first = Some(slots.get(&slot)?.covers(headers)?);
        }
        first
    };
    let everywhere = on(None);
    if everywhere.is_some() {
        return everywhere;
    }
    let own: Vec<&str> = route.listeners.iter().map(|name| name.value).collect();
    let mut first = None;
    for listener in if own.is_empty() { listeners } else { &own } {
        first = Some(on(Some(listener))?);
    }
    first
}

/// This reading of a path, and those that take every path that it takes.
fn looser(folding: PathFolding) -> impl Iterator<Item = PathFolding> {
    let resolves = folding.ignore_parameters || folding.decode_slashes;
    let case = PathFolding { ignore_case: true, ..PathFolding::default() };
    let merge = PathFolding { merge_slashes: true, ..PathFolding::default() };
    // With dot segments that appear only in this reading, merged slashes lead elsewhere: `/a//..;/b`.
    let more = if resolves { [case, case, case] } else { [case, merge, case.or(merge)] };
    let mut all: Vec<_> = [PathFolding::default()].into_iter().chain(more).map(|more| folding.or(more)).collect();
    all.dedup();
    all.into_iter()
}

fn slots_of<'a>(
    route: &'a RouteDraft<'_>,
    listener: Option<&'a str>,
    folding: PathFolding,
) -> impl Iterator<Item = Slot<'a>> {
    let path = (folding, route.path.folded(folding));
    any_or(route.hosts.iter()).flat_map(move |host| {
        let path = path.clone();
        any_or(route.methods.iter()).map(move |method| (listener, host, path.clone(), method))
    })
}

/// Each of them, or `None` once where there is none: no condition.
fn any_or<T>(conditions: impl Iterator<Item = T>) -> impl Iterator<Item = Option<T>> {
    let mut conditions = conditions.map(Some).peekable();
    let none = conditions.peek().is_none().then_some(None);
    conditions.chain(none)
}

impl<'a> Seen<'a> {
    fn add(&mut self, headers: &Headers<'a>, place: Place) {
        let names = headers.iter().map(|(name, _)| *name).collect();
        let kind = headers.iter().map(|(_, value)| value.is_some()).collect();
        self.kinds.entry(names).or_default().insert(kind);
        self.routes.entry(headers.clone()).or_insert(place);
    }

    /// A route that takes every request with these headers: it asks for the same fields, each with the same value or with any.
    fn covers(&self, headers: &Headers<'a>) -> Option<Place> {
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        let as_kind = |kind: &Vec<bool>| -> Headers<'a> {
            headers.iter().zip(kind).map(|((name, value), asked)| (*name, value.filter(|_| *asked))).collect()
        };
        self.kinds.get(&names)?.iter().find_map(|kind| self.routes.get(&as_kind(kind)).copied())
    }
}

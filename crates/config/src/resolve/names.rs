//! The name of each route, by which metrics and logs know it.

use crate::{
    error::{Finding, Place, Report},
    file::RouteDraft,
};
use evenkeel_model::{PathMatch, RouteName};
use std::collections::HashMap;

/// A name for each route: the one written, which must be unique, or one made of what the route matches. Where those are equal, the
/// second in the file gets `#2`, and so on.
pub(super) fn of_routes(routes: &[RouteDraft<'_>], report: &Report) -> Vec<RouteName> {
    let mut written: HashMap<&str, Place> = HashMap::new();
    let mut derived: HashMap<String, usize> = HashMap::new();
    let mut name_of = |route: &'_ RouteDraft<'_>| {
        let base = derive(route);
        let count = derived.entry(base.clone()).or_insert(0);
        *count += 1;
        RouteName::derived(&if *count == 1 { base } else { format!("{base}#{count}") })
    };
    let mut names = Vec::with_capacity(routes.len());
    for route in routes {
        names.push(route.name.as_ref().map_or_else(|| name_of(route), |name| name.value.clone()));
        let Some(name) = &route.name else { continue };
        if let Some(first) = written.get(name.value.as_str()) {
            let finding = Finding::error(name.place, format!("two routes are named {:?}", name.value.as_str()));
            report.add(finding.related(*first, "the first one is here").hint("give one of them another name"));
            continue;
        }
        written.insert(name.value.as_str(), name.place);
    }
    names
}

/// `api.example.com/v1/ GET,POST x-canary`: first host, path (a prefix ends in a slash), methods, header names. It always has a slash,
/// so it never equals a name that somebody wrote. Header values are left out: they may be secrets.
fn derive(route: &RouteDraft<'_>) -> String {
    let host = route.hosts.first().map_or_else(|| "*".to_owned(), ToString::to_string);
    let mut name = match &route.path {
        PathMatch::Exact(path) => format!("{host}{path}"),
        PathMatch::Prefix(prefix) => format!("{host}{prefix}/"),
    };
    let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
    let headers: Vec<&str> = route.headers.iter().map(|header| header.name.as_str()).collect();
    for part in [methods, headers].into_iter().filter(|part| !part.is_empty()) {
        name.push(' ');
        name.push_str(&part.join(","));
    }
    name
}

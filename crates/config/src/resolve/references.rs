//! Every name that is used exists, and every upstream is used and watched over.

use crate::{
    error::{Finding, Report},
    file::{Draft, Placed, RouteDraft},
    nearest::nearest,
};
use std::collections::HashSet;

/// Nearest names are looked for while the report is shorter than this: nobody reads more hints, and each costs a look at all names.
const HINTS_MAX: usize = 100;

pub(super) fn check(draft: &Draft<'_>, report: &Report) {
    let listeners: HashSet<&str> = draft.listeners.iter().map(|listener| listener.name.value).collect();
    let upstreams: HashSet<&str> = draft.upstreams.iter().map(|upstream| upstream.name.value).collect();
    for name in draft.listeners.iter().flat_map(|listener| &listener.upstreams) {
        known(*name, "upstream", &upstreams, report);
    }
    let tcp: HashSet<&str> = draft.listeners.iter().filter(|l| l.is_tcp).map(|l| l.name.value).collect();
    for route in &draft.routes {
        for name in &route.listeners {
            known(*name, "listener", &listeners, report);
            if tcp.contains(name.value) {
                let finding =
                    Finding::error(name.place, format!("{:?} is a tcp listener, where no route applies", name.value));
                report.add(finding.hint("take it out: the listener itself says where its connections go"));
            }
        }
        if let Some(name) = route.upstream {
            known(name, "upstream", &upstreams, report);
        }
    }
    warn_of_idle_upstreams(draft, report);
    warn_of_unwatched_upstreams(draft, report);
}

fn known(name: Placed<&str>, kind: &str, names: &HashSet<&str>, report: &Report) {
    if names.contains(name.value) {
        return;
    }
    let near = if report.len() < HINTS_MAX { nearest(name.value, names.iter().copied()) } else { None };
    let hint = match near {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("define it in a section [{kind}s.{}]", toml_key(name.value)),
    };
    report.add(Finding::error(name.place, format!("no {kind} is named {:?}", name.value)).hint(hint));
}

/// A name as it stands in a section header.
fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { name.to_owned() } else { format!("{name:?}") }
}

fn warn_of_idle_upstreams(draft: &Draft<'_>, report: &Report) {
    let by_listeners = draft.listeners.iter().flat_map(|listener| &listener.upstreams).map(|name| name.value);
    let by_routes = draft.routes.iter().filter_map(|route: &RouteDraft<'_>| Some(route.upstream?.value));
    let used: HashSet<&str> = by_routes.chain(by_listeners).collect();
    for upstream in draft.upstreams.iter().filter(|upstream| !used.contains(upstream.name.value)) {
        let finding =
            Finding::warning(upstream.name.place, format!("no route leads to upstream {:?}", upstream.name.value));
        report.add(finding.hint("add a route, or take the upstream out"));
    }
}

fn warn_of_unwatched_upstreams(draft: &Draft<'_>, report: &Report) {
    for draft in &draft.upstreams {
        let unwatched = draft.upstream.as_ref().filter(|upstream| !draft.has_health && upstream.endpoints.len() > 1);
        let Some(upstream) = unwatched else { continue };
        let message = format!(
            "the {} endpoints of {:?} are never asked about their health",
            upstream.endpoints.len(),
            draft.name.value
        );
        let hint =
            format!("add a section [upstreams.{}.health] with http = \"/health\" or tcp = true", draft.name.value);
        report.add(Finding::warning(draft.name.place, message).hint(hint));
    }
}

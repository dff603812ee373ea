//! What the sections say about each other: every name is found, nothing is there twice, every route can match.
//!
//! After `file`, which has checked each section on its own. Only here does a draft become a `Config`.

mod addresses;
mod names;
mod references;
mod shadow;

use crate::{
    error::Report,
    file::{Draft, RouteDraft},
};
use evenkeel_model::{Config, Route, RouteName};

/// Checks everything that needs more than one section, and gives the configuration unless something is wrong.
pub(crate) fn resolve(draft: Draft<'_>, report: &Report) -> Option<Config> {
    addresses::check(&draft, report);
    references::check(&draft, report);
    shadow::check(&draft, report);
    let names = names::of_routes(&draft.routes, report);
    if report.refuses() { None } else { config(draft, names) }
}

/// The model. Every part is there, or the report would refuse.
fn config(draft: Draft<'_>, names: Vec<RouteName>) -> Option<Config> {
    let routes = draft.routes.into_iter().zip(names).map(|(route, name)| self::route(route, name));
    Some(Config {
        workers: draft.workers,
        admin: draft.admin.map(|admin| admin.value),
        listeners: draft.listeners.into_iter().map(|listener| listener.listener).collect::<Option<_>>()?,
        routes: routes.collect::<Option<_>>()?,
        upstreams: draft.upstreams.into_iter().map(|upstream| upstream.upstream).collect::<Option<_>>()?,
        trusted_proxies: draft.trusted_proxies,
        forwarded: draft.forwarded,
        limits: draft.limits,
        drain: draft.drain,
        access_log: draft.access_log,
        log: draft.log,
    })
}

fn route(draft: RouteDraft<'_>, name: RouteName) -> Option<Route> {
    let upstream = match draft.upstream {
        Some(name) => Some(name.value.parse().ok()?),
        None => None,
    };
    Some(Route {
        name,
        listeners: draft.listeners.iter().map(|name| name.value.parse().ok()).collect::<Option<_>>()?,
        hosts: draft.hosts,
        path: draft.path,
        folding: draft.folding,
        methods: draft.methods,
        headers: draft.headers,
        filters: draft.filters,
        upgrades: draft.upgrades,
        body_max: draft.body_max,
        retry_idempotency_key: draft.retry_idempotency_key,
        upstream,
    })
}

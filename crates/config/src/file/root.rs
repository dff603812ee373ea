//! The whole file.

use super::{
    ListenerDraft, Placed, RouteDraft, UpstreamDraft,
    listener::{self, LISTENER},
    process::{self, ACCESS_LOG, ADMIN, DRAIN, LIMITS, LOG},
    route::{self, ROUTE},
    upstream::{self, UPSTREAM},
};
use crate::{
    shape::{Key, Literal, Shape, Table},
    walk::{Entry, Section},
};
use evenkeel_model::{AccessLog, Admin, Drain, Forwarded, Limits, Log};
use std::{num::NonZeroUsize, path::Path};

pub(crate) static ROOT: Table = Table {
    doc: "Where requests are accepted, which go where, and how. Every key is live: a saved file takes effect at once.",
    keys: &[
        Key::optional(
            "workers",
            Shape::Integer { min: 1, max: 1024 },
            "the cores that the process may use",
            "Threads that serve. Takes effect at start only. Write it to leave cores to others on the machine.",
        ),
        Key::preset(
            "trusted_proxies",
            Shape::NETWORKS,
            Literal::List(&[]),
            "Networks whose X-Forwarded-For, -Proto and -Host (or Forwarded, see the key of that name) are believed; from all others \
             they are discarded. Write the addresses of the proxies in front of this one, and no more: whoever is listed can claim any \
             client address.",
        ),
        Key::preset(
            "forwarded",
            Shape::Choice { words: &["x", "rfc7239", "both"], later: &[] },
            Literal::Text("x"),
            "In which fields endpoints learn who asked. x: X-Forwarded-For, -Proto and -Host. rfc7239: Forwarded. both: all of them; then \
             the proxies in trusted_proxies must write both forms too, and X-Forwarded-For decides who the client is. The form that is \
             not written is removed from every request.",
        ),
        Key::optional(
            "admin",
            Shape::Table(&ADMIN),
            "no admin listener",
            "The operator's door: /metrics, /livez, /readyz and the API.",
        ),
        Key::part("limits", Shape::Table(&LIMITS), "What one client may cost."),
        Key::part("drain", Shape::Table(&DRAIN), "How the process stops."),
        Key::optional(
            "access_log",
            Shape::Table(&ACCESS_LOG),
            "no access log",
            "One JSON object a line for each request.",
        ),
        Key::part("log", Shape::Table(&LOG), "What the process says itself, on standard error."),
        Key::required(
            "listeners",
            Shape::Named(&LISTENER),
            "Where connections are accepted, at least one, each under its name.",
        ),
        Key::optional(
            "routes",
            Shape::List(&Shape::Table(&ROUTE), 0),
            "none, every request is answered with 404",
            "Which requests go where. The most specific route wins: exact host, then the longest wildcard; exact path, then the \
             longest prefix; then one with methods; then the one with more headers; then the first in the file.",
        ),
        Key::optional(
            "upstreams",
            Shape::Named(&UPSTREAM),
            "none",
            "Groups of endpoints that can do the same work, each under its name.",
        ),
    ],
    later: &["tls", "certificates", "cache", "include", "plugins", "jwt", "tracing"],
};

/// A file that has been read but not resolved.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) workers: Option<NonZeroUsize>,
    pub(crate) admin: Option<Placed<Admin>>,
    pub(crate) trusted_proxies: Vec<ipnet::IpNet>,
    pub(crate) forwarded: Forwarded,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) log: Log,
    pub(crate) listeners: Vec<ListenerDraft<'a>>,
    pub(crate) routes: Vec<RouteDraft<'a>>,
    pub(crate) upstreams: Vec<UpstreamDraft<'a>>,
}

/// Reads the whole file; `folder` is where relative paths in it begin.
pub(crate) fn read<'a>(root: &Section<'a>, folder: &Path) -> Draft<'a> {
    let routes = root.list("routes").into_iter().filter_map(route::read).collect();
    Draft {
        workers: root.get("workers").and_then(NonZeroUsize::new),
        admin: root.section("admin").as_ref().and_then(process::admin),
        trusted_proxies: process::networks(root, "trusted_proxies"),
        forwarded: process::forwarded(root),
        limits: process::limits(root),
        drain: process::drain(root),
        access_log: root.section("access_log").map(|section| process::access_log(&section, folder)),
        log: process::log(root),
        listeners: listeners(root, folder),
        routes,
        upstreams: upstreams(root, folder),
    }
}

fn upstreams<'a>(root: &Section<'a>, folder: &Path) -> Vec<UpstreamDraft<'a>> {
    entries(root, "upstreams").into_iter().filter_map(|entry| upstream::read(entry, folder)).collect()
}

fn listeners<'a>(root: &Section<'a>, folder: &Path) -> Vec<ListenerDraft<'a>> {
    let Some(node) = root.node("listeners") else {
        let hint = "write a section such as [listeners.web] with listen = \"0.0.0.0:8080\"";
        root.missing("listeners", "no listener: nothing would be accepted".to_owned(), Some(hint.to_owned()));
        return Vec::new();
    };
    if node.is_empty_table() {
        node.refuse("no listener: nothing would be accepted", "write a section such as [listeners.web]");
    }
    entries(root, "listeners").into_iter().filter_map(|entry| listener::read(entry, folder)).collect()
}

fn entries<'a>(root: &Section<'a>, name: &str) -> Vec<Entry<'a>> {
    root.node(name).map_or_else(Vec::new, |node| node.entries())
}

//! A listener with `protocol = "tcp"`: where its connections go, and which keys of listeners it cannot have.

use super::{Placed, route::reference};
use crate::{
    error::{Finding, Place},
    shape::{Key, Shape, Table},
    walk::{Node, Section},
};
use evenkeel_model::{HostPattern, SniRoute, Tcp};
use std::collections::HashMap;

pub(super) static SNI: Table = Table {
    doc: "Where connections go whose TLS client asks for one of these names.",
    keys: &[
        Key::required(
            "hosts",
            Shape::List(&Shape::Text("^[^/]+$"), 1),
            "The names: exact, or \"*.example.com\" for everything below. An exact one is looked at first, then the longest below which a name is.",
        ),
        Key::required("upstream", Shape::NAME, "Where they go."),
    ],
    later: &["alpn"],
};

/// Keys that speak of requests.
const OF_HTTP: [&str; 4] = ["connection_age_max", "proxy_status", "half_closed_clients", "http2"];
const TIMEOUTS_OF_HTTP: [&str; 5] = ["request_head", "body_stall", "idle", "body_rate_min", "body_rate_grace"];

/// What a listener says of TCP.
#[derive(Debug, Default)]
pub(super) struct TcpDraft<'a> {
    /// All that it names.
    pub(super) upstreams: Vec<Placed<&'a str>>,
    /// Present on a tcp listener, unless something about it is wrong.
    pub(super) settings: Option<Tcp>,
}

/// Reads the keys of a tcp listener, and refuses them on others.
pub(super) fn read<'a>(section: &Section<'a>, is_tcp: bool) -> TcpDraft<'a> {
    if !is_tcp {
        for key in ["upstream", "sni"] {
            let hint = "write protocol = \"tcp\" to pass connections on as they are, or routes for requests";
            refuse(section, key, "is for tcp listeners", hint);
        }
        return TcpDraft::default();
    }
    for key in OF_HTTP {
        refuse(section, key, "is about requests, and a tcp listener sees none", "take it out");
    }
    if let Some(timeouts) = section.node("timeouts").filter(|node| node.is_table()) {
        for entry in timeouts.entries().iter().filter(|entry| TIMEOUTS_OF_HTTP.contains(&entry.name)) {
            let message = format!("{:?} is about requests, and a tcp listener sees none", entry.name);
            let hint = "take it out: how long nothing may move is timeouts.tunnel_idle of the upstream";
            section.report().add(Finding::error(entry.place, message).hint(hint));
        }
    }
    let default = section.node("upstream").map(reference);
    let written = section.list("sni");
    if default.is_none() && section.node("sni").is_none() {
        let hint = "write upstream = \"NAME\", or sni with names and upstreams".to_owned();
        section.missing("upstream", "a tcp listener that leads nowhere".to_owned(), Some(hint));
    }
    let mut seen = HashMap::new();
    let count = written.len();
    let routes: Vec<_> = written.into_iter().filter_map(|node| route(node, &mut seen)).collect();
    let upstreams: Vec<_> = routes.iter().map(|(_, name)| *name).chain(default.flatten()).collect();
    let sni = routes.into_iter().map(|(hosts, name)| Some(SniRoute { hosts, upstream: name.value.parse().ok()? }));
    let sni: Option<Vec<_>> = sni.collect();
    let upstream = default.map(|name| name?.value.parse().ok());
    // What is missing has been told.
    let settings = match (sni, upstream) {
        (Some(sni), None) if sni.len() == count && count > 0 => Some(Tcp { sni, upstream: None }),
        (Some(sni), Some(Some(upstream))) if sni.len() == count => Some(Tcp { sni, upstream: Some(upstream) }),
        _ => None,
    };
    TcpDraft { upstreams, settings }
}

fn refuse(section: &Section<'_>, key: &str, why: &str, hint: &str) {
    if section.node(key).is_some() {
        section.report().add(Finding::error(section.place_of(key), format!("{key:?} {why}")).hint(hint));
    }
}

/// One entry of `sni`; a name that stands in two of them would only ever reach the first.
fn route<'a>(node: Node<'a>, seen: &mut HashMap<HostPattern, Place>) -> Option<(Vec<HostPattern>, Placed<&'a str>)> {
    let section = node.section(&SNI)?;
    let upstream = section.required("upstream").and_then(reference);
    section.required("hosts")?;
    let written = section.list("hosts");
    let count = written.len();
    let mut hosts = Vec::new();
    for node in written {
        let Some(host) = node.parsed::<HostPattern>("a host") else { continue };
        match seen.get(&host) {
            Some(first) => {
                let finding = Finding::error(node.place(), format!("{:?} is there twice", host.to_string()));
                node.report().add(finding.related(*first, "the first one is here").hint("take one of them out"));
            }
            None => {
                seen.insert(host.clone(), node.place());
                hosts.push(host);
            }
        }
    }
    (hosts.len() == count && count > 0).then_some((hosts, upstream?))
}

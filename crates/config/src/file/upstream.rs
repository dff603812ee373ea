//! `[upstreams.NAME]`: a group of endpoints that can do the same work.

use super::{
    Placed, field,
    health::{self, HEALTH},
    upstream_tls::{self, UPSTREAM_TLS},
};
use crate::{
    error::{Finding, Place},
    shape::{Key, Literal, Shape, Table},
    walk::{Entry, Node, Section, Word},
};
use evenkeel_model::{
    Address, Algorithm, Duration, Endpoint, Pool, Probe, Protocol, ProxyProtocol, Upstream, UpstreamName,
    UpstreamProtocol, UpstreamTimeouts, Weight,
};
use std::{collections::HashMap, path::Path};

/// The names of the algorithms, in the order of the handbook.
const ALGORITHMS: [&str; Algorithm::ALL.len()] = {
    let mut names = [""; Algorithm::ALL.len()];
    let mut n = 0;
    while n < names.len() {
        names[n] = Algorithm::ALL[n].as_str();
        n += 1;
    }
    names
};

pub(super) static UPSTREAM: Table = Table {
    doc: "A group of endpoints that can do the same work. Its name is its identity: over a reload its endpoints keep their state.",
    keys: &[
        Key::preset(
            "balance",
            Shape::Choice {
                words: &ALGORITHMS,
                later: &["rendezvous", "maglev", "bounded_hash", "peak_ewma", "header_hash"],
            },
            Literal::Text(Algorithm::PowerOfTwo.as_str()),
            "Who gets the next request. power_of_two: of two at random the one with fewer requests in flight. round_robin: in turn. \
             least_connections: the fewest in flight. ip_hash: the same client address, the same endpoint. random: at random.",
        ),
        Key::required(
            "endpoints",
            Shape::List(&Shape::Either(&Shape::ADDRESS, &Shape::Table(&ENDPOINT)), 1),
            "At least one address, or table with an address; none twice.",
        ),
        Key::part("timeouts", Shape::Table(&TIMEOUTS), "How long an endpoint is waited for."),
        Key::part("pool", Shape::Table(&POOL), "The idle connections that each worker keeps to each endpoint."),
        Key::preset(
            "resolve_interval",
            Shape::at_least(Duration::from_secs(1)),
            Literal::Text("30s"),
            "How often host names are resolved again; the last good answer is kept. Lower it for names that move quickly.",
        ),
        Key::preset(
            "protocol",
            Shape::Choice { words: &["http", "h2", "h2c", "auto"], later: &[] },
            Literal::Text("http"),
            "What the endpoints speak. http: HTTP/1.1. h2: HTTP/2 within TLS: many requests share a connection. h2c: the same without \
             TLS, which they must expect, as gRPC servers do. auto: within TLS, HTTP/2 or HTTP/1.1, as each endpoint chooses.",
        ),
        Key::optional(
            "proxy_protocol",
            Shape::Choice { words: &["v1", "v2"], later: &[] },
            "no header",
            "Every connection to an endpoint begins with a PROXY header of this version, which says for which client it is. Write it for \
             endpoints that want one; they must trust this machine. Connections are then reused for the same client connection only.",
        ),
        Key::optional(
            "tls",
            Shape::Either(&Shape::Boolean, &Shape::Table(&UPSTREAM_TLS)),
            "plain text",
            "TLS to the endpoints, and to what probes ask. true: with the defaults of the table's keys.",
        ),
        Key::optional(
            "health",
            Shape::Table(&HEALTH),
            "no probes, every endpoint counts as up",
            "How endpoints are asked about their health.",
        ),
    ],
    later: &[
        "retry",
        "queue",
        "breaker",
        "outlier",
        "panic",
        "slow_start",
        "discovery",
        "dns",
        "kubernetes",
        "hash",
        "limits",
    ],
};

static ENDPOINT: Table = Table {
    doc: "One address within an upstream. A string is short for a table with an address only.",
    keys: &[
        Key::required("address", Shape::ADDRESS, "Where it is: HOST:PORT, [IPV6]:PORT or unix:/path."),
        Key::preset(
            "weight",
            Shape::Integer { min: 1, max: 65535 },
            Literal::Integer(1),
            "How many turns it takes for each turn of an endpoint of weight 1. Raise it for a larger machine.",
        ),
        Key::preset(
            "drain",
            Shape::Boolean,
            Literal::Boolean(false),
            "true: it gets no new request, and what runs ends normally. Write it before you take a machine away.",
        ),
    ],
    later: &["priority", "zone", "connections_max"],
};

static TIMEOUTS: Table = Table {
    doc: "How long an endpoint is waited for.",
    keys: &[
        Key::preset(
            "connect",
            Shape::TIMEOUT,
            Literal::Text("2s"),
            "For a connection to be made, and for an endpoint of HTTP/2 to look at a request; after it another endpoint is tried. Lower it within one data centre.",
        ),
        Key::preset(
            "tls",
            Shape::TIMEOUT,
            Literal::Text("5s"),
            "For the TLS handshake on a new connection; after it another endpoint is tried.",
        ),
        Key::preset(
            "response_head",
            Shape::TIMEOUT,
            Literal::Text("60s"),
            "From the last byte of the request to the head of the response. Set it a little above your slowest good answer.",
        ),
        Key::preset(
            "body_stall",
            Shape::TIMEOUT,
            Literal::Text("60s"),
            "Without a byte of the response's body. Raise it for streams that are silent for long.",
        ),
        Key::optional(
            "total",
            Shape::TIMEOUT,
            "no limit",
            "From the request's head to the last byte of its answer, all attempts together. Write it where a late answer is worth nothing.",
        ),
        Key::preset(
            "tunnel_idle",
            Shape::TIMEOUT,
            Literal::Text("1h"),
            "Without a byte in either direction of a tcp listener's connection, or of an upgraded one such as a WebSocket. Lower it when \
             clients vanish without a word and endpoints do not ping; each keeps the value of its begin.",
        ),
        Key::optional(
            "body_rate_min",
            Shape::RATE,
            "no least rate",
            "Bytes in a second that must come of a response's body while it is wanted. Write it where endpoints send what they have, not \
             where they send events as these happen.",
        ),
        Key::preset("body_rate_grace", Shape::TIMEOUT, Literal::Text("20s"), "For so long an endpoint may be slower."),
    ],
    later: &["attempt"],
};

static POOL: Table = Table {
    doc: "The idle connections that each worker keeps to each endpoint.",
    keys: &[
        Key::preset(
            "idle",
            Shape::TIMEOUT,
            Literal::Text("60s"),
            "An idle connection older than this is closed. Keep it below the keep-alive timeout of the endpoints.",
        ),
        Key::preset(
            "idle_connections_max",
            Shape::Integer { min: 0, max: 65535 },
            Literal::Integer(128),
            "No more idle connections than this, for each endpoint and worker. 0: every request makes its own connection. Those that clients have authenticated by NTLM or Negotiate do not count.",
        ),
        Key::preset(
            "age_max",
            Shape::TIMEOUT,
            Literal::Text("1h"),
            "A connection is not reused once it is this old, give or take a tenth. Lower it when new machines behind a name or a \
             virtual address get their share too slowly.",
        ),
        Key::preset(
            "ping_interval",
            Shape::TIMEOUT,
            Literal::Text("6m"),
            "With HTTP/2: after so long a silence, and with a request in flight, the endpoint is asked with PING whether it is there. Lower it where \
             endpoints vanish without a word and allow more pings; servers of gRPC by default end connections for more than one in 5 minutes.",
        ),
    ],
    later: &["connections_max"],
};

/// An upstream, checked on its own.
#[derive(Debug)]
pub(crate) struct UpstreamDraft<'a> {
    pub(crate) name: Placed<&'a str>,
    /// Whether there is a health section, right or wrong.
    pub(crate) has_health: bool,
    /// `None` when something about it is wrong, which has been told.
    pub(crate) upstream: Option<Upstream>,
}

pub(super) fn read<'a>(entry: Entry<'a>, folder: &Path) -> Option<UpstreamDraft<'a>> {
    let name = entry.parsed_name::<UpstreamName>();
    let section = entry.node.section(&UPSTREAM)?;
    let balance = section.preset::<Word>("balance").0;
    let balance = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == balance).unwrap_or_default();
    let endpoints = endpoints(&section);
    warn_of_shares(&section, balance, &endpoints);
    let timeouts = section.section("timeouts").map_or_else(UpstreamTimeouts::default, |section| timeouts(&section));
    let pool = section.section("pool").map_or_else(Pool::default, |section| pool(&section));
    let resolve_interval = section.preset("resolve_interval");
    let proxy_protocol = section.get::<Word>("proxy_protocol").map(|version| match version.0 {
        "v1" => ProxyProtocol::V1,
        _ => ProxyProtocol::V2,
    });
    let protocol = match section.preset::<Word>("protocol").0 {
        "h2" => UpstreamProtocol::H2,
        "h2c" => UpstreamProtocol::H2c,
        "auto" => UpstreamProtocol::Auto,
        _ => UpstreamProtocol::Http1,
    };
    let health = section.section("health").and_then(|section| probe(&section, &endpoints, protocol, proxy_protocol));
    let tls = section.node("tls").map_or(Some(None), |node| upstream_tls::read(node, &endpoints, protocol, folder));
    if let Some(tls) = &tls {
        fits_tls(&section, protocol, tls.is_some());
    }
    let upstream = name.zip(tls).map(|(name, tls)| Upstream {
        name,
        balance,
        endpoints,
        timeouts,
        pool,
        health,
        resolve_interval,
        protocol,
        proxy_protocol,
        tls,
    });
    Some(UpstreamDraft {
        name: Placed { value: entry.name, place: entry.place },
        has_health: section.node("health").is_some(),
        upstream,
    })
}

/// Refuses what is spoken only without TLS, or only within it.
fn fits_tls(section: &Section<'_>, protocol: UpstreamProtocol, tls: bool) {
    let Some(node) = section.node("protocol") else { return };
    match (protocol, tls) {
        (UpstreamProtocol::H2c, true) => {
            node.refuse("\"h2c\" is HTTP/2 without TLS, and this upstream has TLS", "write \"h2\", or take tls out");
        }
        (UpstreamProtocol::H2, false) => {
            let hint = "write tls, or \"h2c\" for endpoints that expect HTTP/2 without it";
            node.refuse("\"h2\" is HTTP/2 within TLS, and this upstream has no TLS", hint);
        }
        (UpstreamProtocol::Auto, false) => {
            node.refuse("endpoints choose within TLS, and this upstream has no TLS", "write tls, or what they speak");
        }
        _ => {}
    }
}

/// How many times the lightest endpoint the heaviest may weigh before weights are most likely meant as shares, as for a canary: machines
/// rarely differ that much.
const SKEW_MAX: u16 = 4;

/// Warns where weights look like shares and the algorithm, which follows the load, only comes near to them.
fn warn_of_shares(section: &Section<'_>, balance: Algorithm, endpoints: &[Endpoint]) {
    if !matches!(balance, Algorithm::PowerOfTwo | Algorithm::LeastConnections) {
        return;
    }
    let weights = || endpoints.iter().filter(|endpoint| !endpoint.drain).map(|endpoint| endpoint.weight.get());
    let (Some(least), Some(most)) = (weights().min(), weights().max()) else { return };
    if u32::from(most) > u32::from(least) * u32::from(SKEW_MAX) {
        let message =
            format!("with balance = {:?} the weights {least} to {most} are not exact shares", balance.as_str());
        let hint =
            "for exact shares write balance = \"round_robin\"; for endpoints that can bear so much more, leave it";
        section.report().add(Finding::warning(section.place_of("balance"), message).hint(hint));
    }
}

fn endpoints(section: &Section<'_>) -> Vec<Endpoint> {
    let Some(list) = section.required("endpoints") else { return Vec::new() };
    let mut seen: HashMap<Address, Place> = HashMap::new();
    let mut endpoints = Vec::new();
    let nodes = list.list(0);
    if nodes.is_empty() && list.is_list() {
        list.refuse("an upstream without an endpoint", "write at least one address, such as \"10.0.0.1:8080\"");
    }
    for node in nodes {
        let Some((endpoint, place)) = endpoint(node) else { continue };
        if let Some(first) = seen.get(&endpoint.address) {
            let message = format!("endpoint {:?} is there twice", endpoint.address.to_string());
            let finding = Finding::error(place, message).related(*first, "the first one is here");
            section.report().add(finding.hint("for a larger share write a weight"));
            continue;
        }
        seen.insert(endpoint.address.clone(), place);
        endpoints.push(endpoint);
    }
    endpoints
}

/// An endpoint, and where its address is written.
fn endpoint(node: Node<'_>) -> Option<(Endpoint, Place)> {
    if node.as_text().is_some() {
        let address = endpoint_address(node)?;
        return Some((Endpoint { address, weight: Weight::ONE, drain: false }, node.place()));
    }
    if !node.is_table() {
        node.other_type("an address or a table", None);
        return None;
    }
    let section = node.section(&ENDPOINT)?;
    let address = section.required("address").and_then(endpoint_address);
    let weight = match section.node("weight") {
        Some(node) if node.as_integer() == Some(0) => {
            node.refuse("a weight of zero", "1 to 65535; to rest an endpoint, write drain = true");
            None
        }
        _ => Weight::new(section.preset("weight")),
    };
    let drain = section.preset("drain");
    Some((Endpoint { address: address?, weight: weight?, drain }, section.place_of("address")))
}

fn endpoint_address(node: Node<'_>) -> Option<Address> {
    let address: Address = node.parsed("an address")?;
    if address.port() == Some(0) {
        node.refuse("nothing can be reached at port 0", "write the port at which the endpoint listens");
        return None;
    }
    Some(address)
}

fn probe(
    section: &Section<'_>,
    endpoints: &[Endpoint],
    protocol: UpstreamProtocol,
    proxy_protocol: Option<ProxyProtocol>,
) -> Option<Probe> {
    let mut probe = health::read(section)?;
    // Another port is mostly that of another server, which does not know the protocol; HAProxy does the same (`check-send-proxy`).
    probe.proxy_protocol = proxy_protocol.filter(|_| probe.port.is_none());
    if protocol == UpstreamProtocol::H2c && probe.port.is_none() {
        probe.protocol = Protocol::Http2;
    }
    if probe.port.is_some() && endpoints.iter().any(|endpoint| endpoint.address.port().is_none()) {
        let message = "a port for probes, but an endpoint is a unix socket, which has none";
        section.report().add(Finding::error(section.place_of("port"), message).hint("take the port out"));
    }
    Some(probe)
}

fn timeouts(section: &Section<'_>) -> UpstreamTimeouts {
    UpstreamTimeouts {
        connect: section.preset("connect"),
        tls: section.preset("tls"),
        response_head: section.preset("response_head"),
        body_stall: section.preset("body_stall"),
        total: section.get("total"),
        tunnel_idle: section.preset("tunnel_idle"),
        body_rate: field::body_rate(section),
    }
}

fn pool(section: &Section<'_>) -> Pool {
    Pool {
        idle: section.preset("idle"),
        idle_connections_max: section.preset("idle_connections_max"),
        age_max: section.preset("age_max"),
        ping_interval: section.preset("ping_interval"),
    }
}

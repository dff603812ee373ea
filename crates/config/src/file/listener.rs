//! `[listeners.NAME]`: where connections are accepted.

use super::{
    Placed, field,
    process::networks,
    tcp::{self, SNI},
    tls::{self, TLS},
};
use crate::{
    error::Finding,
    shape::{Key, Literal, Shape, Table},
    walk::{Entry, Section, Word},
};
use evenkeel_model::{
    Address, ClientTimeouts, HalfClosedClients, HeaderSenders, Listener, ListenerName, ListenerProtocol, Pings,
    Protocol,
};
use std::path::Path;

pub(super) static LISTENER: Table = Table {
    doc: "A place where connections are accepted. Its name is its identity: over a reload it keeps its connections and counters.",
    keys: &[
        Key::required(
            "listen",
            Shape::ADDRESS,
            "The address: HOST:PORT, [IPV6]:PORT or unix:/path. Port 0 takes a free port.",
        ),
        Key::preset(
            "protocol",
            Shape::Choice { words: &["http", "h2c", "auto", "tcp"], later: &["https", "http2", "http3"] },
            Literal::Text("http"),
            "What clients speak. http: HTTP/1.1. h2c: HTTP/2 without TLS, from clients that know beforehand, such as a balancer or a gRPC \
             client in your own network; nothing else is understood there. auto: both, on one port; the first bytes of a connection say which, or, \
             with tls, ALPN does, as with http. tcp: anything; connections are passed on as they are, to the \
             upstream written here, and routes do not apply.",
        ),
        Key::optional(
            "upstream",
            Shape::NAME,
            "none, which only a tcp listener with sni can do without",
            "With protocol = \"tcp\": where connections go. With sni: where those go that no name in it leads elsewhere.",
        ),
        Key::optional(
            "sni",
            Shape::List(&Shape::Table(&SNI), 1),
            "names are not looked at",
            "With protocol = \"tcp\": where connections go by the name that their TLS client asks for. Without tls the listener reads the name and \
             passes all bytes on unopened.",
        ),
        Key::optional(
            "connection_age_max",
            Shape::TIMEOUT,
            "no limit",
            "A connection that is older is ended in good order, give or take a tenth: Connection: close, or GOAWAY. Write it where a few \
             long-lived clients would for ever stay with the balancers that they found first.",
        ),
        Key::preset(
            "proxy_status",
            Shape::Boolean,
            Literal::Boolean(false),
            "true: answers made here, and not by an endpoint, say why in a Proxy-Status field (RFC 9209). It tells clients a little of what \
             lies behind, so write it for clients of your own.",
        ),
        Key::optional(
            "tls",
            Shape::Table(&TLS),
            "nothing is encrypted",
            "TLS to clients. Written, the listener speaks nothing else.",
        ),
        Key::part("timeouts", Shape::Table(&TIMEOUTS), "How long a client is waited for."),
        Key::part("http2", Shape::Table(&HTTP2), "What is particular to clients of HTTP/2."),
        Key::preset(
            "half_closed_clients",
            Shape::Choice { words: &["cancel", "serve"], later: &[] },
            Literal::Text("cancel"),
            "A client that closes its sending side and waits looks like one that went away. cancel: its request is given up, at the \
             endpoint as well. serve: it is answered; take it for clients that do so, such as nc -N.",
        ),
        Key::preset(
            "proxy_protocol",
            Shape::Boolean,
            Literal::Boolean(false),
            "true: every connection must begin with a PROXY header (version 1 or 2), which says for whom it speaks; one without is closed. \
             Write it behind a balancer that sends them.",
        ),
        Key::preset(
            "proxy_protocol_from",
            Shape::NETWORKS,
            Literal::List(&[]),
            "Networks of the balancers that send PROXY headers, wanted with proxy_protocol = true; connections from all others are closed. \
             Whoever is listed can claim any client address. A unix socket needs no list: the rights of its file decide.",
        ),
    ],
    later: &["http3", "connections_max"],
};

static HTTP2: Table = Table {
    doc: "What is particular to clients of HTTP/2.",
    keys: &[
        Key::preset(
            "ping_interval",
            Shape::TIMEOUT,
            Literal::Text("30s"),
            "After so long a silence a client is asked with PING whether it is there, also while a request of it is at work. Raise it for \
             phones that sleep; lower it where clients vanish without a word and what they asked for is dear.",
        ),
        Key::preset(
            "ping_timeout",
            Shape::TIMEOUT,
            Literal::Text("10s"),
            "A client that has not answered by then is gone: its connection ends, and its requests are cancelled.",
        ),
    ],
    later: &["streams_max", "window"],
};

static TIMEOUTS: Table = Table {
    doc: "How long a client is waited for.",
    keys: &[
        Key::preset(
            "proxy_header",
            Shape::TIMEOUT,
            Literal::Text("5s"),
            "From accept to the end of the PROXY header, where there must be one. Balancers send it at once; leave room for a segment that \
             is lost and sent again.",
        ),
        Key::preset(
            "tls",
            Shape::TIMEOUT,
            Literal::Text("5s"),
            "From accept, or the PROXY header, to the end of the TLS handshake. Raise it for clients on very poor lines.",
        ),
        Key::preset(
            "request_head",
            Shape::TIMEOUT,
            Literal::Text("10s"),
            "From a request's first byte (on a new connection: from accept, or the end of the PROXY header or the handshake) to the end of \
             its head. A client that is slower is gone. \
             Raise it for clients on very poor lines.",
        ),
        Key::preset(
            "body_stall",
            Shape::TIMEOUT,
            Literal::Text("30s"),
            "Without a byte of the request's body while one is wanted, or of the response taken while one is offered. It is no limit \
             on how long a whole upload takes.",
        ),
        Key::preset(
            "idle",
            Shape::TIMEOUT,
            Literal::Text("75s"),
            "Between an answer and the next request on the same connection. Keep it above that of the balancer in front of this one, \
             so that it is never we who close a connection it is about to use.",
        ),
        Key::optional(
            "body_rate_min",
            Shape::RATE,
            "no least rate",
            "Bytes in a second that a client must send of a body while it is wanted, and take of one while it is offered. Write it, such as \
             \"240B\", against clients that keep endpoints busy on purpose; not where clients send a body as things happen.",
        ),
        Key::preset(
            "body_rate_grace",
            Shape::TIMEOUT,
            Literal::Text("20s"),
            "For so long a client may be slower. Keep it above 10s: what a client has taken is told to its peer in steps.",
        ),
    ],
    later: &["total"],
};

/// A listener whose address has not been compared with others yet.
#[derive(Debug)]
pub(crate) struct ListenerDraft<'a> {
    pub(crate) name: Placed<&'a str>,
    pub(crate) address: Option<Placed<Address>>,
    /// The upstreams to which it leads itself.
    pub(crate) upstreams: Vec<Placed<&'a str>>,
    /// Whether it passes connections on as they are, so that no route applies.
    pub(crate) is_tcp: bool,
    /// `None` when something about it is wrong, which has been told.
    pub(crate) listener: Option<Listener>,
}

pub(super) fn read<'a>(entry: Entry<'a>, folder: &Path) -> Option<ListenerDraft<'a>> {
    let name = entry.parsed_name::<ListenerName>();
    let section = entry.node.section(&LISTENER)?;
    let address = section
        .required("listen")
        .and_then(|node| node.parsed::<Address>("an address").map(|value| Placed { value, place: node.place() }));
    let word = section.preset::<Word>("protocol").0;
    let protocol = match word {
        "h2c" => ListenerProtocol::H2c,
        "auto" => ListenerProtocol::Auto,
        _ => ListenerProtocol::Http1,
    };
    let is_tcp = word == "tcp";
    let tcp = tcp::read(&section, is_tcp);
    let timeouts = section.section("timeouts").map_or_else(ClientTimeouts::default, |section| timeouts(&section));
    let pings = section.section("http2").map_or_else(Pings::default, |section| Pings {
        interval: section.preset("ping_interval"),
        timeout: section.preset("ping_timeout"),
    });
    let half_closed_clients = match section.preset::<Word>("half_closed_clients").0 {
        "serve" => HalfClosedClients::Serve,
        _ => HalfClosedClients::Cancel,
    };
    let proxy_protocol = header_senders(&section, address.as_ref());
    if protocol == ListenerProtocol::H2c && section.node("tls").is_some() {
        let finding =
            Finding::error(section.place_of("protocol"), "\"h2c\" is HTTP/2 without TLS, and this listener has TLS");
        section.report().add(finding.hint("take it out: with TLS, clients and tls.alpn say what is spoken"));
    }
    let tls = section.section("tls").map(|section| {
        // What is spoken inside is for the two ends to agree upon.
        let spoken: &[Protocol] = if is_tcp { &[] } else { &Protocol::ALL };
        tls::read(&section, folder, spoken)
    });
    // Where `tls` is written and wrong, there is no listener: one without it would be another.
    let sound = name.zip(address.as_ref()).filter(|_| !matches!(tls, Some(None)) && tcp.settings.is_some() == is_tcp);
    let listener = sound.map(|(name, address)| Listener {
        name,
        listen: address.value.clone(),
        protocol,
        tcp: tcp.settings,
        connection_age_max: section.get("connection_age_max"),
        pings,
        tls: tls.flatten(),
        timeouts,
        half_closed_clients,
        proxy_status: section.preset("proxy_status"),
        proxy_protocol,
    });
    Some(ListenerDraft {
        name: Placed { value: entry.name, place: entry.place },
        address,
        upstreams: tcp.upstreams,
        is_tcp,
        listener,
    })
}

/// Whose PROXY headers are wanted, if any are.
fn header_senders(section: &Section<'_>, address: Option<&Placed<Address>>) -> Option<HeaderSenders> {
    let senders = HeaderSenders(networks(section, "proxy_protocol_from"));
    if !section.preset::<bool>("proxy_protocol") {
        return None;
    }
    // What is wrong in the list has been told.
    let nobody = section.node("proxy_protocol_from").is_none_or(|list| list.is_list() && list.list(0).is_empty());
    if nobody && address.is_some_and(|address| address.value.port().is_some()) {
        let place = section.place_of("proxy_protocol");
        let finding = Finding::error(place, "PROXY headers from nobody: every connection would be closed");
        section.report().add(finding.hint("write the balancers' networks: proxy_protocol_from = [\"10.0.0.0/8\"]"));
    }
    Some(senders)
}

fn timeouts(section: &Section<'_>) -> ClientTimeouts {
    ClientTimeouts {
        proxy_header: section.preset("proxy_header"),
        tls: section.preset("tls"),
        request_head: section.preset("request_head"),
        body_stall: section.preset("body_stall"),
        idle: section.preset("idle"),
        body_rate: field::body_rate(section),
    }
}

//! The sections about the process as a whole: admin, limits, drain and the logs.

use super::Placed;
use crate::{
    shape::{Key, Literal, Shape, Table},
    walk::{Section, Word},
};
use evenkeel_model::{
    AccessLog, Admin, Drain, Duration, Forwarded, Limits, Log, LogFormat, LogLevel, LogOutput, Underscores,
};
use std::path::Path;

pub(super) static ADMIN: Table = Table {
    doc: "The operator's door: /metrics, /livez, /readyz and the API.",
    keys: &[Key::required(
        "listen",
        Shape::ADDRESS,
        "Where it listens: HOST:PORT, [IPV6]:PORT or unix:/path. Off loopback it serves /metrics, /livez and /readyz only.",
    )],
    later: &["tls", "token", "dashboard"],
};

/// hyper's parser needs a buffer of at least 8 KiB (`hyper::server::conn::http1::Builder::max_buf_size`); 1 MiB for each of many
/// clients is already more than any sane request head.
const REQUEST_HEAD: Shape = Shape::Size { min: 8 << 10, max: 1 << 20 };
/// `http::Uri` holds at most 65534 bytes.
const URI: Shape = Shape::Size { min: 256, max: 65534 };

pub(super) static LIMITS: Table = Table {
    doc: "What one client may cost.",
    keys: &[
        Key::optional(
            "connections_max",
            Shape::Integer { min: 1, max: 10_000_000 },
            "derived from the descriptor limit",
            "Client connections at a time, all listeners together. When all places are taken, the longest idle connection is closed for a new \
             one, which waits if none is idle. Write it to bound memory below what descriptors would allow.",
        ),
        Key::preset(
            "request_head_max",
            REQUEST_HEAD,
            Literal::Text("32KiB"),
            "Bytes of a request's head; a longer one is answered with 431. Raise it for clients with very large cookies or tokens.",
        ),
        Key::preset(
            "uri_max",
            URI,
            Literal::Text("16KiB"),
            "Bytes of a request's target; a longer one is answered with 414. Lower it to what your endpoints accept.",
        ),
        Key::optional(
            "body_max",
            Shape::BODY,
            "no limit",
            "Bytes of a request's body; a longer one is answered with 413. Bodies are streamed and never held, so this protects your \
             endpoints, not this process. A route can have its own.",
        ),
        Key::preset(
            "headers_max",
            Shape::Integer { min: 1, max: 10_000 },
            Literal::Integer(100),
            "Fields of a request's head; one with more is answered with 431. Above 100, new connections cost a little more for each \
             request.",
        ),
        Key::preset(
            "streams_max",
            Shape::Integer { min: 1, max: 10_000 },
            Literal::Integer(128),
            "Requests at a time on one HTTP/2 connection; what a client opens above that is refused, and it may try again. Raise it for a \
             balancer in front of this one that sends everything over few connections.",
        ),
        Key::preset(
            "underscores",
            Shape::Choice { words: &["allow", "refuse"], later: &[] },
            Literal::Text("allow"),
            "What becomes of a request with a _ in a field's name. allow: it is passed on. refuse: 400. Write refuse when endpoints turn \
             - and _ into one, as CGI, WSGI and PHP do, and you write fields of your own there: X_User would pass for X-User. What strangers \
             write like X-Forwarded-For is removed in any case.",
        ),
    ],
    later: &["queue_max", "rate", "connections_per_client_max", "requests_max"],
};

pub(super) static DRAIN: Table = Table {
    doc: "How the process stops.",
    keys: &[
        Key::preset(
            "grace",
            Shape::TIME,
            Literal::Text("5s"),
            "From the signal, when /readyz turns 503, until listeners close. Raise it to what the balancer in front of this one needs \
             to notice.",
        ),
        Key::preset(
            "deadline",
            Shape::TIME,
            Literal::Text("30s"),
            "From the end of the grace until what still runs is cut. Raise it when answers take long; keep it below the time after \
             which your supervisor kills.",
        ),
    ],
    later: &[],
};

pub(super) static ACCESS_LOG: Table = Table {
    doc: "One JSON object a line for each request, written by a thread of its own; lines that it cannot keep up with are counted.",
    keys: &[Key::preset(
        "output",
        Shape::Text(""),
        Literal::Text("stdout"),
        "\"stdout\", or the path of a file, relative to the folder of this file. A file is opened again on the signal USR1.",
    )],
    later: &["template", "format", "fields", "sample", "filter"],
};

pub(super) static LOG: Table = Table {
    doc: "What the process says itself, on standard error.",
    keys: &[
        Key::preset(
            "level",
            Shape::Choice { words: &["error", "warn", "info", "debug", "trace"], later: &[] },
            Literal::Text("info"),
            "From this level up: error, warn, info, debug or trace.",
        ),
        Key::preset(
            "format",
            Shape::Choice { words: &["text", "json"], later: &[] },
            Literal::Text("text"),
            "text for a terminal; json, one object a line, for a log collector.",
        ),
    ],
    later: &["output"],
};

pub(super) fn admin(section: &Section<'_>) -> Option<Placed<Admin>> {
    let node = section.required("listen")?;
    Some(Placed { value: Admin { listen: node.parsed("an address")? }, place: node.place() })
}

/// The networks in the list under a key.
pub(super) fn networks(section: &Section<'_>, key: &str) -> Vec<ipnet::IpNet> {
    let nodes = section.list(key).into_iter();
    let network = |node: crate::walk::Node<'_>| {
        let text = node.text()?;
        let network = text.parse().ok();
        if network.is_none() {
            let hint = match text.parse::<std::net::IpAddr>() {
                Ok(ip) => format!("for this one address write \"{}\"", ipnet::IpNet::from(ip)),
                Err(_) => "a network is written ADDRESS/BITS, such as \"10.0.0.0/8\"".to_owned(),
            };
            node.refuse(format!("{text:?} is not a network"), hint);
        }
        network
    };
    nodes.filter_map(network).collect()
}

pub(super) fn limits(root: &Section<'_>) -> Limits {
    root.section("limits").map_or_else(Limits::default, |section| Limits {
        connections_max: section.get("connections_max"),
        request_head_max: section.preset("request_head_max"),
        uri_max: section.preset("uri_max"),
        body_max: section.get("body_max"),
        headers_max: section.preset("headers_max"),
        streams_max: section.preset("streams_max"),
        underscores: match section.preset::<Word>("underscores").0 {
            "refuse" => Underscores::Refuse,
            _ => Underscores::Allow,
        },
    })
}

pub(super) fn forwarded(root: &Section<'_>) -> Forwarded {
    match root.preset::<Word>("forwarded").0 {
        "rfc7239" => Forwarded::Rfc7239,
        "both" => Forwarded::Both,
        _ => Forwarded::X,
    }
}

pub(super) fn drain(root: &Section<'_>) -> Drain {
    let read = |section: Section<'_>| Drain {
        grace: section.preset::<Duration>("grace"),
        deadline: section.preset::<Duration>("deadline"),
    };
    root.section("drain").map_or_else(Drain::default, read)
}

pub(super) fn access_log(section: &Section<'_>, folder: &Path) -> AccessLog {
    let output = match section.preset::<&str>("output") {
        "stdout" => LogOutput::Stdout,
        path => LogOutput::File(folder.join(path)),
    };
    if let Some(node) = section.node("output").filter(|node| node.as_text() == Some("")) {
        node.refuse("an empty path", "write \"stdout\" or the path of a file");
    }
    AccessLog { output }
}

pub(super) fn log(root: &Section<'_>) -> Log {
    root.section("log").map_or_else(Log::default, |section| Log {
        level: match section.preset::<Word>("level").0 {
            "error" => LogLevel::Error,
            "warn" => LogLevel::Warn,
            "debug" => LogLevel::Debug,
            "trace" => LogLevel::Trace,
            _ => LogLevel::Info,
        },
        format: if section.preset::<Word>("format").0 == "json" { LogFormat::Json } else { LogFormat::Text },
    })
}

//! `[upstreams.NAME.health]`: the question that endpoints are asked.

use super::field;
use crate::{
    error::Finding,
    shape::{Key, Literal, Shape, Table},
    walk::{Node, Section},
};
use evenkeel_model::{Duration, GrpcProbe, HttpProbe, Probe, ProbeKind, Protocol};
use http::{Method, uri::PathAndQuery};
use std::{num::NonZeroU32, ops::RangeInclusive};

/// More often than this is load, not a question.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The default of `timeout`, unless `interval` is shorter.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Final statuses (RFC 9110, section 15).
const STATUS: Shape = Shape::Integer { min: 200, max: 599 };
/// Answers in a row: one may be chance, and more than this would take hours.
const RUN: Shape = Shape::Integer { min: 1, max: 1000 };

pub(super) static HEALTH: Table = Table {
    doc: "How endpoints are asked about their health. Write one of http, tcp and grpc. A new endpoint is unknown until it has answered.",
    keys: &[
        Key::part("http", Shape::PATH, "Ask with an HTTP request for this path (and query), such as \"/health\"."),
        Key::part("tcp", Shape::True, "true: an endpoint that accepts a connection is healthy. http says more."),
        Key::part(
            "grpc",
            Shape::Text(""),
            "Ask with a call of grpc.health.v1.Health/Check for this service; \"\" means the whole server. Over HTTP/2.",
        ),
        Key::preset(
            "method",
            Shape::Text("^[A-Z-]+$"),
            Literal::Text("GET"),
            "The method of the request. HEAD spares the body.",
        ),
        Key::optional(
            "host",
            Shape::Text(""),
            "the endpoint's address",
            "The Host field of the request, or the authority of the call. Write it when endpoints serve several names.",
        ),
        Key::optional(
            "port",
            Shape::PORT,
            "the endpoint's own",
            "Ask at this port instead. Write it when health is answered elsewhere; not for unix sockets.",
        ),
        Key::preset(
            "interval",
            Shape::at_least(INTERVAL_MIN),
            Literal::Text("5s"),
            "From one question to the next, give or take a fifth; one second while a verdict is changing.",
        ),
        Key::optional(
            "timeout",
            Shape::TIMEOUT,
            "2s, or the interval when that is shorter",
            "An answer later than this is a failure. Not longer than the interval.",
        ),
        Key::preset(
            "healthy_after",
            RUN,
            Literal::Integer(2),
            "So many good answers in a row make an unhealthy endpoint healthy. Raise it for endpoints that start slowly.",
        ),
        Key::preset(
            "unhealthy_after",
            RUN,
            Literal::Integer(3),
            "So many bad answers in a row make a healthy endpoint unhealthy. Lower it to react sooner, at the price of false alarms.",
        ),
        Key::preset(
            "expect_status",
            Shape::List(&Shape::Either(&STATUS, &Shape::Text("^[2-5][0-9]{2}-[2-5][0-9]{2}$")), 1),
            Literal::List(&[Literal::Text("200-299")]),
            "Statuses that count as good: numbers and ranges, such as [200, \"300-399\"].",
        ),
        Key::optional(
            "expect_body",
            Shape::Text(""),
            "any body",
            "A substring that must be in the first 64 KiB of the body. Write it when a broken endpoint still answers 200.",
        ),
    ],
    later: &["jitter", "tls", "headers", "passive"],
};

/// Keys that mean nothing to other probes.
const HTTP_ONLY: [&str; 3] = ["method", "expect_status", "expect_body"];
/// Services of gRPC have names like packages of Java; what is longer is none.
const SERVICE_MAX: usize = 1024;

pub(super) fn read(section: &Section<'_>) -> Option<Probe> {
    let kind = kind(section);
    let interval: Duration = section.preset("interval");
    let timeout = section.get::<Duration>("timeout").unwrap_or(TIMEOUT.min(interval));
    if timeout > interval {
        let [timeout, interval] = [timeout, interval].map(humantime::format_duration);
        let message = format!("the timeout, {timeout}, is longer than the interval, {interval}");
        let hint = "an answer must be in before the next question: shorten the timeout or lengthen the interval";
        section.report().add(Finding::error(section.place_of("timeout"), message).hint(hint));
    }
    let port = section.get("port");
    let healthy_after = NonZeroU32::new(section.preset("healthy_after"));
    let unhealthy_after = NonZeroU32::new(section.preset("unhealthy_after"));
    Some(Probe {
        kind: kind?,
        port,
        proxy_protocol: None,
        protocol: Protocol::Http11,
        interval,
        timeout,
        healthy_after: healthy_after?,
        unhealthy_after: unhealthy_after?,
    })
}

fn kind(section: &Section<'_>) -> Option<ProbeKind> {
    let asked = ["http", "tcp", "grpc"].map(|key| section.node(key));
    if let [Some(_), Some(second), _] | [Some(_), None, Some(second)] | [None, Some(_), Some(second)] = asked {
        second.refuse("a probe is http, tcp or grpc", "take all but one out");
        return None;
    }
    match asked {
        [Some(path), ..] => http(section, path).map(ProbeKind::Http),
        [_, Some(tcp), _] => {
            let affirmed = tcp.affirmed("true", "for no probes at all take the health section out");
            for node in HTTP_ONLY.iter().chain(&["host"]).filter_map(|key| section.node(key)) {
                node.refuse("this is for http probes only", "take it out, or ask with http = \"/path\"");
            }
            affirmed.then_some(ProbeKind::Tcp)
        }
        [_, _, Some(service)] => {
            for node in HTTP_ONLY.iter().filter_map(|key| section.node(key)) {
                node.refuse("this is for http probes only", "take it out, or ask with http = \"/path\"");
            }
            grpc(section, service).map(ProbeKind::Grpc)
        }
        [None, None, None] => {
            let hint = "write http = \"/path\", tcp = true or grpc = \"service\"".to_owned();
            section.missing("http", "the health section does not say what to ask".to_owned(), Some(hint));
            None
        }
    }
}

fn grpc(section: &Section<'_>, service: Node<'_>) -> Option<GrpcProbe> {
    let name = service.text()?;
    let host = section.node("host").map(field::value);
    if name.len() > SERVICE_MAX {
        service.refuse("this is too long for a service", "write its full name, such as \"shop.v1.Orders\", or \"\"");
        return None;
    }
    Some(GrpcProbe { service: name.to_owned(), host: host.map_or(Some(None), |host| host.map(Some))? })
}

fn http(section: &Section<'_>, path: Node<'_>) -> Option<HttpProbe> {
    let path = target(path);
    let method = field::method_or(section.node("method"), Method::GET);
    let host = section.node("host").map(field::value);
    let expect_status = match section.node("expect_status") {
        Some(_) => section.list("expect_status").into_iter().filter_map(statuses).collect(),
        None => HttpProbe::default().expect_status,
    };
    let expect_body = section.get::<&str>("expect_body").map(str::to_owned);
    if let (Some(node), Some(Method::HEAD)) = (section.node("expect_body"), &method) {
        node.refuse("the answer to HEAD has no body", "take expect_body out, or ask with GET");
    }
    Some(HttpProbe {
        method: method?,
        path: path?,
        host: host.map_or(Some(None), |host| host.map(Some))?,
        expect_status,
        expect_body,
    })
}

fn target(node: Node<'_>) -> Option<PathAndQuery> {
    let text = node.text()?;
    let path = text.starts_with('/').then(|| text.parse().ok()).flatten();
    if path.is_none() {
        node.refuse(format!("{text:?} is not a path"), "a path begins with / and has no blanks, such as \"/health\"");
    }
    path
}

/// A status, or a range of them such as `"200-299"`.
fn statuses(node: Node<'_>) -> Option<RangeInclusive<u16>> {
    const HINT: &str = "a status is 200 to 599, a range is written \"200-299\"";
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let valid = |text: &str| text.parse().ok().filter(|status| digits(text) && (200..=599).contains(status));
    let (written, range) = match (node.as_text(), node.as_integer()) {
        (Some(text), _) => {
            (format!("{text:?}"), text.split_once('-').and_then(|(low, high)| Some(valid(low)?..=valid(high)?)))
        }
        (None, Some(number)) => (number.to_string(), valid(&number.to_string()).map(|status| status..=status)),
        (None, None) => {
            node.other_type("a status or a range", Some(HINT.to_owned()));
            return None;
        }
    };
    let range = range.filter(|range| !range.is_empty());
    if range.is_none() {
        node.refuse(format!("{written} is not a status or a range"), HINT);
    }
    range
}

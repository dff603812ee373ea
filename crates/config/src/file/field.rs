//! Parts of HTTP messages as they are written in the file: methods, field names, field values, paths, how fast bodies must be.

use crate::{
    error::{Finding, Place, Report},
    walk::{Node, Section},
};
use evenkeel_model::{PathError, PathFolding, RateMin, normalise_path};
use http::{HeaderName, HeaderValue, Method};
use std::borrow::Cow;

/// The least rate of a body, from the keys `body_rate_min` and `body_rate_grace`.
pub(super) fn body_rate(section: &Section<'_>) -> Option<RateMin> {
    // Read also when no rate is written, so that a wrong one is told.
    let grace = section.preset("body_rate_grace");
    section.get("body_rate_min").map(|bytes| RateMin { bytes, grace })
}

/// A method that a client may use here.
pub(super) fn method(node: Node<'_>) -> Option<Method> {
    let text = node.text()?;
    let refuse = |hint: String| {
        node.refuse(format!("{text:?} is not a method"), hint);
        None
    };
    let upper = text.to_ascii_uppercase();
    match Method::from_bytes(text.as_bytes()) {
        // RFC 9110, section 9.1: methods are case-sensitive, and all registered ones are upper case.
        Ok(_) if upper != text => refuse(format!("methods are case-sensitive: write {upper:?}")),
        Ok(Method::CONNECT | Method::TRACE) => {
            node.refuse(
                format!("{text} is never passed on"),
                "requests with it are refused before any route is looked at",
            );
            None
        }
        Ok(method) => Some(method),
        Err(_) => refuse("a method is a word such as GET".to_owned()),
    }
}

/// The method at a node; the default where there is no node.
pub(super) fn method_or(node: Option<Node<'_>>, default: Method) -> Option<Method> {
    node.map_or(Some(default), method)
}

/// The name of a header field, written at a place.
pub(super) fn name(text: &str, place: Place, report: &Report) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        let finding = Finding::error(place, format!("{text:?} is not the name of a header field"));
        report.add(finding.hint("letters, digits and '-', such as \"x-request-id\""));
    }
    name
}

/// Why nobody but us may write this field: it says where a message ends, or which connection it belongs to (RFC 9110, section 7.6.1; RFC
/// 9112, section 6).
pub(super) fn of_the_connection(name: &HeaderName) -> Option<&'static str> {
    match name.as_str() {
        "content-length" | "transfer-encoding" | "trailer" => {
            Some("it says where the message ends, and a wrong one splits it in two")
        }
        "connection" | "keep-alive" | "proxy-connection" | "te" | "upgrade" | "http2-settings" => {
            Some("it belongs to one connection and is never passed on")
        }
        _ => None,
    }
}

/// Whether no route ever sees this field: it is removed before one is looked for, and only our framing of the message puts it back.
pub(super) fn never_reaches_a_route(name: &HeaderName) -> bool {
    matches!(name.as_str(), "keep-alive" | "proxy-connection" | "transfer-encoding" | "http2-settings" | "proxy")
}

/// The same of a request: it decides for which host it is, or when its body is sent.
pub(super) fn of_the_request(name: &HeaderName) -> Option<&'static str> {
    match name.as_str() {
        "host" => Some("routing, the log and the endpoint must see one and the same host"),
        "expect" => Some("it decides when the body is sent"),
        _ => None,
    }
}

/// Why this field cannot tell endpoints who a client is: all of them would lose it, for what clients send under the name is removed, and
/// endpoints know it as something else. Many of these know no difference between `-` and `_`.
pub(super) fn of_others(name: &HeaderName) -> Option<&'static str> {
    match name.as_str().replace('_', "-").as_str() {
        "via" | "forwarded" | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "max-forwards" => {
            Some("we write it ourselves, and it says something else")
        }
        "x-forwarded-port" | "x-forwarded-by" | "x-forwarded-server" | "x-forwarded-prefix" | "x-real-ip" => {
            Some("endpoints read something else in it")
        }
        "cookie" | "authorization" | "proxy-authorization" => {
            Some("clients show by it who they are to endpoints, and theirs would be removed")
        }
        "content-type" | "content-encoding" | "content-range" | "content-location" | "content-language" => {
            Some("it says what the body is, and that of clients would be removed")
        }
        "accept"
        | "accept-encoding"
        | "accept-language"
        | "cache-control"
        | "date"
        | "from"
        | "if-match"
        | "if-modified-since"
        | "if-none-match"
        | "if-range"
        | "if-unmodified-since"
        | "origin"
        | "pragma"
        | "range"
        | "referer"
        | "user-agent" => Some("clients say something else in it, and theirs would be removed"),
        _ => None,
    }
}

/// The value of a header field.
pub(super) fn value(node: Node<'_>) -> Option<HeaderValue> {
    let text = node.text()?;
    let value = HeaderValue::from_str(text).ok();
    if value.is_none() {
        node.refuse(
            "a header field cannot carry this text",
            "visible ASCII characters and blanks only, no line breaks",
        );
    }
    value
}

/// The path of a route that takes others for the same, in the one form that requests have when a route is looked for.
pub(super) fn route_path<'a>(node: Node<'a>, folding: PathFolding) -> Option<Cow<'a, str>> {
    let text = path(node)?;
    let normal = normalise_path(text);
    if let Err(error) = &normal {
        let hint = match error {
            PathError::Byte => {
                "a request with a backslash, %00 or a broken encoding in its path is refused before any route is looked at"
            }
            PathError::Climbs => "the elements . and .. never reach a route: write the path that they lead to",
        };
        node.refuse(format!("{text:?} is not a path"), hint);
    }
    let normal = normal.ok()?;
    let folded = folding.with_case().fold(&normal);
    if folded != normal {
        let hint = format!("by its keys this route takes it for {folded:?}: write that");
        node.refuse(format!("{text:?} is no path to this route"), hint);
    }
    Some(normal)
}

/// A path without a query, as requests carry it: percent-encoded.
pub(super) fn path(node: Node<'_>) -> Option<&str> {
    let text = node.text()?;
    let visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    let hint = if !text.starts_with('/') {
        "a path begins with /"
    } else if text.contains(['?', '#']) {
        "a path ends before '?' and '#'"
    } else if !visible(text) {
        "blanks and other than ASCII characters are percent-encoded in a request: write %20 for a blank"
    } else if text.split('/').any(|element| element == "." || element == "..") {
        "the elements . and .. never reach a route: write the path that they lead to"
    } else {
        return Some(text);
    };
    node.refuse(format!("{text:?} is not a path"), hint);
    None
}

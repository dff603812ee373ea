//! `filters` of a route: steps, in order, each a table with one key.

use super::field;
use crate::{
    error::Finding,
    shape::{Key, Literal, Shape, Table},
    walk::{Entry, Node, Section, Word},
};
use evenkeel_model::{Filter, FixedResponse, HeaderChange, HostPattern, Redirect, RedirectScheme};
use http::{HeaderName, HeaderValue, StatusCode};

pub(super) static FILTER: Table = Table {
    doc: "One step on a route: a table with exactly one of these keys.",
    keys: &[
        Key::part(
            "set_request_header",
            Shape::Table(&FIELD),
            "One line with this value instead of all lines of this field, before the request leaves.",
        ),
        Key::part(
            "add_request_header",
            Shape::Table(&FIELD),
            "One more line of this field, before the request leaves.",
        ),
        Key::part("remove_request_header", Shape::FIELD, "No line of this field, before the request leaves."),
        Key::part(
            "set_response_header",
            Shape::Table(&FIELD),
            "One line with this value instead of all lines of this field, before the client sees the response.",
        ),
        Key::part(
            "add_response_header",
            Shape::Table(&FIELD),
            "One more line of this field, before the client sees the response.",
        ),
        Key::part(
            "remove_response_header",
            Shape::FIELD,
            "No line of this field, before the client sees the response.",
        ),
        Key::part("redirect", Shape::Table(&REDIRECT), "Answers with a redirect; the route then needs no upstream."),
        Key::part(
            "fixed_response",
            Shape::Table(&FIXED_RESPONSE),
            "Answers with a fixed text; the route then needs no upstream.",
        ),
        Key::part(
            "prefix_rewrite",
            Shape::PATH,
            "Replaces what the route matched of the path (its prefix, or the whole exact path): with path_prefix = \"/api\" and \
             prefix_rewrite = \"/\", /api/x leaves as /x.",
        ),
    ],
    later: &["rate_limit", "jwt", "forward_auth", "basic_auth", "cache", "compress", "mirror", "cors", "custom"],
};

static FIELD: Table = Table {
    doc: "A header field. Fields that frame the message or belong to one connection cannot be changed.",
    keys: &[
        Key::required("name", Shape::FIELD, "Its name; case does not matter."),
        Key::required("value", Shape::Text(""), "Its value."),
    ],
    later: &[],
};

static REDIRECT: Table = Table {
    doc: "Where to send the client instead. What is not written stays as it was asked for.",
    keys: &[
        Key::optional(
            "scheme",
            Shape::Choice { words: &["http", "https"], later: &[] },
            "as asked for",
            "http or https.",
        ),
        Key::optional("host", Shape::Text("^[^/:]+$|^\\["), "as asked for", "Another host."),
        Key::optional("port", Shape::PORT, "as asked for; with another scheme, that scheme's", "Another port."),
        Key::optional("path", Shape::PATH, "as asked for", "Another path, in place of path and query."),
        Key::preset(
            "status",
            Shape::Integer { min: 301, max: 308 },
            Literal::Integer(301),
            "301 and 308 are kept by clients for good, 302, 303 and 307 are not; with 307 and 308 the method stays.",
        ),
    ],
    later: &[],
};

static FIXED_RESPONSE: Table = Table {
    doc: "A fixed answer.",
    keys: &[
        Key::preset("status", Shape::Integer { min: 200, max: 599 }, Literal::Integer(200), "Its status, 200 to 599."),
        Key::preset("body", Shape::Text(""), Literal::Text(""), "Its body."),
        Key::preset("content_type", Shape::Text(""), Literal::Text("text/plain; charset=utf-8"), "Its Content-Type."),
    ],
    later: &["headers", "file"],
};

/// Which message a header filter changes.
#[derive(Clone, Copy)]
enum Message {
    Request,
    Response,
}

/// A filter as far as it could be read.
#[derive(Debug)]
pub(super) struct FilterDraft {
    /// `None` when something about it is wrong, which has been told.
    pub(super) filter: Option<Filter>,
    /// Whether it answers every request.
    pub(super) answers: bool,
}

pub(super) fn read(node: Node<'_>) -> Option<FilterDraft> {
    let section = node.section(&FILTER)?;
    let written = section.written();
    match written.as_slice() {
        [one] => Some(FilterDraft { filter: filter(*one), answers: matches!(one.name, "redirect" | "fixed_response") }),
        [] => {
            if node.is_empty_table() {
                node.refuse("an empty filter", "write one such as { remove_request_header = \"x-debug\" }");
            }
            None
        }
        [_, second, ..] => {
            let finding = Finding::error(second.place, "two filters in one table");
            section.report().add(finding.hint("their order matters: write each in a table of its own"));
            None
        }
    }
}

fn filter(entry: Entry<'_>) -> Option<Filter> {
    let request = |change| Some(Filter::RequestHeader(change));
    let response = |change| Some(Filter::ResponseHeader(change));
    match entry.name {
        "set_request_header" => header(entry.node, Message::Request, HeaderChange::Set).and_then(request),
        "add_request_header" => header(entry.node, Message::Request, HeaderChange::Add).and_then(request),
        "remove_request_header" => removal(entry.node, Message::Request).and_then(request),
        "set_response_header" => header(entry.node, Message::Response, HeaderChange::Set).and_then(response),
        "add_response_header" => header(entry.node, Message::Response, HeaderChange::Add).and_then(response),
        "remove_response_header" => removal(entry.node, Message::Response).and_then(response),
        "redirect" => redirect(&entry.node.section(&REDIRECT)?).map(Filter::Redirect),
        "fixed_response" => fixed_response(&entry.node.section(&FIXED_RESPONSE)?).map(Filter::FixedResponse),
        // Held without a trailing slash, as the prefix that it replaces.
        "prefix_rewrite" => Some(Filter::PrefixRewrite(field::path(entry.node)?.trim_end_matches('/').into())),
        _ => unreachable!("only keys of the table are given to readers"),
    }
}

fn header(
    node: Node<'_>,
    message: Message,
    change: fn(HeaderName, HeaderValue) -> HeaderChange,
) -> Option<HeaderChange> {
    let section = node.section(&FIELD)?;
    let name = section.required("name").and_then(|node| changeable(node, message));
    let value = section.required("value").and_then(field::value);
    Some(change(name?, value?))
}

fn removal(node: Node<'_>, message: Message) -> Option<HeaderChange> {
    changeable(node, message).map(HeaderChange::Remove)
}

/// The name of a field that may be changed without changing where a message ends, which connection it belongs to, or which host it is
/// for.
fn changeable(node: Node<'_>, message: Message) -> Option<HeaderName> {
    let name = field::name(node.text()?, node.place(), node.report())?;
    let why = field::of_the_connection(&name).or_else(|| match message {
        Message::Request => field::of_the_request(&name),
        Message::Response => None,
    });
    let Some(why) = why else { return Some(name) };
    node.refuse(format!("a filter cannot change {:?}", name.as_str()), why);
    None
}

fn redirect(section: &Section<'_>) -> Option<Redirect> {
    let scheme = section.get::<Word>("scheme").map(|word| match word.0 {
        "https" => RedirectScheme::Https,
        _ => RedirectScheme::Http,
    });
    let host = section.node("host").map(redirect_host);
    let port = section.get("port");
    let path = section.node("path").map(redirect_path);
    let status = redirect_status(section);
    if section.written().iter().all(|entry| entry.name == "status") {
        let message = "this redirect leads to where the client already is";
        section.report().add(Finding::error(section.place(), message).hint("write a scheme, host, port or path"));
    }
    Some(Redirect { status: status?, scheme, host: flat(host)?, port, path: flat(path)? })
}

/// What is written must be right; what is not written is right.
fn flat<T>(written: Option<Option<T>>) -> Option<Option<T>> {
    written.map_or(Some(None), |value| value.map(Some))
}

fn redirect_host(node: Node<'_>) -> Option<std::sync::Arc<str>> {
    match node.parsed("a host")? {
        HostPattern::Exact(host) => Some(host),
        HostPattern::Wildcard(_) => {
            node.refuse("a client cannot be sent to a wildcard", "write one host");
            None
        }
    }
}

fn redirect_path(node: Node<'_>) -> Option<std::sync::Arc<str>> {
    let text = node.text()?;
    let good = text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok() && !text.contains('#');
    if !good {
        node.refuse(format!("{text:?} is not a path"), "it begins with /, has no blanks, and may have a query");
    }
    good.then(|| text.into())
}

fn redirect_status(section: &Section<'_>) -> Option<StatusCode> {
    let status: u16 = section.preset("status");
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let finding = Finding::error(section.place_of("status"), format!("{status} is not a redirect"));
        section.report().add(finding.hint("301, 302, 303, 307 or 308"));
    }
    StatusCode::from_u16(status).ok()
}

fn fixed_response(section: &Section<'_>) -> Option<FixedResponse> {
    let status: u16 = section.preset("status");
    let body: &str = section.preset("body");
    // RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5.
    if matches!(status, 204 | 205 | 304) && !body.is_empty() {
        let finding = Finding::error(section.place_of("body"), format!("an answer with status {status} has no body"));
        section.report().add(finding.hint("take the body out, or write another status"));
    }
    let content_type = match section.node("content_type") {
        Some(node) => field::value(node),
        None => HeaderValue::from_str(section.preset("content_type")).ok(),
    };
    Some(FixedResponse { status: StatusCode::from_u16(status).ok()?, content_type: content_type?, body: body.into() })
}

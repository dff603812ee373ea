//! `[[routes]]`: which requests go where.

use super::{
    Placed, field,
    filter::{self, FILTER},
};
use crate::{
    error::{Finding, Place},
    shape::{Key, Literal, Shape, Table},
    walk::{Entry, Node, Section},
};
use evenkeel_model::{ByteSize, Filter, HeaderMatch, HostPattern, PathFolding, PathMatch, RouteName, UpgradeToken};
use http::Method;
use std::borrow::Cow;

pub(super) static ROUTE: Table = Table {
    doc: "Which requests go where, and what is done to them on the way. All conditions must hold.",
    keys: &[
        Key::optional(
            "name",
            Shape::NAME,
            "made of its first host, path, methods and header names",
            "Its name in metrics and logs. Write it so that counters continue when a condition changes.",
        ),
        Key::optional(
            "listeners",
            Shape::List(&Shape::NAME, 1),
            "all",
            "Only for requests that came in by these listeners.",
        ),
        Key::optional(
            "hosts",
            Shape::List(&Shape::Text("^[^/]+$"), 1),
            "all",
            "Only for these hosts: exact, or \"*.example.com\" for everything below. Port and case do not matter.",
        ),
        Key::optional("path", Shape::PATH, "all", "Only for exactly this path. Not together with path_prefix."),
        Key::optional(
            "path_prefix",
            Shape::PATH,
            "all",
            "Only for paths that begin with these elements: \"/v1\" and \"/v1/\" both match /v1 and /v1/x, not /v1x.",
        ),
        Key::preset(
            "ignore_case",
            Shape::Boolean,
            Literal::Boolean(false),
            "true: /ADMIN is /admin to path and path_prefix of this route. Write it for endpoints that think so, such as those on Windows. As \
             the next three keys, it says what this route takes for its path, and changes nothing of what is sent.",
        ),
        Key::preset(
            "merge_slashes",
            Shape::Boolean,
            Literal::Boolean(false),
            "true: //admin is /admin to this route. Write it for endpoints that take several slashes for one, such as nginx.",
        ),
        Key::preset(
            "ignore_path_parameters",
            Shape::Boolean,
            Literal::Boolean(false),
            "true: /admin;x=1 and /a/..;/admin are /admin to this route. Write it for endpoints that cut off what follows a ; in each element \
             of a path, such as Tomcat, Jetty and Spring.",
        ),
        Key::preset(
            "decode_slashes",
            Shape::Boolean,
            Literal::Boolean(false),
            "true: /a%2Fb and /a%5Cb are /a/b to this route. Write it for endpoints that decode a path before they take it apart, such as nginx.",
        ),
        Key::optional("methods", Shape::List(&Shape::Text("^[A-Z-]+$"), 1), "all", "Only for these methods."),
        Key::optional(
            "headers",
            Shape::Pairs(&Shape::Either(&Shape::Text(""), &Shape::True)),
            "none asked for",
            "Only with these header fields: the value that a line of the field must have, or true when any will do.",
        ),
        Key::optional(
            "filters",
            Shape::List(&Shape::OneKey(&FILTER), 0),
            "none",
            "Steps that change, answer or refuse a request, in this order.",
        ),
        Key::preset(
            "upgrades",
            Shape::List(&Shape::Text("^[^/, ]+(/[^/, ]+)?$"), 0),
            Literal::List(&[Literal::Text("websocket")]),
            "Protocols to which a client may switch its connection. []: none; a request that asks for another is served as if it \
             had not asked. h2c is never passed on.",
        ),
        Key::optional(
            "body_max",
            Shape::BODY,
            "as limits.body_max",
            "Bytes of a request's body on this route, in place of limits.body_max; a longer one is answered with 413. Raise it where files \
             are uploaded, lower it where nobody sends much.",
        ),
        Key::preset(
            "retry_idempotency_key",
            Shape::Boolean,
            Literal::Boolean(false),
            "true: a request with an Idempotency-Key field may be sent again like an idempotent one, whatever its method, and up to 64 KiB \
             of its body are kept for that. Write it where endpoints do a thing once for each key.",
        ),
        Key::optional(
            "upstream",
            Shape::NAME,
            "none, which only a route with a redirect or a fixed_response can do without",
            "Where the requests go.",
        ),
    ],
    later: &["retry", "timeouts", "split", "priority", "query", "upstreams", "limits", "cache", "access_log"],
};

/// A route whose references have not been looked up yet.
#[derive(Debug)]
pub(crate) struct RouteDraft<'a> {
    pub(crate) place: Place,
    pub(crate) name: Option<Placed<RouteName>>,
    pub(crate) listeners: Vec<Placed<&'a str>>,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) path: PathMatch,
    pub(crate) folding: PathFolding,
    pub(crate) methods: Vec<Method>,
    pub(crate) headers: Vec<HeaderMatch>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) upgrades: Vec<UpgradeToken>,
    pub(crate) body_max: Option<ByteSize>,
    pub(crate) retry_idempotency_key: bool,
    pub(crate) upstream: Option<Placed<&'a str>>,
    /// Nothing about it is wrong, so that its conditions are those that were meant.
    pub(crate) sound: bool,
}

pub(super) fn read(node: Node<'_>) -> Option<RouteDraft<'_>> {
    let found_before = node.report().len();
    let section = node.section(&ROUTE)?;
    let name = section.node("name").and_then(name);
    let hosts = section.list("hosts").into_iter().filter_map(|node| node.parsed("a host")).collect();
    let folding = PathFolding {
        decode_slashes: section.preset("decode_slashes"),
        ignore_parameters: section.preset("ignore_path_parameters"),
        merge_slashes: section.preset("merge_slashes"),
        ignore_case: section.preset("ignore_case"),
    };
    let path = path(&section, folding);
    let methods = section.list("methods").into_iter().filter_map(field::method).collect();
    let headers = headers(&section);
    let upstream = section.node("upstream").and_then(reference);
    let filters = filters(&section);
    Some(RouteDraft {
        place: section.place(),
        name,
        listeners: section.list("listeners").into_iter().filter_map(reference).collect(),
        hosts,
        path,
        folding,
        methods,
        headers,
        filters,
        upgrades: upgrades(&section),
        body_max: section.get("body_max"),
        retry_idempotency_key: section.preset("retry_idempotency_key"),
        upstream,
        sound: node.report().len() == found_before,
    })
}

fn name(node: Node<'_>) -> Option<Placed<RouteName>> {
    let text = node.text()?;
    let refuse = |error: evenkeel_model::NameError| node.refuse(format!("{text:?} is not a name"), error.to_string());
    let value = RouteName::explicit(text).map_err(refuse).ok()?;
    Some(Placed { value, place: node.place() })
}

/// A name to look up later. Whether it is a good one is told where it is defined.
pub(super) fn reference(node: Node<'_>) -> Option<Placed<&str>> {
    node.text().map(|value| Placed { value, place: node.place() })
}

fn path(section: &Section<'_>, folding: PathFolding) -> PathMatch {
    let read = |node: Node<'_>| field::route_path(node, folding).map(Cow::into_owned);
    let exact = section.node("path").map(read);
    let prefix = section.node("path_prefix").map(read);
    if exact.is_some() && prefix.is_some() {
        let finding = Finding::error(section.place_of("path_prefix"), "a path and a path prefix");
        section.report().add(finding.hint("a request that has the path has the prefix, or never both: write one"));
    }
    let path = match (exact.flatten(), prefix.flatten()) {
        (Some(path), _) => PathMatch::Exact(path.into()),
        (None, Some(prefix)) => PathMatch::prefix(&prefix),
        (None, None) => PathMatch::any(),
    };
    path.folded(folding)
}

/// The conditions on header fields, sorted by name.
fn headers(section: &Section<'_>) -> Vec<HeaderMatch> {
    let Some(table) = section.node("headers") else { return Vec::new() };
    let mut headers: Vec<HeaderMatch> = Vec::new();
    for entry in table.entries() {
        let Some(header) = header(entry) else { continue };
        if headers.iter().any(|other| other.name == header.name) {
            let finding =
                Finding::error(entry.place, format!("header field {:?} is there twice", header.name.as_str()));
            section.report().add(finding.hint("upper and lower case name the same field"));
        }
        headers.push(header);
    }
    headers.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    headers
}

fn header(entry: Entry<'_>) -> Option<HeaderMatch> {
    let name = field::name(entry.name, entry.place, entry.node.report());
    if let Some(name) = name.as_ref().filter(|name| field::never_reaches_a_route(name)) {
        let finding =
            Finding::warning(entry.place, format!("no request has {:?} when a route is looked for", name.as_str()));
        entry
            .node
            .report()
            .add(finding.hint("it belongs to one connection and is removed before: take the condition out"));
    }
    if entry.node.as_text().is_some() {
        let value = field::value(entry.node)?;
        return Some(HeaderMatch { name: name?, value: Some(value) });
    }
    let any = entry.node.affirmed("a string or true", "true asks for any value; to ask for nothing, take the key out");
    any.then_some(HeaderMatch { name: name?, value: None })
}

fn upgrades(section: &Section<'_>) -> Vec<UpgradeToken> {
    match section.node("upgrades") {
        Some(_) => section.list("upgrades").into_iter().filter_map(|node| node.parsed("a protocol")).collect(),
        None => vec![UpgradeToken::websocket()],
    }
}

fn filters(section: &Section<'_>) -> Vec<Filter> {
    let list = section.list("filters");
    let unclear = list.len();
    let drafts: Vec<_> = list.into_iter().filter_map(filter::read).collect();
    // A filter that could not be read may have been the one that answers.
    let answered = drafts.iter().any(|draft| draft.answers) || drafts.len() < unclear;
    if section.node("upstream").is_none() && !answered {
        let hint = "write upstream = \"NAME\", or a filter that answers: redirect or fixed_response";
        section.missing("upstream", "this route leads nowhere".to_owned(), Some(hint.to_owned()));
    }
    let filters: Vec<Filter> = drafts.into_iter().filter_map(|draft| draft.filter).collect();
    if filters.iter().filter(|filter| matches!(filter, Filter::PrefixRewrite(_))).count() > 1 {
        let finding = Finding::error(section.place_of("filters"), "two filters rewrite the prefix");
        section.report().add(finding.hint("after the first there is none left: write one"));
    }
    filters
}

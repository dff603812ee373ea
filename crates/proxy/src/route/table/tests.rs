use super::*;
use evenkeel_model::{HeaderMatch, RouteName, normalise_path};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

fn route(host: &str, path: PathMatch) -> Route {
    Route {
        name: RouteName::derived(host),
        listeners: vec![],
        hosts: if host.is_empty() { vec![] } else { vec![host.parse().unwrap()] },
        path,
        folding: PathFolding::default(),
        methods: vec![],
        headers: vec![],
        filters: vec![],
        upgrades: vec![],
        body_max: None,
        retry_idempotency_key: false,
        upstream: None,
    }
}

fn find(table: &RouteTable, host: &str, path: &str) -> Option<u32> {
    find_with(table, host, path, &Method::GET, &HeaderMap::new())
}

fn find_with(table: &RouteTable, host: &str, path: &str, method: &Method, headers: &HeaderMap) -> Option<u32> {
    table.find(Question { host, path, method, headers, listener: None })
}

/// The n-th number that is given.
fn number(n: usize) -> Option<ListenerNumber> {
    std::iter::successors(Some(ListenerNumber::FIRST), |number| Some(number.next())).nth(n)
}

fn table(routes: &[Route]) -> RouteTable {
    RouteTable::new(routes, |name| number(name.strip_prefix('l')?.parse().ok()?))
}

#[test]
fn an_exact_host_wins_over_the_longest_wildcard_over_any_host() {
    let table = table(&[
        route("", PathMatch::any()),
        route("*.example.com", PathMatch::any()),
        route("*.api.example.com", PathMatch::any()),
        route("v1.api.example.com", PathMatch::any()),
    ]);
    assert_eq!(find(&table, "v1.api.example.com", "/"), Some(3));
    assert_eq!(find(&table, "v2.api.example.com", "/"), Some(2));
    assert_eq!(find(&table, "a.b.c.example.com", "/"), Some(1));
    assert_eq!(find(&table, "example.com", "/"), Some(0), "a wildcard does not match its own base");
    assert_eq!(find(&table, "", "/"), Some(0));
}

#[test]
fn a_prefix_matches_whole_path_elements() {
    let table = table(&[route("", PathMatch::prefix("/v1/"))]);
    for path in ["/v1", "/v1/", "/v1/x", "/v1//"] {
        assert_eq!(find(&table, "h", path), Some(0), "{path}");
    }
    for path in ["/v1x", "/", "/v", "*", ""] {
        assert_eq!(find(&table, "h", path), None, "{path}");
    }
}

#[test]
fn an_exact_path_wins_over_the_longest_prefix() {
    let table = table(&[
        route("", PathMatch::any()),
        route("", PathMatch::prefix("/a")),
        route("", PathMatch::prefix("/a/b")),
        route("", PathMatch::Exact("/a/b".into())),
    ]);
    assert_eq!(find(&table, "h", "/a/b"), Some(3));
    assert_eq!(find(&table, "h", "/a/b/"), Some(2));
    assert_eq!(find(&table, "h", "/a/c"), Some(1));
    assert_eq!(find(&table, "h", "/"), Some(0));
    assert_eq!(find(&table, "h", "*"), None, "an asterisk is no path");
}

#[test]
fn a_method_then_the_number_of_header_conditions_then_the_order_decide() {
    let header = |name: &'static str, value: Option<&'static str>| HeaderMatch {
        name: HeaderName::from_static(name),
        value: value.map(HeaderValue::from_static),
    };
    let mut routes = vec![route("", PathMatch::any()); 5];
    routes[1].headers = vec![header("a", Some("1"))];
    routes[2].headers = vec![header("a", Some("1")), header("b", None)];
    routes[3].methods = vec![Method::POST];
    let table = table(&routes);
    let one: HeaderMap = [(HeaderName::from_static("a"), HeaderValue::from_static("1"))].into_iter().collect();
    let mut two = one.clone();
    two.insert("b", HeaderValue::from_static("x"));
    assert_eq!(find_with(&table, "h", "/", &Method::GET, &HeaderMap::new()), Some(0), "order");
    assert_eq!(find_with(&table, "h", "/", &Method::GET, &one), Some(1));
    assert_eq!(find_with(&table, "h", "/", &Method::GET, &two), Some(2));
    assert_eq!(find_with(&table, "h", "/", &Method::POST, &two), Some(3));
}

#[test]
fn less_specific_hosts_are_tried_when_the_most_specific_has_no_matching_route() {
    let mut routes = vec![
        route("a.b", PathMatch::prefix("/only")),
        route("*.b", PathMatch::prefix("/wild")),
        route("", PathMatch::any()),
    ];
    routes[0].methods = vec![Method::GET];
    let table = table(&routes);
    assert_eq!(find(&table, "a.b", "/only"), Some(0));
    assert_eq!(find(&table, "a.b", "/wild"), Some(1));
    assert_eq!(find(&table, "a.b", "/else"), Some(2));
}

#[test]
fn a_route_may_be_for_some_listeners_only() {
    let mut routes = vec![route("", PathMatch::any())];
    routes[0].listeners = vec!["l7".parse().unwrap()];
    let table = table(&routes);
    let headers = HeaderMap::new();
    let question = |listener| Question { host: "h", path: "/", method: &Method::GET, headers: &headers, listener };
    assert_eq!(table.find(question(number(7))), Some(0));
    assert_eq!(table.find(question(number(0))), None);
    assert_eq!(table.find(question(None)), None, "nor for a request that came by none");
}

/// A route for a prefix, which ignores parameters (`;`), or merges slashes (`/`), or ignores case (`a`), or decodes slashes (`%`).
fn loose(keys: &str, prefix: &str) -> Route {
    let folding = PathFolding {
        decode_slashes: keys.contains('%'),
        ignore_parameters: keys.contains(';'),
        merge_slashes: keys.contains('/'),
        ignore_case: keys.contains('a'),
    };
    Route { folding, ..route("", PathMatch::prefix(prefix).folded(folding)) }
}

#[test]
fn a_guard_takes_every_spelling_of_its_path_whatever_other_routes_there_are() {
    let table = table(&[
        route("", PathMatch::any()),
        route("", PathMatch::prefix("/static")),
        route("", PathMatch::prefix("/static/deep/er")),
        loose("%;/a", "/admin"),
    ]);
    for path in [
        "/admin",
        "/admin/x",
        "/ADMIN",
        "//admin",
        "/admin//x",
        "/admin;x=1",
        "/;x/admin",
        "/static/..;/admin",
        "/static/deep/er/..;a/..;b/..;/Admin/x",
        "/static%2F..%2Fadmin",
        "/static%2F..%5Cadmin",
        "/static//..;/admin",
        "/..;/admin",
    ] {
        assert_eq!(find(&table, "h", path), Some(3), "{path}");
    }
    for (path, index) in [("/", 0), ("/administrator", 0), ("/x/admin", 0), ("/static/..;/x", 1), ("/Static", 0)] {
        assert_eq!(find(&table, "h", path), Some(index), "{path}");
    }
}

#[test]
fn a_route_takes_other_spellings_only_if_it_says_so() {
    let table = table(&[loose("a", "/case"), loose("/", "/merge"), loose(";", "/cut"), loose("%", "/slash")]);
    for (path, index) in [("/CASE/x", 0), ("//merge", 1), ("/cut;x/y", 2), ("/slash%2Fx", 3)] {
        assert_eq!(find(&table, "h", path), Some(index), "{path}");
    }
    for path in ["//case", "/case;x", "/MERGE", "/merge;x", "/Cut", "//cut", "/Slash", "/case%2Fx"] {
        assert_eq!(find(&table, "h", path), None, "{path}");
    }
}

#[test]
fn of_strict_and_loose_routes_the_more_specific_one_wins() {
    let mut routes = vec![
        loose("a", "/admin"),
        route("", PathMatch::prefix("/admin/Help")),
        route("", PathMatch::Exact("/admin".into())),
        loose("a/", "/admin"),
        route("", PathMatch::prefix("/other")),
        loose("a", "/other"),
    ];
    routes[3].methods = vec![Method::PUT];
    let table = table(&routes);
    let put = |path| find_with(&table, "h", path, &Method::PUT, &HeaderMap::new());
    assert_eq!(find(&table, "h", "/admin/Help/Me"), Some(1), "a longer prefix, and an exception that was written");
    assert_eq!(find(&table, "h", "/admin/help"), Some(0), "which is for no other spelling");
    assert_eq!(find(&table, "h", "/admin"), Some(2), "exact");
    assert_eq!(find(&table, "h", "/Admin"), Some(0));
    assert_eq!((put("/admin/x"), put("/ADMIN//x")), (Some(3), Some(3)), "one with a method");
    assert_eq!((find(&table, "h", "/other"), find(&table, "h", "/Other")), (Some(4), Some(5)), "the first in the file");
}

#[test]
fn a_loose_route_changes_nothing_for_paths_that_it_does_not_take() {
    let strict =
        [route("", PathMatch::any()), route("", PathMatch::prefix("/a")), route("", PathMatch::prefix("/a/b"))];
    let (without, with) = (table(&strict), table(&[&strict[..], &[loose("%;/a", "/guarded")]].concat()));
    for path in ["/", "/a", "/A/b", "/a//b", "/a/b/..;/c", "/a;x/b", "/a%2Fb", "//", "/a/..;/a/b"] {
        assert_eq!(find(&without, "h", path), find(&with, "h", path), "{path}");
    }
}

proptest! {
    #[test]
    fn no_spelling_walks_around_a_guard(
        start in prop::collection::vec("[/;]|a|A|\\.\\.;|%2F|;x|/s|/static|/\\.\\.%2F", 0..6),
        end in "(;x)?(/|//|%2F|%5C)?[a-zA-Z;/.]{0,6}",
        letters in prop::array::uniform5(any::<bool>()),
    ) {
        let admin: String = "admin".chars().zip(letters).map(|(c, up)| if up { c.to_ascii_uppercase() } else { c }).collect();
        let path = format!("/{}/{admin}{end}", start.concat());
        let Ok(path) = normalise_path(&path) else { return Ok(()) };
        let table = table(&[
            route("", PathMatch::any()),
            route("", PathMatch::prefix("/static")),
            route("", PathMatch::prefix("/s/static")),
            loose("a", "/a"),
            loose(";", "/s"),
            loose("%;/a", "/admin"),
        ]);
        let read = PathFolding { decode_slashes: true, ignore_parameters: true, merge_slashes: true, ignore_case: true };
        let folded = read.fold(&path);
        let guarded = folded == "/admin" || folded.starts_with("/admin/");
        prop_assert_eq!(find(&table, "h", &path) == Some(5), guarded, "{} {}", path, folded);
    }
}

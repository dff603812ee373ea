use super::*;
use evenkeel_model::{HeaderMatch, RouteName};
use http::{HeaderName, HeaderValue};

fn route(host: &str, path: PathMatch) -> Route {
    Route {
        name: RouteName::derived(host),
        listeners: vec![],
        hosts: if host.is_empty() { vec![] } else { vec![host.parse().unwrap()] },
        path,
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

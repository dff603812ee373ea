//! Which requests go to which upstream: hosts, paths, methods, headers, listeners, and who wins.

use evenkeel_testkit::{Builder, Origin, Place, Proxy, Wire};
use std::fmt::Write;

/// A proxy with these routes in this order, each to an upstream of its own, whose origin has the route's name.
async fn routed(routes: &[(&str, &str)]) -> (Proxy, Vec<Origin>) {
    let (builder, origins) = described("[listeners.web]\nlisten = \"127.0.0.1:0\"\n", routes).await;
    (builder.start().await, origins)
}

async fn described(listeners: &str, routes: &[(&str, &str)]) -> (Builder, Vec<Origin>) {
    let (mut text, mut origins) = (listeners.to_owned(), Vec::new());
    for (name, conditions) in routes {
        let origin = Origin::http1().named(name).start().await;
        write!(
            text,
            "[[routes]]\nname = \"{name}\"\n{conditions}\nupstream = \"{name}\"\n\n\
             [upstreams.{name}]\nendpoints = [\"{origin}\"]\n\n"
        )
        .expect("text can be written to");
        origins.push(origin);
    }
    (Proxy::with_config(&text), origins)
}

/// Who answers: the origin's name, or the status of the proxy's own answer.
async fn answers(proxy: &Proxy, host: &str, path: &str) -> String {
    who(&proxy.client().get(path).host(host).send().await)
}

fn who(response: &evenkeel_testkit::Response) -> String {
    if response.origin().is_empty() { response.status.to_string() } else { response.origin().to_owned() }
}

#[tokio::test]
async fn an_exact_host_wins_over_a_wildcard_and_the_longest_wildcard_over_the_others() {
    let (proxy, _origins) = routed(&[
        ("all", ""),
        ("short", "hosts = [\"*.example.com\"]"),
        ("long", "hosts = [\"*.eu.example.com\"]"),
        ("exact", "hosts = [\"api.eu.example.com\", \"other.org\"]"),
    ])
    .await;

    for (host, name) in [
        ("api.eu.example.com", "exact"),
        ("other.org", "exact"),
        ("www.eu.example.com", "long"),
        ("a.b.c.eu.example.com", "long"),
        ("eu.example.com", "short"),
        ("a.example.com", "short"),
        ("example.com", "all"),
        ("10.0.0.1", "all"),
    ] {
        assert_eq!(answers(&proxy, host, "/").await, name, "{host}");
    }
}

#[tokio::test]
async fn port_case_and_a_trailing_dot_of_the_host_do_not_matter() {
    let (proxy, _origins) =
        routed(&[("exact", "hosts = [\"Example.com\"]"), ("wild", "hosts = [\"*.example.com\"]")]).await;

    for host in ["example.com", "EXAMPLE.COM", "example.com:8080", "example.com.", "Example.Com.:80"] {
        assert_eq!(answers(&proxy, host, "/").await, "exact", "{host}");
    }
    assert_eq!(answers(&proxy, "WWW.example.com.:1", "/").await, "wild");
}

#[tokio::test]
async fn a_prefix_matches_whole_path_elements() {
    let (proxy, _origins) = routed(&[("v1", "path_prefix = \"/v1/\""), ("v2", "path_prefix = \"/v2\"")]).await;

    for (path, name) in [
        ("/v1", "v1"),
        ("/v1/", "v1"),
        ("/v1/x", "v1"),
        ("/v1?q=1", "v1"),
        ("/v2", "v2"),
        ("/v2/x/y", "v2"),
        ("/v1x", "404"),
        ("/v", "404"),
        ("/V1", "404"),
        ("/", "404"),
    ] {
        assert_eq!(answers(&proxy, "a", path).await, name, "{path}");
    }
}

#[tokio::test]
async fn an_exact_path_wins_over_prefixes_and_the_longest_prefix_over_the_others_in_any_order() {
    let (proxy, _origins) = routed(&[
        ("root", "path_prefix = \"/\""),
        ("a", "path_prefix = \"/a\""),
        ("abc", "path_prefix = \"/a/b/c\""),
        ("ab", "path_prefix = \"/a/b\""),
        ("exact", "path = \"/a/b/c/d\""),
    ])
    .await;

    for (path, name) in [
        ("/", "root"),
        ("/b", "root"),
        ("/a/x", "a"),
        ("/a/b", "ab"),
        ("/a/b/cc", "ab"),
        ("/a/b/c", "abc"),
        ("/a/b/c/d/e", "abc"),
        ("/a/b/c/d/", "abc"),
        ("/a/b/c/d", "exact"),
    ] {
        assert_eq!(answers(&proxy, "a", path).await, name, "{path}");
    }
}

#[tokio::test]
async fn after_host_and_path_the_method_decides_then_the_number_of_headers_then_the_order() {
    let (proxy, _origins) = routed(&[
        ("any", ""),
        ("other", "headers = { x-c = true }"),
        ("post", "methods = [\"POST\", \"PUT\"]"),
        ("one", "headers = { x-a = \"1\" }"),
        ("two", "headers = { x-a = \"1\", x-b = true }"),
    ])
    .await;
    let client = proxy.client();

    assert_eq!(who(&client.get("/").send().await), "any");
    assert_eq!(who(&client.post("/", "x").send().await), "post");
    assert_eq!(who(&client.post("/", "x").header("x-a", "1").send().await), "post");
    assert_eq!(who(&client.get("/").header("x-a", "1").send().await), "one");
    assert_eq!(who(&client.get("/").header("x-a", "2").send().await), "any");
    assert_eq!(who(&client.get("/").header("x-a", "1").header("x-b", "anything").send().await), "two");
    assert_eq!(who(&client.get("/").header("x-a", "0").header("x-a", "1").send().await), "one");
    // As many conditions each: the first in the file.
    assert_eq!(who(&client.get("/").header("x-a", "1").header("x-c", "1").send().await), "other");
}

#[tokio::test]
async fn a_host_whose_routes_do_not_match_is_tried_as_a_less_specific_one() {
    let (proxy, _origins) = routed(&[
        ("exact", "hosts = [\"api.example.com\"]\npath_prefix = \"/v1\""),
        ("wild", "hosts = [\"*.example.com\"]\npath_prefix = \"/v2\""),
        ("all", "path_prefix = \"/v3\""),
    ])
    .await;

    for (path, name) in [("/v1", "exact"), ("/v2", "wild"), ("/v3", "all"), ("/v4", "404")] {
        assert_eq!(answers(&proxy, "api.example.com", path).await, name, "{path}");
    }
}

#[tokio::test]
async fn what_no_route_matches_is_a_404_that_says_so_and_is_counted() {
    let (proxy, origins) = routed(&[("known", "hosts = [\"known.org\"]")]).await;

    let response = proxy.client().get("/").host("unknown.org").send().await;

    assert_eq!(response.status, 404);
    assert!(response.header("x-request-id").is_some_and(|id| !id.is_empty()), "{response:?}");
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{response:?}");
    assert!(response.text().contains("no_route") && response.body.len() < 500, "{}", response.text());
    assert_eq!(origins[0].requests(), 0);
    proxy.counts_local("no_route", 1).await;
}

#[tokio::test]
async fn a_404_keeps_the_connection() {
    let (proxy, _origins) = routed(&[("known", "hosts = [\"known.org\"]")]).await;
    let client = proxy.client();

    assert_eq!(client.get("/").host("unknown.org").repeat(3).statuses().await, [404; 3]);
    assert_eq!(client.get("/").host("known.org").status().await, 200);
    assert_eq!(client.connections(), 1);
}

#[tokio::test]
async fn a_route_serves_all_listeners_or_only_those_it_names() {
    let listeners = "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[listeners.internal]\nlisten = \"127.0.0.1:0\"\n";
    let (builder, _origins) =
        described(listeners, &[("everywhere", ""), ("inside", "path_prefix = \"/admin\"\nlisteners = [\"internal\"]")])
            .await;
    let proxy = builder.start().await;

    for (listener, path, name) in [
        ("web", "/", "everywhere"),
        ("internal", "/", "everywhere"),
        ("web", "/admin", "everywhere"),
        ("internal", "/admin", "inside"),
    ] {
        assert_eq!(who(&proxy.client_of(listener).get(path).send().await), name, "{listener}{path}");
    }
}

#[tokio::test]
async fn the_path_that_is_routed_is_the_path_that_is_forwarded() {
    let (proxy, origins) = routed(&[("open", ""), ("secret", "path_prefix = \"/secret\"")]).await;

    for (sent, name, forwarded) in [
        ("/open/../secret/x", "secret", "/secret/x"),
        ("/open/%2e%2e/secret", "secret", "/secret"),
        ("/secret/./y", "secret", "/secret/y"),
        ("/%73ecret/%7Ex?%61", "secret", "/secret/~x?%61"),
        ("/x/%2e%2e/s%65cret", "secret", "/secret"),
        ("/open%2fsecret?a=/../b", "open", "/open%2Fsecret?a=/../b"),
    ] {
        let request = format!("GET {sent} HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = Wire::exchange(proxy.web(), request).await;
        assert_eq!(response.header("x-origin"), Some(name), "{sent}");
        let origin = &origins[usize::from(name == "secret")];
        assert_eq!(origin.last_seen().target, forwarded, "{sent}");
    }
}

#[tokio::test]
async fn a_host_and_a_path_may_be_told_apart_over_many_routes() {
    let hosts = 20;
    let names: Vec<_> = (0..hosts).map(|n| format!("r{n}")).collect();
    let conditions: Vec<_> = (0..hosts).map(|n| format!("hosts = [\"h{n}.org\"]\npath_prefix = \"/p{n}\"")).collect();
    let routes: Vec<_> = names.iter().map(String::as_str).zip(conditions.iter().map(String::as_str)).collect();
    let (proxy, _origins) = routed(&routes).await;

    for n in 0..hosts {
        assert_eq!(answers(&proxy, &format!("h{n}.org"), &format!("/p{n}/x")).await, format!("r{n}"));
        assert_eq!(answers(&proxy, &format!("h{n}.org"), &format!("/p{}", n + 1)).await, "404");
    }
}

#[tokio::test]
async fn one_worker_alone_serves_all_listeners() {
    let listeners = "[listeners.a]\nlisten = \"127.0.0.1:0\"\n[listeners.b]\nlisten = \"[::1]:0\"\n";
    let (builder, _origins) = described(listeners, &[("all", "")]).await;
    let proxy = builder.workers(1).start().await;

    for listener in ["a", "b"] {
        assert_eq!(proxy.client_of(listener).get("/").repeat(5).origins().await, ["all"; 5]);
    }
    assert!(matches!(proxy.at("b"), Place::Tcp(address) if address.is_ipv6()));
}

//! Routes that guard: what they see of a request is what its endpoint will see, and no other spelling of a path walks around them.

use evenkeel_testkit::{Client, Origin, Proxy, RawResponse, Wire};
use std::fmt::Write;

/// A proxy with these routes in this order, each to an endpoint with the route's name; `top` is for the file's first lines.
async fn routed(top: &str, routes: &[(&str, &str)]) -> (Proxy, Vec<Origin>) {
    let (mut text, mut origins) = (format!("{top}\n[listeners.web]\nlisten = \"127.0.0.1:0\"\n"), Vec::new());
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
    (Proxy::with_config(&text).start().await, origins)
}

async fn ask(proxy: &Proxy, target: &str, fields: &str) -> RawResponse {
    Wire::exchange(proxy.web(), format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")).await
}

/// The route that a request with these fields takes.
async fn route(proxy: &Proxy, target: &str, fields: &str) -> String {
    let answer = ask(proxy, target, fields).await;
    answer.header("x-origin").map_or_else(|| answer.status.to_string(), str::to_owned)
}

#[tokio::test]
async fn a_route_never_sees_what_a_stranger_says_of_the_way_a_request_came() {
    let (proxy, _origins) = routed(
        "",
        &[
            ("open", ""),
            ("cert", "headers = { \"x-forwarded-client-cert\" = true }"),
            ("https", "headers = { \"x-forwarded-proto\" = \"https\" }"),
            ("host", "headers = { \"x-forwarded-host\" = \"inside\" }"),
            ("client", "headers = { \"x-forwarded-for\" = \"10.0.0.1\" }"),
            ("address", "headers = { \"x-real-ip\" = true }"),
            ("port", "headers = { \"x-forwarded-port\" = true }"),
            ("written", "headers = { \"x_forwarded_for\" = true }"),
            ("chain", "headers = { forwarded = true }"),
            ("setting", "headers = { proxy = true }"),
        ],
    )
    .await;

    for claim in [
        "X-Forwarded-Client-Cert: Subject=\"CN=admin\"",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: inside",
        "X-Forwarded-For: 10.0.0.1",
        "X-Real-IP: 10.0.0.1",
        "X_Real_IP: 10.0.0.1",
        "X-Forwarded-Port: 443",
        "X_Forwarded_For: 10.0.0.1",
        "Forwarded: for=10.0.0.1",
        "Proxy: http://inside/",
    ] {
        assert_eq!(route(&proxy, "/", &format!("{claim}\r\n")).await, "open", "{claim}");
    }
}

#[tokio::test]
async fn a_route_never_sees_fields_that_go_no_further() {
    let (proxy, _origins) = routed(
        "",
        &[
            ("open", ""),
            ("named", "headers = { \"x-inside\" = true }"),
            ("kept", "headers = { \"keep-alive\" = true }"),
            ("coded", "headers = { te = true }"),
        ],
    )
    .await;

    assert_eq!(route(&proxy, "/", "X-Inside: 1\r\n").await, "named");
    assert_eq!(route(&proxy, "/", "X-Inside: 1\r\nConnection: x-inside\r\n").await, "open", "the endpoint gets none");
    assert_eq!(route(&proxy, "/", "Keep-Alive: timeout=5\r\n").await, "open");
    assert_eq!(route(&proxy, "/", "TE: gzip\r\n").await, "open");
    assert_eq!(route(&proxy, "/", "TE: trailers\r\n").await, "coded", "it is passed on");
}

#[tokio::test]
async fn a_route_sees_what_the_endpoint_is_told_of_a_client() {
    let routes =
        [("open", ""), ("http", "headers = { \"x-forwarded-proto\" = \"http\", \"x-forwarded-for\" = \"127.0.0.1\" }")];
    let (proxy, origins) = routed("", &routes).await;

    assert_eq!(route(&proxy, "/", "X-Forwarded-Proto: https\r\n").await, "http");
    assert_eq!(origins[1].last_seen().header_all("x-forwarded-proto"), ["http"]);
}

#[tokio::test]
async fn a_route_believes_what_a_trusted_proxy_says_and_no_stranger() {
    let (proxy, _origins) = routed(
        "trusted_proxies = [\"127.0.0.1/32\"]",
        &[
            ("open", ""),
            ("https", "headers = { \"x-forwarded-proto\" = \"https\" }"),
            ("address", "headers = { \"x-real-ip\" = true }"),
        ],
    )
    .await;
    let stranger = Client::of(proxy.web()).from_address([127, 0, 0, 2].into());

    assert_eq!(route(&proxy, "/", "X-Forwarded-Proto: https\r\n").await, "https");
    assert_eq!(route(&proxy, "/", "X-Real-IP: 10.0.0.1\r\n").await, "address");
    assert_eq!(stranger.get("/").header("x-forwarded-proto", "https").send().await.origin(), "open");
}

#[tokio::test]
async fn what_a_trusted_proxy_says_of_a_client_cannot_be_named_away() {
    let (proxy, origins) = routed(
        "trusted_proxies = [\"127.0.0.1/32\"]",
        &[("open", ""), ("https", "headers = { \"x-forwarded-proto\" = \"https\" }")],
    )
    .await;
    let fields = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b.test\r\n\
                  Connection: close, x-forwarded-for, X-Forwarded-Proto, x-forwarded-host\r\n";

    assert_eq!(route(&proxy, "/", fields).await, "https");

    let seen = origins[1].last_seen();
    assert_eq!(seen.header_all("x-forwarded-for").join(", "), "203.0.113.9, 127.0.0.1");
    assert_eq!(seen.header("x-forwarded-host"), Some("b.test"));
}

#[tokio::test]
async fn a_route_sees_an_upgrade_if_it_is_asked_for_by_the_rules() {
    let (proxy, origins) = routed(
        "",
        &[
            ("open", ""),
            ("sockets", "headers = { upgrade = \"websocket\" }"),
            ("none", "path_prefix = \"/none\"\nupgrades = []\nheaders = { upgrade = true }"),
            ("old", "headers = { upgrade = \"h2c\" }"),
        ],
    )
    .await;
    let asks = "Connection: upgrade\r\nUpgrade: WebSocket\r\n";

    assert_eq!(route(&proxy, "/", asks).await, "sockets");
    assert_eq!(origins[1].last_seen().header_all("upgrade"), ["websocket"]);
    assert_eq!(route(&proxy, "/", "Upgrade: websocket\r\n").await, "open", "Connection does not announce it");
    assert_eq!(route(&proxy, "/", "Connection: upgrade\r\nUpgrade: h2c\r\n").await, "open");
    assert_eq!(route(&proxy, "/none", asks).await, "none");
    let seen = origins[2].last_seen();
    assert_eq!((seen.header("upgrade"), seen.header("connection")), (None, None), "this route allows none");
}

#[tokio::test]
async fn an_upgrade_that_a_route_does_not_allow_takes_no_trailers_with_it() {
    let (proxy, origins) = routed("", &[("none", "upgrades = []")]).await;

    let fields = "Connection: upgrade, te\r\nUpgrade: websocket\r\nTE: trailers\r\n";
    assert_eq!(route(&proxy, "/", fields).await, "none");

    let seen = origins[0].last_seen();
    assert_eq!((seen.header("upgrade"), seen.header("connection")), (None, Some("te")));
    assert_eq!(seen.header("te"), Some("trailers"));
}

/// A proxy whose endpoint must never see a path for `/admin`, in whatever spelling.
async fn guarded() -> (Proxy, Origin) {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_config(&format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\n\
         [[routes]]\npath_prefix = \"/admin\"\nignore_case = true\nmerge_slashes = true\n\
         ignore_path_parameters = true\ndecode_slashes = true\n\
         filters = [{{ fixed_response = {{ status = 403 }} }}]\n\
         [[routes]]\nupstream = \"site\"\n[[routes]]\npath_prefix = \"/static\"\nupstream = \"site\"\n\
         [upstreams.site]\nendpoints = [\"{origin}\"]\n"
    ));
    (proxy.start().await, origin)
}

#[tokio::test]
async fn no_spelling_of_a_path_walks_around_the_route_that_guards_it() {
    let (proxy, origin) = guarded().await;

    for target in [
        "/admin",
        "/admin/users?x",
        "/%61dmin",
        "/%41DMIN",
        "/Admin/",
        "//admin",
        "///admin//users",
        "/admin;jsessionid=1",
        "/;x/admin/users",
        "/static/..;/admin",
        "/static/..;x=1/%2e/ADMIN;y",
        "/static/%2e%2e/admin",
        "/static/.%2e;/admin",
        "/static%2f..%2fadmin",
        "/admin%2Fusers",
        "/admin%5cusers",
        "/static//..;/%2f/;/aDmin",
        "http://a.test//admin",
    ] {
        assert_eq!(ask(&proxy, target, "").await.status, 403, "{target}");
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_guard_changes_nothing_of_what_it_does_not_take() {
    let (proxy, origin) = guarded().await;

    for target in
        ["/", "/administrator", "/x/Admin;y", "/static/..;/Free//x", "/static%2Fx;y", "/a//b?//admin", "/?/admin"]
    {
        assert_eq!(ask(&proxy, target, "").await.status, 200, "{target}");
        assert_eq!(origin.last_seen().target, target);
    }
}

#[tokio::test]
async fn the_endpoint_of_a_route_that_reads_loosely_sees_the_path_as_it_came() {
    let (proxy, origins) =
        routed("", &[("open", ""), ("shop", "path_prefix = \"/Shop\"\nignore_case = true\nmerge_slashes = true")])
            .await;

    for target in ["/shop/A", "/SHOP//a/?Q=//x", "//Shop"] {
        assert_eq!(route(&proxy, target, "").await, "shop", "{target}");
        assert_eq!(origins[1].last_seen().target, target);
    }
    assert_eq!(route(&proxy, "/Shop;x", "").await, "open", "this key is not written");
}

#[tokio::test]
async fn a_prefix_is_rewritten_as_the_route_reads_the_path() {
    let keys = "ignore_case = true\nmerge_slashes = true\nignore_path_parameters = true\ndecode_slashes = true";
    let conditions = format!("path_prefix = \"/shop\"\n{keys}\nfilters = [{{ prefix_rewrite = \"/\" }}]");
    let (proxy, origins) = routed("", &[("shop", &conditions)]).await;

    for (target, forwarded) in [
        ("/SHOP/Cart?A=//;b", "/Cart?A=//;b"),
        ("//shop//Cart", "/Cart"),
        ("/x/..;/shop/Cart;y=1", "/Cart"),
        ("/shop%2F..%2fshop%2fCart", "/Cart"),
        ("/Shop;x", "/"),
    ] {
        assert_eq!(route(&proxy, target, "").await, "shop", "{target}");
        assert_eq!(origins[0].last_seen().target, forwarded, "{target}");
    }
}

//! What comes before the bytes: PROXY headers, in and out, and TLS that ends here.

use super::{echo, ended, is_quiet, leading, to};
use evenkeel_testkit::{Authority, Builder, Ending, Proxy, RawOrigin, Script, TlsClient, Wire, eventually};
use std::fmt::Display;

const BEHIND: &str = "proxy_protocol = true\nproxy_protocol_from = [\"127.0.0.1/32\"]";

/// A tcp listener with TLS for `a.test` and `b.test`.
fn secure(listener: &str, endpoint: impl Display) -> (Authority, Builder) {
    let authority = Authority::new("Test Authority");
    let tls = "tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]";
    let builder = leading(&format!("{tls}\n{listener}"), [endpoint], "");
    authority.server(&["a.test", "b.test"]).make().write(builder.folder(), "site");
    (authority, builder)
}

#[tokio::test]
async fn an_endpoint_that_wants_to_know_is_told_for_whom() {
    let origin = RawOrigin::start(Script::new()).await;
    let proxy = leading("", [&origin], "proxy_protocol = \"v1\"").start().await;
    let mut wire = proxy.wire().await;
    wire.send("hello").await;

    eventually("the bytes arrive", || origin.received(0).ends_with(b"hello")).await;
    let received = String::from_utf8(origin.received(0)).unwrap();
    let words: Vec<_> = received.split_ascii_whitespace().collect();
    let ours = proxy.web().port().to_string();
    assert!(
        matches!(words[..], ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1", _, port, "hello"] if port == ours),
        "{received:?}"
    );
}

#[tokio::test]
async fn a_client_that_a_balancer_names_is_the_client() {
    let origin = RawOrigin::start(Script::new()).await;
    let proxy = leading(BEHIND, [&origin], "proxy_protocol = \"v1\"").start().await;
    let header = "PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n";
    let mut wire = proxy.wire().await;
    wire.send(format!("{header}hello")).await;

    eventually("the bytes arrive", || origin.received(0) == format!("{header}hello").as_bytes()).await;

    drop(wire);
    assert_eq!(proxy.access_log_with(1).await[0]["client"], "203.0.113.7");
}

#[tokio::test]
async fn a_connection_without_the_header_it_must_have_is_no_session() {
    let origin = RawOrigin::start(Script::new()).await;
    let proxy = leading(BEHIND, [&origin], "").start().await;
    let mut wire = proxy.wire().await;
    wire.send("hello, this is no header of the PROXY protocol\r\n").await;
    wire.closed().await;

    let name = "evenkeel_proxy_protocol_errors_total";
    let metrics = proxy.metrics_show("it is counted", |m| m.sum(name, &[("reason", "missing")]) > 0.5).await;
    assert_eq!((metrics.sum(super::SESSIONS, &[]), origin.connections()), (0.0, 0));
}

#[tokio::test]
async fn tls_may_end_here_and_nothing_is_agreed_upon_inside() {
    let (authority, builder) = secure("", echo().await);
    let proxy = builder.start().await;

    let mut secured = TlsClient::new(&authority, "a.test").connect(proxy.web()).await;

    assert_eq!(secured.protocol, None);
    let piece = vec![7; 200_000];
    secured.wire.send(&piece).await;
    assert!(secured.wire.bytes(piece.len()).await == piece);
    secured.wire.finish().await;
    assert_eq!(secured.wire.closed().await, Ending::Fin);
    let metrics = ended(&proxy, "complete", 1).await;
    assert_eq!(metrics.sum("evenkeel_tls_handshakes_total", &[("result", "full")]), 1.0);
    assert_eq!(metrics.sum("evenkeel_bytes_total", &[("direction", "in")]), 200_000.0);
    assert_eq!(proxy.access_log_with(1).await[0]["bytes_out"], 200_000);
    is_quiet(&proxy).await;
}

#[tokio::test]
async fn inside_of_tls_one_side_may_end_while_the_other_goes_on() {
    let origin = RawOrigin::start(Script::new().sends("that is all").finishes_writing()).await;
    let (authority, builder) = secure("", &origin);
    let proxy = builder.start().await;
    let mut secured = TlsClient::new(&authority, "a.test").connect(proxy.web()).await;
    assert_eq!(secured.wire.bytes(11).await, b"that is all");

    secured.wire.send("the rest").await;
    secured.wire.finish().await;

    assert_eq!(origin.is_left(0).await, Ending::Fin);
    assert_eq!(origin.received(0), b"the rest");
    ended(&proxy, "complete", 1).await;
}

#[tokio::test]
async fn tls_that_ends_here_is_led_by_its_name_too() {
    let (site, other) = (echo().await, RawOrigin::start(Script::new().sends("other").stalls()).await);
    let (authority, builder) = secure("sni = [{ hosts = [\"b.test\"], upstream = \"other\" }]", site);
    let text = format!("{}[upstreams.other]\nendpoints = [\"{other}\"]\n", builder.text());
    let whole = Proxy::with_config(&text);
    authority.server(&["a.test", "b.test"]).make().write(whole.folder(), "site");
    let proxy = whole.start().await;

    let mut secured = TlsClient::new(&authority, "b.test").connect(proxy.web()).await;
    assert_eq!(secured.wire.bytes(5).await, b"other");
    let mut secured = TlsClient::new(&authority, "a.test").connect(proxy.web()).await;
    secured.wire.send("hello").await;
    assert_eq!(secured.wire.bytes(5).await, b"hello");
}

#[tokio::test]
async fn tls_may_begin_here_on_the_way_to_the_endpoint() {
    let (authority, inner) = secure("", echo().await);
    let inner = inner.start().await;
    let tls = "tls = { ca = \"ca.pem\", server_name = \"a.test\" }";
    let builder = leading("", [inner.web()], tls);
    std::fs::write(builder.folder().join("ca.pem"), authority.pem()).unwrap();
    let proxy = builder.start().await;

    let mut wire = proxy.wire().await;
    wire.send("hello").await;
    assert_eq!(wire.bytes(5).await, b"hello");
    wire.finish().await;
    assert_eq!(wire.closed().await, Ending::Fin);

    let metrics = ended(&inner, "complete", 1).await;
    assert_eq!(metrics.sum("evenkeel_tls_handshakes_total", &[("result", "full")]), 1.0);
    ended(&proxy, "complete", 1).await;
}

#[tokio::test]
async fn who_speaks_without_tls_gets_no_answer_in_http() {
    let (_authority, builder) = secure("", echo().await);
    let proxy = builder.start().await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    wire.closed().await;

    let name = "evenkeel_tls_handshakes_total";
    let metrics = proxy.metrics_show("it is counted", |m| m.sum(name, &[("result", "plain_http")]) > 0.5).await;
    assert_eq!((metrics.sum("evenkeel_requests_total", &[]), metrics.sum(super::SESSIONS, &[])), (0.0, 0.0));
}

#[tokio::test]
async fn unix_sockets_serve_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let inner = to(echo().await);
    let inside = folder.path().join("inside.sock");
    let text = inner
        .text()
        .replace("listen = \"127.0.0.1:0\"\nprotocol", &format!("listen = \"unix:{}\"\nprotocol", inside.display()));
    let inner = Proxy::with_config(&text).start().await;
    let proxy = to(inner.web()).start().await;

    let mut wire: Wire = proxy.wire().await;
    wire.send("hello").await;
    assert_eq!(wire.bytes(5).await, b"hello");
    wire.finish().await;
    assert_eq!(wire.closed().await, Ending::Fin);
    ended(&inner, "complete", 1).await;
    ended(&proxy, "complete", 1).await;
}

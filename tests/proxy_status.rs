//! Why an answer is ours, for those who are told: the field `Proxy-Status` of RFC 9209.

use evenkeel_testkit::{DeadEndpoint, Origin, Proxy, RawOrigin, Script, Wire};

const TELLING: &str = "proxy_status = true";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn status_of(proxy: &Proxy, request: &str) -> (u16, Vec<String>) {
    let response = Wire::exchange(proxy.web(), request).await;
    (response.status, response.header_all("proxy-status").into_iter().map(str::to_owned).collect())
}

fn error(kind: &str) -> Vec<String> {
    vec![format!("evenkeel; error={kind}")]
}

#[tokio::test]
async fn nobody_is_told_unless_the_listener_says_so() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    assert_eq!(status_of(&proxy, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").await, (405, vec![]));
}

#[tokio::test]
async fn a_refused_request_is_told_its_kind() {
    let origin = Origin::http1().start().await;
    let more =
        "[[routes]]\npath = \"/fixed\"\nfilters = [{ fixed_response = { status = 204 } }]\n[limits]\nbody_max = \"1B\"";
    let proxy = Proxy::with_upstream(&origin).listener(TELLING).route("hosts = [\"a\"]").more(more).start().await;

    for (request, status, kind) in [
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "http_request_denied"),
        ("GET / HTTP/1.1\r\nHost: other\r\n\r\n", 404, "destination_not_found"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "http_request_error"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxx", 413, "http_request_error"),
        ("GET /fixed HTTP/1.1\r\nHost: other\r\n\r\n", 204, "proxy_internal_response"),
    ] {
        assert_eq!(status_of(&proxy, request).await, (status, error(kind)), "{request}");
    }
    let via = "1.1 evenkeel, ".repeat(8);
    let looping = format!("GET / HTTP/1.1\r\nHost: a\r\nVia: {via}1.1 x\r\n\r\n");
    assert_eq!(status_of(&proxy, &looping).await, (508, error("proxy_loop_detected")));
    // What an endpoint answers is its own.
    assert_eq!(status_of(&proxy, GET).await, (200, vec![]));
}

#[tokio::test]
async fn a_failing_endpoint_is_told_by_how_it_failed() {
    for (script, status, kind) in [
        (Script::new().reads_request().closes(), 502, "connection_terminated"),
        (Script::answering("HTTP/1.1 200 OK\r\nContent Length: 0\r\n\r\n"), 502, "http_protocol_error"),
        (Script::answering("HTTP/1.1 101 X\r\n\r\n"), 502, "http_protocol_error"),
        (Script::new().reads_request().stalls(), 504, "http_response_timeout"),
    ] {
        let origin = RawOrigin::start(script).await;
        let upstream = "timeouts = { response_head = \"200ms\" }";
        let proxy = Proxy::with_upstream(&origin).listener(TELLING).upstream(upstream).start().await;
        assert_eq!(status_of(&proxy, GET).await, (status, error(kind)));
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_told_apart_from_one_that_may_not_be_asked() {
    let dead = DeadEndpoint::refusing();
    let proxy = Proxy::with_upstream(&dead).listener(TELLING).start().await;
    assert_eq!(status_of(&proxy, GET).await, (502, error("connection_refused")));

    let text = "[listeners.web]\nlisten = \"127.0.0.1:0\"\nproxy_status = true\n[[routes]]\nupstream = \"site\"\n\
                [upstreams.site]\nendpoints = [{ address = \"127.0.0.1:1\", drain = true }]\n";
    let proxy = Proxy::with_config(text).start().await;
    assert_eq!(status_of(&proxy, GET).await, (503, error("destination_unavailable")));
}

#[tokio::test]
async fn a_client_that_is_too_slow_with_its_head_is_told_as_well() {
    let origin = Origin::http1().start().await;
    let listener = format!("{TELLING}\ntimeouts = {{ request_head = \"200ms\" }}");
    let proxy = Proxy::with_upstream(&origin).listener(&listener).start().await;

    assert_eq!(status_of(&proxy, "GET / HT").await, (408, error("http_request_error")));
}

#[tokio::test]
async fn a_reload_turns_it_on_for_connections_that_are_open() {
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin).route("hosts = [\"a\"]");
    let text = builder.text();
    let proxy = builder.start().await;
    let request = "GET / HTTP/1.1\r\nHost: other\r\n\r\n";
    let mut wire = proxy.wire().await;
    wire.send(request).await;
    assert_eq!(wire.response().await.header("proxy-status"), None);

    proxy.reload_with(&text.replace("[listeners.web]\n", "[listeners.web]\nproxy_status = true\n")).await;

    wire.send(request).await;
    assert_eq!(wire.response().await.header("proxy-status"), Some("evenkeel; error=destination_not_found"));
}

//! Host: exactly one, valid, and the same for routing, the endpoint and the log (D3).

use evenkeel_testkit::{Origin, Proxy, RawResponse, Wire};

async fn refused(request: &str) -> RawResponse {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let mut wire = proxy.wire().await;

    wire.send(request).await;
    let response = wire.response().await;

    assert_eq!(response.status, 400, "{request:?}: {response:?}");
    wire.closed().await;
    assert_eq!(origin.requests(), 0, "{request:?}");
    proxy.counts_local("malformed_request", 1).await;
    response
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let response = refused("GET / HTTP/1.1\r\n\r\n").await;
    assert!(response.text().contains("malformed_request"), "{response:?}");
    assert!(response.header("x-request-id").is_some(), "{response:?}");
}

#[tokio::test]
async fn a_request_with_two_hosts_is_refused_even_if_they_are_equal() {
    refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n").await;
    refused("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
}

#[tokio::test]
async fn a_host_that_is_no_host_is_refused() {
    for host in
        ["", "a b", "a,b", "user@a", "a/b", "a?b", "a#b", "a:b", "a:99999", "[::1", "[x]", "a\\b", "a:80:80", "a\"b"]
    {
        refused(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    }
}

#[tokio::test]
async fn userinfo_in_an_absolute_target_is_refused() {
    refused("GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
}

#[tokio::test]
async fn valid_hosts_are_served() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    for host in ["a", "a.b-c_d", "10.0.0.1:80", "[::1]:8080", "[2001:db8::1]", "xn--bcher-kva.example", "a:"] {
        let response = Wire::exchange(proxy.web(), format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(response.status, 200, "{host}");
        assert_eq!(origin.last_seen().header("host"), Some(host));
    }
}

#[tokio::test]
async fn an_http_1_0_client_may_leave_the_host_away() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    let response = Wire::exchange(proxy.web(), "GET / HTTP/1.0\r\n\r\n").await;

    assert_eq!(response.status, 200);
    // What leaves is HTTP/1.1, so it has one.
    assert!(origin.last_seen().header("host").is_some());
}

//! Requests of clients: what is refused, what is taken off, what is passed on (D4, D6, D9, D10, D13, D16).

use evenkeel_testkit::{Origin, Proxy, RawOrigin, Script, Wire};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn recorded() -> (Proxy, RawOrigin) {
    let origin = RawOrigin::start(Script::answering(OK)).await;
    (Proxy::with_upstream(&origin).access_log().start().await, origin)
}

fn fields(request: &str) -> Vec<String> {
    request.split("\r\n").skip(1).take_while(|line| !line.is_empty()).map(str::to_ascii_lowercase).collect()
}

#[tokio::test]
async fn d4_connect_and_trace_are_refused() {
    for request in
        ["CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        let (proxy, origin) = recorded().await;
        let response = Wire::exchange(proxy.web(), request).await;
        assert!([405, 501].contains(&response.status), "{request}: {response:?}");
        assert_eq!(origin.connections(), 0);
        proxy.counts_local("method_refused", 1).await;
    }
}

#[tokio::test]
async fn d4_a_path_that_servers_read_in_different_ways_is_refused() {
    for path in ["/a\\b", "/../x", "/a/../../x", "/%2e%2e/x", "/%00", "/%zz", "/a%", "/caf\u{e9}", "/a\u{7f}b"] {
        let (proxy, origin) = recorded().await;
        let response = Wire::exchange(proxy.web(), format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(response.status, 400, "{path}: {response:?}");
        assert_eq!(origin.connections(), 0, "{path}");
        proxy.counts_local("malformed_request", 1).await;
    }
}

#[tokio::test]
async fn d4_an_encoded_slash_stays_encoded() {
    let (proxy, origin) = recorded().await;
    assert_eq!(proxy.client().get("/a%2Fb/%0d%0aX:y?c=%2e%2e").status().await, 200);
    assert!(origin.the_request().starts_with("GET /a%2Fb/%0D%0AX:y?c=%2e%2e HTTP/1.1\r\n"), "{}", origin.the_request());
}

#[tokio::test]
async fn d4_a_target_that_is_neither_path_nor_http_uri_is_refused() {
    for target in ["*", "example.com:80", "ftp://a/", "a", ""] {
        let (proxy, origin) = recorded().await;
        let response = Wire::exchange(proxy.web(), format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(response.status, 400, "{target:?}: {response:?}");
        assert_eq!(origin.connections(), 0, "{target:?}");
    }
}

#[tokio::test]
async fn d6_an_upgrade_to_h2c_is_taken_off_and_the_request_served() {
    let (proxy, origin) = recorded().await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";

    let response = Wire::exchange(proxy.web(), request).await;

    assert_eq!(response.status, 200);
    let fields = fields(&origin.the_request());
    assert!(fields.iter().all(|f| !f.starts_with("upgrade") && !f.starts_with("http2-settings")), "{fields:?}");
    assert!(fields.iter().all(|f| !f.starts_with("connection:") || !f.contains("upgrade")), "{fields:?}");
}

#[tokio::test]
async fn d9_te_trailers_and_the_trailers_of_both_sides_are_passed_on() {
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: down\r\n\r\n";
    let origin = RawOrigin::start(Script::answering(answer)).await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: x-sum\r\n\
                   Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: up\r\n\r\n";

    let response = Wire::exchange(proxy.web(), request).await;

    let request = origin.the_request();
    let head = fields(&request);
    assert!(head.contains(&"te: trailers".to_owned()) && head.contains(&"trailer: x-sum".to_owned()), "{request}");
    assert!(request.ends_with("0\r\nx-sum: up\r\n\r\n"), "{request}");
    let response = String::from_utf8(response.bytes).unwrap();
    assert!(response.ends_with("0\r\nx-sum: down\r\n\r\n"), "{response}");
}

#[tokio::test]
async fn d9_a_trailer_that_would_change_the_message_is_not_passed_on() {
    let forbidden = "content-length: 99\r\ntransfer-encoding: chunked\r\nhost: evil\r\nconnection: close\r\nx-forwarded-for: 1.1.1.1";
    let names = "content-length, transfer-encoding, host, connection, x-forwarded-for, x-sum";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: {names}\r\n\r\n2\r\nok\r\n0\r\n{forbidden}\r\nx-sum: down\r\n\r\n"
    );
    let origin = RawOrigin::start(Script::answering(answer)).await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: {names}\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{forbidden}\r\nx-sum: up\r\n\r\n"
    );

    let response = Wire::exchange(proxy.web(), request).await;

    for message in origin.requests().into_iter().chain([String::from_utf8_lossy(&response.bytes).into_owned()]) {
        let trailers = message.rsplit("\r\n0\r\n").next().unwrap_or_default().to_ascii_lowercase();
        for name in ["content-length", "transfer-encoding", "host:", "connection", "x-forwarded-for"] {
            assert!(!trailers.contains(name), "{name} in {trailers:?}");
        }
    }
}

#[tokio::test]
async fn d10_a_client_cannot_nominate_away_what_we_say() {
    let (proxy, origin) = recorded().await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for, host, via, x-forwarded-proto, content-length\r\n\
                   Connection: x-secret\r\nX-Secret: 1\r\nX-Kept: 1\r\n\r\n";

    assert_eq!(Wire::exchange(proxy.web(), request).await.status, 200);

    let fields = fields(&origin.the_request());
    for kept in ["host: a", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-kept: 1"] {
        assert!(fields.contains(&kept.to_owned()), "{kept} in {fields:?}");
    }
    assert!(fields.iter().any(|field| field.starts_with("via:")), "{fields:?}");
    assert!(fields.iter().all(|field| !field.starts_with("x-secret")), "{fields:?}");
}

#[tokio::test]
async fn d10_a_nominated_length_does_not_lose_the_body() {
    let (proxy, origin) = recorded().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length, close\r\nContent-Length: 5\r\n\r\nhello";

    assert_eq!(Wire::exchange(proxy.web(), request).await.status, 200);

    assert!(origin.the_request().ends_with("\r\n\r\nhello"), "{}", origin.the_request());
    assert!(fields(&origin.the_request()).contains(&"content-length: 5".to_owned()));
}

#[tokio::test]
async fn d13_whatever_goes_wrong_has_an_answer() {
    let (proxy, _origin) = recorded().await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
        ("GET /.. HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ] {
        assert_eq!(Wire::exchange(proxy.web(), request).await.status, status, "{request}");
    }
}

#[tokio::test]
async fn d16_what_cannot_be_parsed_is_answered_counted_and_logged_without_route_and_method() {
    let garbage = [
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nBad Name: x\r\n\r\n",
        "GET / HTTP/1.1\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        "GET / HTTP/3.0\r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ];
    let (proxy, origin) = recorded().await;

    for request in garbage {
        let mut wire = proxy.wire().await;
        wire.send(request).await;
        assert_eq!(wire.response().await.status, 400, "{request:?}");
        wire.rest().await;
    }

    let total = u32::try_from(garbage.len()).unwrap();
    proxy.counts_local("malformed_request", total).await;
    assert_eq!(origin.connections(), 0);
    let log = proxy.access_log_with(garbage.len()).await;
    assert!(log.iter().all(|line| line["status"] == 400 && line["reason"] == "malformed_request"), "{log:#?}");
    assert!(log.iter().any(|line| line["route"] == "" && line["method"] == ""), "{log:#?}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let mut wire = proxy.wire().await;

    wire.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;

    for n in 1..=3 {
        assert!(wire.response().await.text().contains(&format!("\"target\":\"/{n}\"")));
    }
}

#[tokio::test]
async fn a_connection_is_kept_or_closed_as_the_client_asks() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wire.response().await.header("connection"), Some("close"));
    wire.closed().await;

    let mut old = proxy.wire().await;
    old.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert_eq!(old.response().await.status, 200);
    old.closed().await;

    let mut kept = proxy.wire().await;
    for _ in 0..2 {
        kept.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
        let response = kept.response().await;
        assert_eq!((response.status, response.header("connection")), (200, Some("keep-alive")));
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_and_then_its_answer() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;

    assert_eq!(wire.response().await.status, 100);
    wire.send("hello").await;

    let response = wire.response().await;
    assert!(response.status == 200 && response.text().contains("\"body\":\"hello\""), "{response:?}");
}

#[tokio::test]
async fn a_client_that_waits_for_100_and_is_refused_uploads_nothing() {
    let proxy = Proxy::with_config(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nfilters = [{ fixed_response = { status = 403 } }]\n",
    )
    .start()
    .await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;

    assert_eq!(wire.response().await.status, 403);
}

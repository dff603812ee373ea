//! Answers of endpoints: what is ambiguous is refused, what is cut stays cut (U6 to U8, U10, D18, D20).

use evenkeel_testkit::{Proxy, RawOrigin, RawResponse, Script, Wire, eventually, hostile};
use tokio::sync::watch;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn answered(script: Script) -> (Proxy, RawOrigin) {
    let origin = RawOrigin::start(script).await;
    (Proxy::with_upstream(&origin).start().await, origin)
}

fn whole(head: &str, body: &str) -> Script {
    Script::answering(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"))
}

async fn exchange(proxy: &Proxy) -> RawResponse {
    Wire::exchange(proxy.web(), GET).await
}

#[tokio::test]
async fn u6_a_chunked_answer_with_a_length_loses_the_length_and_its_connection() {
    let (proxy, origin) =
        answered(whole("Content-Length: 3\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")).await;

    for _ in 0..2 {
        let response = exchange(&proxy).await;
        if response.status == 502 {
            continue;
        }
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
        assert_eq!(response.header("content-length"), None, "{response:?}");
        assert_eq!(response.header_all("transfer-encoding"), ["chunked"], "{response:?}");
    }

    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn u7_an_answer_whose_coding_is_not_exactly_chunked_is_a_502() {
    for coding in ["gzip, chunked", "chunked, chunked", "identity", "chunked, gzip", "xchunked"] {
        let (proxy, _origin) =
            answered(whole(&format!("Transfer-Encoding: {coding}"), "5\r\nhello\r\n0\r\n\r\n")).await;

        let response = exchange(&proxy).await;

        assert_eq!(response.status, 502, "{coding}: {response:?}");
        assert!(response.text().contains("upstream_protocol"), "{coding}: {response:?}");
    }
}

#[tokio::test]
async fn u8_equal_lengths_of_an_answer_become_one() {
    for lengths in ["Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5, 5"] {
        let (proxy, _origin) = answered(whole(lengths, "hello")).await;

        let response = exchange(&proxy).await;

        if response.status != 502 {
            assert_eq!((response.status, response.text().as_str()), (200, "hello"));
            assert_eq!(response.header_all("content-length"), ["5"], "{response:?}");
        }
    }
}

#[tokio::test]
async fn lengths_of_an_answer_that_differ_or_are_no_numbers_are_a_502() {
    for lengths in
        ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 6", "Content-Length: +5", "Content-Length: 0x5"]
    {
        let (proxy, _origin) = answered(whole(lengths, "hello")).await;
        let response = exchange(&proxy).await;
        assert_eq!(response.status, 502, "{lengths}: {response:?}");
    }
}

#[tokio::test]
async fn u10_a_101_that_nobody_asked_for_is_a_502_and_the_connection_is_dropped() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (proxy, origin) = answered(Script::answering(switching)).await;

    let response = exchange(&proxy).await;

    assert_eq!(response.status, 502, "{response:?}");
    assert_eq!(response.header("upgrade"), None);
    origin.is_left(0).await;
    proxy.counts_local("upstream_protocol", 1).await;
}

#[tokio::test]
async fn d18_a_cut_answer_never_looks_complete() {
    for (name, script) in [
        ("length", hostile::promises_more_than_it_sends()),
        ("chunks", hostile::cuts_its_chunks()),
        ("a bad chunk", hostile::sends_a_bad_chunk()),
    ] {
        let (proxy, _origin) = answered(script).await;

        let response = exchange(&proxy).await;

        // Nothing was sent yet, or what was sent is seen to be cut.
        assert!(response.status == 502 || !response.is_complete(), "{name}: {response:?}");
        assert!(!response.bytes.ends_with(b"0\r\n\r\n"), "{name}: {response:?}");
        proxy.is_idle().await;
    }
}

#[tokio::test]
async fn d18_a_reset_in_a_body_that_ends_with_the_connection_reaches_the_client_as_one() {
    let (gate, _) = watch::channel(false);
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart of it";
    let (proxy, _origin) = answered(Script::new().reads_request().sends(head).waits_for(&gate).resets()).await;
    // A client that knows no chunks can see it only from a reset.
    for version in ["1.0", "1.1"] {
        gate.send_replace(false);
        let mut wire = proxy.wire().await;
        wire.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")).await;
        let passed_on = async {
            let labels = [("direction", "out")];
            proxy.metrics_show("part of it is on its way", |m| m.sum("evenkeel_bytes_total", &labels) > 10.0).await;
            gate.send_replace(true);
        };
        let (response, ()) = tokio::join!(wire.try_response(), passed_on);
        if let Ok(response) = response {
            assert!(response.status == 502 || !response.is_complete(), "{version}: {response:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_arrives_whole() {
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it";
    let (proxy, _origin) = answered(Script::new().reads_request().sends(close).closes()).await;

    let modern = exchange(&proxy).await;
    assert!(modern.is_complete() && modern.text() == "all of it", "{modern:?}");

    let old = Wire::exchange(proxy.web(), "GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(old.is_complete() && old.text() == "all of it", "{old:?}");
    assert_eq!(old.header("transfer-encoding"), None, "HTTP/1.0 knows no chunks: {old:?}");
}

#[tokio::test]
async fn a_chunked_answer_to_an_http_1_0_client_is_taken_out_of_its_chunks() {
    let (proxy, _origin) =
        answered(whole("Transfer-Encoding: chunked", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")).await;

    let response = Wire::exchange(proxy.web(), "GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;

    assert_eq!((response.text().as_str(), response.header("transfer-encoding")), ("hello world", None));
}

#[tokio::test]
async fn d20_the_reason_phrase_and_the_case_of_names_are_our_own() {
    let answer = "HTTP/1.1 200 Everything Is Wonderful\r\nX-ODD-case: KEPT\r\nContent-Length: 2\r\n\r\nok";
    let (proxy, _origin) = answered(Script::answering(answer)).await;

    let response = exchange(&proxy).await;

    let head = String::from_utf8(response.bytes).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("x-odd-case: KEPT\r\n"), "{head}");
}

#[tokio::test]
async fn the_answer_to_head_and_a_304_keep_their_length_and_have_no_body() {
    let origin =
        RawOrigin::start_each(vec![Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")]).await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;
    let mut wire = proxy.wire().await;
    for _ in 0..3 {
        wire.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let response = wire.response_to("HEAD").await;
        assert_eq!((response.status, response.header("content-length")), (200, Some("1000")));
    }
    assert_eq!(origin.connections(), 1);

    let (proxy, _origin) = answered(Script::answering("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n")).await;
    let mut wire = proxy.wire().await;
    for _ in 0..3 {
        wire.send(GET).await;
        let response = wire.response().await;
        assert_eq!((response.status, response.header("etag"), response.body.len()), (304, Some("\"x\""), 0));
    }
}

#[tokio::test]
async fn early_hints_arrive_before_the_answer_is_there() {
    let (gate, _) = watch::channel(false);
    let script = Script::new()
        .reads_request()
        .sends("HTTP/1.1 100 Continue\r\n\r\n")
        .sends("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x-a\r\nX-A: 1\r\nContent-Length: 5\r\n\r\n")
        .waits_for(&gate)
        .sends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (proxy, _origin) = answered(script).await;
    let mut wire = proxy.wire().await;
    wire.send(GET).await;

    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&wire.bytes(hints.len()).await), hints);
    gate.send_replace(true);

    let response = wire.response().await;
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
}

#[tokio::test]
async fn an_endpoint_that_hints_for_ever_fills_no_memory() {
    let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "x".repeat(900)).repeat(1000);
    let script = Script::new().reads_request().sends(hint).sends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (proxy, _origin) = answered(script).await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;

    let (bytes, _) = wire.rest().await;

    let text = String::from_utf8_lossy(&bytes);
    let hints = text.matches("HTTP/1.1 103").count();
    assert!((10..30).contains(&hints), "{hints}");
    assert!(text.ends_with("\r\n\r\nok"), "{}", &text[text.len() - 200..]);
}

#[tokio::test]
async fn a_body_is_passed_on_as_it_comes() {
    let (gate, _) = watch::channel(false);
    let script = Script::new()
        .reads_request()
        .sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        .waits_for(&gate)
        .sends("6\r\n world\r\n0\r\n\r\n");
    let (proxy, _origin) = answered(script).await;
    let mut wire = proxy.wire().await;
    wire.send(GET).await;
    // The first part is here before the second is sent.
    let first = async {
        proxy
            .metrics_show("the first part is passed on", |m| {
                m.sum("evenkeel_bytes_total", &[("direction", "out")]) > 20.0
            })
            .await;
        gate.send_replace(true);
    };
    let (response, ()) = tokio::join!(wire.response(), first);
    assert_eq!(response.text(), "hello world");
    eventually("it was answered", || true).await;
}

#[tokio::test]
async fn a_body_where_none_may_be_does_not_reach_the_next_client() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\nevil"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil"),
    ] {
        let good = Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
        let origin = RawOrigin::start_each(vec![Script::answering(answer), good]).await;
        let proxy = Proxy::with_upstream(&origin).workers(1).start().await;
        let mut wire = proxy.wire().await;
        wire.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert!(wire.response_to(method).await.body.is_empty());

        assert_eq!(proxy.client().get("/").send().await.text(), "good", "{method} {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_given_to_nobody() {
    let (gate, _) = watch::channel(false);
    let answer = |text: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{text}");
    let unasked = Script::new().reads_request().sends(answer("good")).waits_for(&gate).sends(answer("evil"));
    let origin = RawOrigin::start_each(vec![unasked, Script::answering(answer("good"))]).await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;
    assert_eq!(proxy.client().get("/").send().await.text(), "good");

    gate.send_replace(true);

    origin.is_left(0).await;
    for response in proxy.client().get("/").repeat(3).responses().await {
        assert_eq!(response.text(), "good");
    }
}

#[tokio::test]
async fn a_426_says_what_to_upgrade_to_where_its_client_can_do_so() {
    let fields = "Upgrade: websocket, foo/1\r\nConnection: upgrade, x-a\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nno";
    for (status, version, more, upgrade, connection) in [
        (426, "1.1", "", Some("websocket, foo/1"), &["upgrade"][..]),
        (426, "1.1", "Connection: close\r\n", Some("websocket, foo/1"), &["upgrade", "close"]),
        (426, "1.0", "Connection: keep-alive\r\n", None, &["keep-alive"]),
        (400, "1.1", "", None, &[]),
    ] {
        let (proxy, _origin) = answered(Script::answering(format!("HTTP/1.1 {status} X\r\n{fields}"))).await;
        let request = format!("GET / HTTP/{version}\r\nHost: a\r\n{more}\r\n");

        let response = Wire::exchange(proxy.web(), request).await;

        assert_eq!((response.status, response.text().as_str()), (status, "no"), "{response:?}");
        assert_eq!(response.header("upgrade"), upgrade, "{response:?}");
        assert_eq!(response.header_all("connection"), connection, "{response:?}");
        assert_eq!(response.header("x-a"), None, "what Connection names is off: {response:?}");
    }
}

//! How long anybody is waited for. The file's values are short here; what is checked is that they hold and what they cut.

use evenkeel_testkit::{
    Answer, Authority, DeadEndpoint, Metrics, Origin, Proxy, RawOrigin, Script, TlsClient, Wire, eventually, hostile,
};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const SHORT: Duration = Duration::from_millis(300);
/// Coarse timers may be late, and this machine is busy; the default of each timeout is far above.
const LATE: Duration = Duration::from_secs(4);

fn in_about(short: Duration, took: Duration) {
    assert!(took >= short.mul_f32(0.6) && took < LATE, "took {took:?} for a timeout of {short:?}");
}

#[tokio::test]
async fn a_client_that_sends_half_a_head_is_gone() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).listener("timeouts.request_head = \"300ms\"").start().await;
    let mut wire = proxy.wire().await;
    let begun = Instant::now();
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nX-Never: fin").await;

    let (rest, _) = wire.rest().await;

    in_about(SHORT, begun.elapsed());
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&rest));
    proxy.counts_local("request_timeout", 1).await;
}

#[tokio::test]
async fn a_head_that_trickles_in_has_no_more_time_than_any_other() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).listener("timeouts.request_head = \"300ms\"").start().await;
    let mut wire = proxy.wire().await;
    let begun = Instant::now();

    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(4_000));
    let sent = wire.drip(&endless, Duration::from_millis(5)).await;

    assert!(sent < endless.len());
    in_about(SHORT, begun.elapsed());
}

/// A proxy that speaks HTTP/1.1, HTTP/2 and TLS, and 200 connections to each that say nothing, or half of what comes first.
async fn besieged(timeouts: &str, wait: &str) -> (Proxy, Vec<Wire>) {
    let origin = Origin::http1().start().await;
    let more = format!(
        "[listeners.h2c]\nlisten = \"127.0.0.1:0\"\nprotocol = \"h2c\"\n{timeouts}\n\
         [listeners.secure]\nlisten = \"127.0.0.1:0\"\n{timeouts}\n\
         tls.certificates = [{{ cert = \"site.pem\", key = \"site.key\" }}]\n{wait}"
    );
    let builder = Proxy::with_upstream(&origin).listener(timeouts).more(&more);
    let authority = Authority::new("Test Authority");
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    let proxy = builder.start().await;
    let begins: [(_, &[&[u8]]); 3] = [
        ("web", &[b"", b"GET / HTTP/1.1\r\nHo"]),
        ("h2c", &[b"", b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]),
        ("secure", &[b"", &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]]),
    ];
    let mut wires = Vec::new();
    for (listener, begins) in begins {
        for number in 0..200 {
            let mut wire = Wire::to(proxy.at(listener)).await;
            wire.send(begins[number % begins.len()]).await;
            wires.push(wire);
        }
    }
    // Behind the handshake, too.
    let client = TlsClient::new(&authority, "a.test");
    for _ in 0..20 {
        wires.push(client.connect(proxy.at("secure")).await.wire);
    }
    (proxy, wires)
}

#[tokio::test]
async fn hundreds_of_connections_that_say_nothing_are_gone_whatever_they_were_to_speak() {
    let (proxy, mut wires) = besieged("timeouts = { request_head = \"500ms\", tls = \"500ms\" }", "").await;

    for wire in &mut wires {
        wire.rest().await;
    }

    proxy.metrics_show("no connection is left", |m| m.sum("evenkeel_connections", &[]).abs() < 0.5).await;
}

#[tokio::test]
async fn hundreds_of_connections_that_say_nothing_hold_up_no_drain() {
    let patient = "timeouts = { request_head = \"1h\", tls = \"1h\" }";
    let (mut proxy, _wires) = besieged(patient, "[drain]\ngrace = \"0s\"\ndeadline = \"1s\"").await;
    let all = |m: &Metrics| m.sum("evenkeel_connections", &[]) >= 620.0;
    proxy.metrics_show("all are there", all).await;

    proxy.signal(evenkeel_testkit::Signal::Term);

    assert_eq!(proxy.exit().await.code, Some(0));
}

#[tokio::test]
async fn an_idle_client_is_closed_after_its_time_and_not_before() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).listener("timeouts.idle = \"500ms\"").start().await;
    let mut wire = proxy.wire().await;
    for _ in 0..3 {
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(wire.response().await.status, 200);
    }
    let begun = Instant::now();

    wire.closed().await;

    in_about(Duration::from_millis(500), begun.elapsed());
    let idle = "evenkeel_connections_idle_timeouts_total";
    let metrics = proxy.metrics_show("the end is counted", |m| m.sum(idle, &[("listener", "web")]) > 0.5).await;
    assert!(metrics.sum("evenkeel_responses_local_total", &[]).abs() < 0.5, "an idle end is no failure");
}

#[tokio::test]
async fn an_upload_that_stalls_is_cut_and_never_looks_complete() {
    let origin = RawOrigin::start(Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
    let proxy = Proxy::with_upstream(&origin).listener("timeouts.body_stall = \"300ms\"").start().await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf").await;
    let begun = Instant::now();

    let (rest, _) = wire.rest().await;

    in_about(SHORT, begun.elapsed());
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&rest));
    origin.is_left(0).await;
    assert!(origin.requests().is_empty());
    proxy.counts_local("request_stalled", 1).await;
    proxy.is_idle().await;
}

#[tokio::test]
async fn an_upload_that_is_slow_but_steady_is_served() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).listener("timeouts.body_stall = \"500ms\"").start().await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n").await;

    // A second in all, twice the timeout.
    wire.drip("01234567890123456789", Duration::from_millis(50)).await;

    assert_eq!(wire.response().await.status, 200);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut() {
    let body = vec![b'x'; 64 << 20];
    let origin = Origin::http1().answers(Answer::text(body)).start().await;
    let proxy = Proxy::with_upstream(&origin).listener("timeouts.body_stall = \"300ms\"").start().await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    proxy.metrics_show("the answer has begun", |m| m.sum("evenkeel_bytes_total", &[("direction", "out")]) > 10.0).await;

    proxy.counts_local("response_stalled", 1).await;
    proxy.is_idle().await;
    assert!(!wire.response().await.is_complete());
}

#[tokio::test]
async fn the_whole_time_includes_connecting_and_nobody_else_is_asked_when_it_is_over() {
    let silent = DeadEndpoint::silent().await;
    let proxy = Proxy::with_upstream(&silent)
        .upstream("timeouts = { connect = \"10s\", total = \"300ms\" }")
        .access_log()
        .start()
        .await;
    let begun = Instant::now();

    assert_eq!(proxy.client().get("/").status().await, 504);

    in_about(SHORT, begun.elapsed());
    proxy.counts_local("total_timeout", 1).await;
    let log = &proxy.access_log_with(1).await[0];
    assert_eq!((&log["reason"], &log["fault"]), (&"total_timeout".into(), &"upstream".into()), "{log}");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_connected_to_in_time_is_a_504() {
    let silent = DeadEndpoint::silent().await;
    let proxy = Proxy::with_upstream(&silent).upstream("timeouts.connect = \"300ms\"").start().await;
    let begun = Instant::now();

    let response = proxy.client().get("/").send().await;

    in_about(SHORT, begun.elapsed());
    assert_eq!(response.status, 504, "{response:?}");
    proxy.counts_local("connect_timeout", 1).await;
    let metrics = proxy.metrics().await;
    assert!(metrics.sum("evenkeel_upstream_connects_total", &[("result", "timed_out")]) > 0.5, "{}", metrics.text());
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_connected_to_in_time_is_passed_over() {
    let (silent, alive) = (DeadEndpoint::silent().await, Origin::http1().named("alive").start().await);
    let proxy = Proxy::with_endpoints([silent.to_string(), alive.to_string()])
        .upstream("timeouts.connect = \"100ms\"\nbalance = \"round_robin\"")
        .start()
        .await;

    assert_eq!(proxy.client().post("/", "x").repeat(6).origins().await, ["alive"; 6]);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_is_a_504_and_its_request_is_cancelled() {
    let origin = Origin::http1().answers(Answer::echo().after(Duration::from_mins(10))).start().await;
    let proxy = Proxy::with_upstream(&origin).upstream("timeouts.response_head = \"300ms\"").start().await;
    let begun = Instant::now();

    let response = proxy.client().post("/", "x").send().await;

    in_about(SHORT, begun.elapsed());
    assert_eq!(response.status, 504);
    assert!(response.text().contains("upstream_timeout"), "{}", response.text());
    eventually("the endpoint's request is cancelled", || origin.in_flight() == 0).await;
    assert_eq!(origin.requests(), 1, "a POST is sent once");
    proxy.counts_local("upstream_timeout", 1).await;
}

#[tokio::test]
async fn half_a_head_of_an_endpoint_is_no_answer() {
    let origin = RawOrigin::start(hostile::stalls_in_its_head()).await;
    let proxy = Proxy::with_upstream(&origin).upstream("timeouts.response_head = \"300ms\"").start().await;

    assert_eq!(proxy.client().post("/", "x").status().await, 504);
    origin.is_left(0).await;
}

#[tokio::test]
async fn the_time_for_an_answer_begins_when_the_request_is_sent() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).upstream("timeouts.response_head = \"400ms\"").start().await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n").await;

    // The upload takes twice as long as the endpoint may take to answer.
    wire.drip("01234567890123456789", Duration::from_millis(40)).await;

    assert_eq!(wire.response().await.status, 200);
}

#[tokio::test]
async fn an_answer_that_stalls_in_its_body_is_cut() {
    let origin = RawOrigin::start(hostile::stalls_in_its_body()).await;
    let proxy = Proxy::with_upstream(&origin).upstream("timeouts.body_stall = \"300ms\"").start().await;
    let begun = Instant::now();

    let response = Wire::exchange(proxy.web(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    in_about(SHORT, begun.elapsed());
    assert!(response.status == 200 && !response.is_complete(), "{response:?}");
    origin.is_left(0).await;
    proxy.counts_local("upstream_stalled", 1).await;
}

#[tokio::test]
async fn an_answer_that_is_slow_but_steady_arrives() {
    let script = Script::new()
        .reads_request()
        .sends("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        .drips("01234567890123456789", Duration::from_millis(50));
    let origin = RawOrigin::start(script).await;
    let proxy = Proxy::with_upstream(&origin).upstream("timeouts.body_stall = \"500ms\"").start().await;

    assert_eq!(proxy.client().get("/").send().await.text(), "01234567890123456789");
}

#[tokio::test]
async fn an_endpoint_that_stops_reading_an_upload_is_given_up_also_when_the_client_has_gone() {
    let (gate, _) = watch::channel(false);
    let origin = RawOrigin::start(Script::new().reads_head().waits_for(&gate).stalls()).await;
    let proxy = Proxy::with_upstream(&origin)
        .listener("timeouts.body_stall = \"300ms\"")
        .upstream("timeouts = { body_stall = \"300ms\", response_head = \"300ms\" }")
        .start()
        .await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n").await;
    let chunk = vec![b'x'; 1 << 20];
    // As much as anybody takes.
    while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(200), wire.try_send(&chunk)).await {}

    drop(wire);

    proxy.is_idle().await;
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_its_whole_time_is_cut() {
    let script = Script::new()
        .reads_request()
        .sends("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        .drips("x".repeat(100), Duration::from_millis(50));
    let origin = RawOrigin::start(script).await;
    let proxy = Proxy::with_upstream(&origin).upstream("timeouts.total = \"300ms\"").start().await;
    let begun = Instant::now();

    let response = Wire::exchange(proxy.web(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    in_about(SHORT, begun.elapsed());
    assert!(response.status == 200 && !response.is_complete(), "{response:?}");
    proxy.counts_local("total_timeout", 1).await;
}

#[tokio::test]
async fn the_whole_time_includes_the_wait_for_the_head_and_leaves_quick_answers_alone() {
    let late = Answer::text("late").after(Duration::from_mins(10));
    let origin = Origin::http1().at("/late", late).start().await;
    let proxy = Proxy::with_upstream(&origin).upstream("timeouts.total = \"300ms\"").start().await;
    let begun = Instant::now();

    assert_eq!(proxy.client().get("/late").status().await, 504);

    in_about(SHORT, begun.elapsed());
    assert_eq!(proxy.client().get("/").repeat(20).statuses().await, [200; 20]);
}

#[tokio::test]
async fn a_kept_connection_has_its_idle_time_after_an_upload_as_well() {
    let origin = Origin::http1().start().await;
    let listener = "timeouts = { request_head = \"300ms\", idle = \"60s\" }";
    let proxy = Proxy::with_upstream(&origin).listener(listener).start().await;
    for (framing, body) in [("Content-Length: 5", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")] {
        let mut wire = proxy.wire().await;
        let before = origin.requests();
        wire.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")).await;
        proxy.metrics_show("it has begun", |m| m.sum("evenkeel_requests_in_flight", &[]) > 0.5).await;
        // In another read than the head.
        wire.send(body).await;
        assert_eq!(wire.response().await.status, 200, "{framing}");
        assert_eq!(origin.requests(), before + 1);

        tokio::time::sleep(Duration::from_secs(1)).await;

        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(wire.response().await.status, 200, "{framing}");
    }
}

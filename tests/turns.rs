//! Whose time runs: the clock of a client or of an endpoint runs while that side is waited for, and not while the other one is.

use evenkeel_testkit::{Builder, Proxy, RawOrigin, Script, Wire};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// The head of that answer alone.
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
/// A side rests for so long where that must cost the other nothing: well above every `SHORT` limit.
const REST: Duration = Duration::from_millis(1200);
const STEP: Duration = Duration::from_millis(60);
/// A limit of this length is over before twice its time is.
const LIMIT: Duration = Duration::from_secs(2);

/// Both framings of a request with the body "hello world", cut in two.
const UPLOADS: [(&str, &str, &str); 2] = [
    ("Content-Length: 11", "hello ", "world"),
    ("Transfer-Encoding: chunked", "6\r\nhello \r\n", "5\r\nworld\r\n0\r\n\r\n"),
];

fn before(origin: &RawOrigin, listener: &str, upstream: &str) -> Builder {
    Proxy::with_upstream(origin).listener(listener).upstream(upstream)
}

fn post(framing: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")
}

/// It took the limit and not twice as long.
fn is_once(took: Duration, what: &str) {
    assert!(took > LIMIT.mul_f32(0.9) && took < LIMIT.mul_f32(1.95), "{what}: {took:?} for a limit of {LIMIT:?}");
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_has_no_more_time_behind_a_body_than_without_one() {
    let origin = RawOrigin::start(Script::new().reads_request().stalls()).await;
    let proxy = before(&origin, "", "timeouts.response_head = \"2s\"").start().await;
    let ask = |request: String| {
        let place = proxy.web().clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let answer = Wire::exchange(&place, request.as_str()).await;
            (request, answer.status, begun.elapsed())
        })
    };
    let requests = UPLOADS.map(|(framing, first, rest)| format!("{}{first}{rest}", post(framing)));

    let asked = requests.into_iter().chain(["GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()]).map(ask);

    for answer in asked.collect::<Vec<_>>() {
        let (request, status, took) = answer.await.unwrap();
        assert_eq!(status, 504, "{request}");
        is_once(took, &request);
    }
}

#[tokio::test]
async fn a_client_that_rests_in_its_upload_costs_the_endpoint_no_time() {
    let origin = RawOrigin::start(Script::answering(OK)).await;
    for limits in ["response_head = \"300ms\"", "response_head = \"300ms\", total = \"1m\""] {
        let proxy = before(&origin, "", &format!("timeouts = {{ {limits} }}")).start().await;
        for (framing, first, rest) in UPLOADS {
            let mut wire = proxy.wire().await;
            wire.send(format!("{}{first}", post(framing))).await;

            // The time itself is under test.
            tokio::time::sleep(REST).await;
            wire.send(rest).await;

            assert_eq!(wire.response().await.status, 200, "{framing} with {limits}");
        }
    }
}

#[tokio::test]
async fn the_time_of_an_endpoint_runs_from_the_last_byte_that_it_was_sent() {
    let origin = RawOrigin::start(Script::new().reads_request().stalls()).await;
    let proxy = before(&origin, "", "timeouts.response_head = \"2s\"").access_log().start().await;
    let mut wire = proxy.wire().await;
    wire.send(format!("{}hello ", post("Content-Length: 11"))).await;
    tokio::time::sleep(REST).await;
    wire.send("world").await;
    let begun = Instant::now();

    assert_eq!(wire.response().await.status, 504);

    is_once(begun.elapsed(), "behind the last byte");
    let log = &proxy.access_log_with(1).await[0];
    assert_eq!((&log["reason"], &log["fault"]), (&"upstream_timeout".into(), &"upstream".into()), "{log}");
}

#[tokio::test]
async fn a_client_that_rests_for_longer_than_its_own_limit_is_the_one_at_fault() {
    let origin = RawOrigin::start(Script::answering(OK)).await;
    for (upstream, reason) in [
        ("timeouts = { response_head = \"300ms\" }", "request_stalled"),
        // The time of the whole request is over, and it is the client that was waited for.
        ("timeouts = { response_head = \"300ms\", total = \"600ms\" }", "request_too_slow"),
    ] {
        let proxy = before(&origin, "timeouts.body_stall = \"1s\"", upstream).access_log().start().await;
        let mut wire = proxy.wire().await;
        wire.send(format!("{}hello", post("Content-Length: 11"))).await;

        assert_eq!(wire.response().await.status, 408, "{upstream}");

        let log = &proxy.access_log_with(1).await[0];
        assert_eq!((&log["reason"], &log["fault"]), (&reason.into(), &"client".into()), "{log}");
    }
}

#[tokio::test]
async fn an_upload_goes_on_while_it_moves_though_its_answer_has_begun_and_says_nothing() {
    for limit in ["body_stall = \"500ms\"", "body_rate_min = \"1MiB\", body_rate_grace = \"500ms\""] {
        let (gate, _) = watch::channel(false);
        let early = Script::new().reads_head().sends(HEAD).waits_for(&gate).sends("ok");
        let origin = RawOrigin::start(early).await;
        let proxy = before(&origin, "", &format!("timeouts = {{ {limit} }}")).start().await;
        let mut wire = proxy.wire().await;
        wire.send(post("Content-Length: 40")).await;

        let sent = wire.drip("x".repeat(40), STEP).await;
        gate.send_replace(true);

        assert_eq!(sent, 40, "{limit}");
        let answer = wire.response().await;
        assert!(answer.is_complete() && answer.text() == "ok", "{limit}: {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_has_begun_early_may_rest_for_its_limit_once_the_upload_is_over() {
    let origin = RawOrigin::start(Script::new().reads_head().sends(HEAD).stalls()).await;
    let proxy = before(&origin, "", "timeouts.body_stall = \"2s\"").start().await;
    let mut wire = proxy.wire().await;
    wire.send(post("Content-Length: 20")).await;
    wire.drip("x".repeat(20), STEP).await;
    let begun = Instant::now();

    assert!(!wire.response().await.is_complete());

    is_once(begun.elapsed(), "behind the last byte of the upload");
    proxy.counts_local("upstream_stalled", 1).await;
}

#[tokio::test]
async fn an_endpoint_that_has_answered_early_and_takes_no_more_of_the_upload_is_given_up() {
    let (gate, _) = watch::channel(false);
    let origin = RawOrigin::start(Script::new().reads_head().sends(HEAD).waits_for(&gate)).await;
    let proxy = before(&origin, "", "timeouts.body_stall = \"500ms\"").start().await;
    let mut wire = proxy.wire().await;
    wire.send(post("Content-Length: 67108864")).await;
    let chunk = vec![b'x'; 1 << 20];
    // As much as there is room for.
    while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(300), wire.try_send(&chunk)).await {}

    proxy.counts_local("upstream_stalled", 1).await;
    proxy.is_idle().await;
}

#[tokio::test]
async fn an_answer_goes_on_while_it_moves_though_the_upload_rests() {
    for limit in ["body_stall = \"1s\"", "body_rate_min = \"1MiB\", body_rate_grace = \"1s\""] {
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n";
        let drips = Script::new().reads_head().sends(long).drips("x".repeat(30), STEP);
        let origin = RawOrigin::start(drips).await;
        let proxy = before(&origin, &format!("timeouts = {{ {limit} }}"), "").start().await;
        let mut wire = proxy.wire().await;
        wire.send(format!("{}hello", post("Content-Length: 11"))).await;

        let answer = wire.response().await;

        assert!(answer.is_complete(), "{limit}: {answer:?}");
    }
}

//! What a client of gRPC gets when the answer is ours.

use super::talk::{Answer, Talk, h2c, request};
use evenkeel_testkit::{DeadEndpoint, Origin, Proxy, RawOrigin, hostile};
use std::time::{Duration, Instant};

fn call(path: &str) -> http::request::Builder {
    request("POST", path).header("content-type", "application/grpc+proto").header("te", "trailers")
}

async fn called(proxy: &Proxy, asked: http::request::Builder) -> Answer {
    Talk::to(proxy.web()).await.post(asked, &b"\0\0\0\0\0"[..], None).await.expect("an answer")
}

fn assert_status(answer: &Answer, status: &str, reason: &str) {
    let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(
        (answer.status, text("content-type"), text("grpc-status")),
        (200, "application/grpc", status),
        "{answer:?}"
    );
    assert!(text("grpc-message").starts_with(reason), "{answer:?}");
    assert!(answer.body.is_empty() && answer.trailers.is_none(), "nothing but a head: {answer:?}");
}

#[tokio::test]
async fn our_errors_are_in_its_own_words() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).route("path_prefix = \"/here\"").start().await;
    assert_status(&called(&proxy, call("/pkg.Service/Method")).await, "12", "no_route");
    assert_status(&called(&proxy, call("/here").header("host", "other")).await, "13", "malformed_request");

    let proxy = h2c(DeadEndpoint::refusing()).start().await;
    assert_status(&called(&proxy, call("/")).await, "14", "connect_failed");
    proxy.counts_local("connect_failed", 1).await;
}

#[tokio::test]
async fn a_plain_request_gets_a_plain_error() {
    let proxy = h2c(DeadEndpoint::refusing()).start().await;
    for kind in ["application/json", "application/grpc-web"] {
        let answer = called(&proxy, request("POST", "/").header("content-type", kind)).await;
        assert_eq!((answer.status, answer.headers.get("grpc-status")), (502, None), "{kind}");
    }
}

#[tokio::test]
async fn its_deadline_is_kept_and_passed_on() {
    let origin = RawOrigin::start(hostile::never_answers()).await;
    let proxy = h2c(&origin).start().await;
    let begun = Instant::now();

    let answer = called(&proxy, call("/").header("grpc-timeout", "300m")).await;

    assert_status(&answer, "4", "upstream_timeout");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(20), "{took:?}");
    assert!(origin.the_request().contains("grpc-timeout: 300m\r\n"), "{}", origin.the_request());
    origin.is_left(0).await;
}

#[tokio::test]
async fn the_upstreams_total_holds_as_well() {
    let origin = RawOrigin::start(hostile::never_answers()).await;
    let proxy = h2c(&origin).upstream("timeouts.total = \"300ms\"").start().await;
    let answer = called(&proxy, call("/").header("grpc-timeout", "1H")).await;
    assert_status(&answer, "14", "upstream_timeout");
}

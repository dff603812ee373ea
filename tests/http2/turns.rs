//! Whose time runs, where a client or an endpoint speaks HTTP/2: the same as over HTTP/1.1 (`tests/turns.rs`).

use super::{
    origin::{H2Origin, Stream},
    talk::{Talk, request, whole},
};
use bytes::Bytes;
use evenkeel_testkit::{Builder, Proxy, RawOrigin, Script, in_time};
use http::Response;
use std::{
    fmt::Display,
    time::{Duration, Instant},
};
use tokio::sync::watch;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// A side rests for so long where that must cost the other nothing.
const REST: Duration = Duration::from_millis(1200);
const STEP: Duration = Duration::from_millis(60);
/// A limit of this length is over before twice its time is.
const LIMIT: Duration = Duration::from_secs(2);

/// From a client of HTTP/2 to an endpoint of either version.
fn between(endpoint: impl Display, http2: bool, listener: &str, upstream: &str) -> Builder {
    let protocol = if http2 { "protocol = \"h2c\"\n" } else { "" };
    Proxy::with_upstream(endpoint)
        .listener(&format!("protocol = \"h2c\"\n{listener}"))
        .upstream(&format!("{protocol}{upstream}"))
}

fn is_once(took: Duration) {
    assert!(took > LIMIT.mul_f32(0.9) && took < LIMIT.mul_f32(1.95), "{took:?} for a limit of {LIMIT:?}");
}

/// Reads all of a request.
async fn read((request, respond): Stream) -> Result<h2::server::SendResponse<Bytes>, h2::Error> {
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    Ok(respond)
}

/// Reads all of a request and answers it.
async fn answers(stream: Stream) -> Result<(), h2::Error> {
    let mut send = read(stream).await?.send_response(Response::new(()), false)?;
    send.send_data(Bytes::from_static(b"ok"), true)
}

/// Reads all of a request and answers nothing.
async fn silent(stream: Stream) -> Result<(), h2::Error> {
    let _held = read(stream).await?;
    std::future::pending().await
}

/// Answers with a head at once, reads all of the request, and ends the answer then.
async fn early((request, mut respond): Stream) -> Result<(), h2::Error> {
    let mut send = respond.send_response(Response::new(()), false)?;
    read((request, respond)).await?;
    send.send_data(Bytes::from_static(b"ok"), true)
}

/// Answers at once and byte by byte, whatever is sent.
async fn drips((_request, mut respond): Stream) -> Result<(), h2::Error> {
    let mut send = respond.send_response(Response::new(()), false)?;
    for last in (0..30).map(|n| n == 29) {
        tokio::time::sleep(STEP).await;
        send.send_data(Bytes::from_static(b"x"), last)?;
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_of_either_version_has_its_time_once_and_from_the_last_byte_that_it_was_sent() {
    let (old, new) = (RawOrigin::start(Script::new().reads_request().stalls()).await, H2Origin::start(silent).await);
    for (place, http2) in [(old.place(), false), (&new.place, true)] {
        let proxy = between(place, http2, "", "timeouts.response_head = \"2s\"").start().await;
        let (answer, mut upload) = Talk::to(proxy.web()).await.begin(request("POST", "/"), false).await.unwrap();
        upload.send_data("hello ".into(), false).unwrap();
        tokio::time::sleep(REST).await;
        upload.send_data("world".into(), true).unwrap();
        let begun = Instant::now();

        let answer = in_time("an answer", answer).await.unwrap();

        assert_eq!(answer.status(), 504);
        is_once(begun.elapsed());
        proxy.counts_local("upstream_timeout", 1).await;
    }
}

#[tokio::test]
async fn a_client_that_rests_in_its_upload_costs_an_endpoint_of_either_version_no_time() {
    let (old, new) = (RawOrigin::start(Script::answering(OK)).await, H2Origin::start(answers).await);
    for (place, http2) in [(old.place(), false), (&new.place, true)] {
        for limits in ["response_head = \"300ms\"", "response_head = \"300ms\", total = \"1m\""] {
            let proxy = between(place, http2, "", &format!("timeouts = {{ {limits} }}")).start().await;
            let (answer, mut upload) = Talk::to(proxy.web()).await.begin(request("POST", "/"), false).await.unwrap();
            upload.send_data("hello ".into(), false).unwrap();
            tokio::time::sleep(REST).await;
            upload.send_data("world".into(), true).unwrap();

            let answer = whole(in_time("an answer", answer).await.unwrap()).await.unwrap();

            assert_eq!((answer.status, answer.text()), (200, "ok"), "{limits}, {http2}");
        }
    }
}

#[tokio::test]
async fn a_client_of_http_1_that_rests_costs_an_endpoint_of_http_2_no_time() {
    let origin = H2Origin::start(answers).await;
    let upstream = "protocol = \"h2c\"\ntimeouts.response_head = \"300ms\"";
    let proxy = Proxy::with_upstream(&origin.place).upstream(upstream).start().await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello ").await;
    tokio::time::sleep(REST).await;
    wire.send("world").await;

    assert_eq!(wire.response().await.status, 200);
}

#[tokio::test]
async fn an_upload_goes_on_while_it_moves_though_an_answer_of_either_version_says_nothing() {
    let (gate, _) = watch::channel(false);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let old = RawOrigin::start(Script::new().reads_head().sends(head).waits_for(&gate).sends("ok")).await;
    let new = H2Origin::start(early).await;
    for (place, http2) in [(old.place(), false), (&new.place, true)] {
        let proxy = between(place, http2, "", "timeouts.body_stall = \"500ms\"").start().await;
        let (answer, mut upload) = Talk::to(proxy.web()).await.begin(request("POST", "/"), false).await.unwrap();
        let answer = in_time("a head", answer).await.unwrap();
        for _ in 0..25 {
            tokio::time::sleep(STEP).await;
            upload.send_data("x".into(), false).unwrap();
        }
        upload.send_data("x".into(), true).unwrap();
        gate.send_replace(true);

        let answer = whole(answer).await.unwrap_or_else(|error| panic!("{http2}: {error}"));

        assert_eq!(answer.text(), "ok", "{http2}");
    }
}

#[tokio::test]
async fn an_answer_of_either_version_goes_on_while_it_moves_though_the_upload_rests() {
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n";
    let old = RawOrigin::start(Script::new().reads_head().sends(long).drips("x".repeat(30), STEP)).await;
    let new = H2Origin::start(drips).await;
    for (place, http2) in [(old.place(), false), (&new.place, true)] {
        let proxy = between(place, http2, "timeouts.body_stall = \"1s\"", "").start().await;
        let (answer, mut upload) = Talk::to(proxy.web()).await.begin(request("POST", "/"), false).await.unwrap();
        upload.send_data("hello".into(), false).unwrap();

        let answer = whole(in_time("a head", answer).await.unwrap()).await;

        assert_eq!(answer.map(|answer| answer.body.len()).map_err(|error| error.to_string()), Ok(30), "{http2}");
    }
}

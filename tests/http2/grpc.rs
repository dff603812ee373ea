//! gRPC: calls of all four kinds, what a client gets when the answer is ours, and health.

use super::{
    origin::{H2Origin, Stream},
    talk::{Answer, Talk, h2c, request, whole},
};
use bytes::Bytes;
use evenkeel_testkit::{Builder, DeadEndpoint, Origin, Proxy, RawOrigin, Script, hostile, in_time};
use http::{HeaderMap, HeaderValue};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

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

    assert_status(&answer, "4", "total_timeout");
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
    assert_status(&answer, "14", "total_timeout");
}

/// A proxy between a client and a server of gRPC.
fn between(origin: &H2Origin) -> Builder {
    h2c(&origin.place).upstream("protocol = \"h2c\"").workers(1)
}

fn ok() -> HeaderMap {
    [("grpc-status".parse().expect("a name"), "0".parse().expect("a value"))].into_iter().collect()
}

fn begins() -> http::Response<()> {
    http::Response::builder().header("content-type", "application/grpc").body(()).expect("a response")
}

/// A message, which says how long it is.
fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).expect("a short one").to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat().into()
}

async fn next(body: &mut h2::RecvStream) -> Option<Bytes> {
    let data = in_time("a message", body.data()).await?.expect("a whole stream");
    body.flow_control().release_capacity(data.len()).expect("what came");
    Some(data)
}

/// Answers each message with itself, as it comes.
async fn chat((request, mut respond): Stream) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    let mut send = respond.send_response(begins(), false)?;
    while let Some(data) = next(&mut body).await {
        send.send_data(data, false)?;
    }
    send.send_trailers(ok())
}

#[tokio::test]
async fn a_call_and_its_answer_are_one_message_each() {
    let origin = H2Origin::start(chat).await;
    let proxy = between(&origin).start().await;

    let answer = Talk::to(proxy.web()).await.post(call("/pkg.Service/Unary"), message("hello"), None).await.unwrap();

    assert_eq!((answer.status, answer.body), (200, message("hello").to_vec()));
    assert_eq!(answer.trailers, Some(ok()));
    let head = origin.head();
    assert_eq!(
        (head.uri.path(), &head.headers["te"]),
        ("/pkg.Service/Unary", &"trailers".parse::<HeaderValue>().unwrap())
    );
}

#[tokio::test]
async fn both_sides_may_stream_in_turn() {
    let origin = H2Origin::start(chat).await;
    let proxy = between(&origin).start().await;
    let (answer, mut send) = Talk::to(proxy.web()).await.begin(call("/pkg.Service/Both"), false).await.unwrap();
    let mut body = in_time("the head, before any message", answer).await.unwrap().into_body();

    for n in 0..100 {
        let said = message(&format!("message {n}"));
        send.send_data(said.clone(), false).unwrap();
        assert_eq!(next(&mut body).await, Some(said), "nothing is held back");
    }
    send.send_data(Bytes::new(), true).unwrap();

    assert_eq!(next(&mut body).await, None);
    assert_eq!(in_time("trailers", body.trailers()).await.unwrap(), Some(ok()));
    proxy.is_idle().await;
}

/// Answers with the number of bytes that it was sent.
async fn counts((request, mut respond): Stream) -> Result<(), h2::Error> {
    let (mut body, mut bytes) = (request.into_body(), 0);
    while let Some(data) = next(&mut body).await {
        bytes += data.len();
    }
    let mut send = respond.send_response(begins(), false)?;
    send.send_data(message(&bytes.to_string()), false)?;
    send.send_trailers(ok())
}

#[tokio::test]
async fn a_client_may_stream_and_get_one_answer() {
    let origin = H2Origin::start(counts).await;
    let proxy = between(&origin).start().await;
    let (answer, mut send) = Talk::to(proxy.web()).await.begin(call("/pkg.Service/Up"), false).await.unwrap();

    for n in 0..1_000 {
        send.send_data(message("tiny"), n == 999).unwrap();
    }

    let answer = whole(in_time("an answer", answer).await.unwrap()).await.unwrap();
    assert_eq!((answer.body, answer.trailers), (message("9000").to_vec(), Some(ok())));
}

#[tokio::test]
async fn ten_thousand_tiny_messages_are_no_flood_to_a_client_with_little_room() {
    let origin = H2Origin::start(|(_, mut respond)| async move {
        let mut send = respond.send_response(begins(), false)?;
        for _ in 0..10_000 {
            send.send_data(message("tiny"), false)?;
        }
        send.send_trailers(ok())
    })
    .await;
    let proxy = between(&origin).start().await;

    // By h2's own settings some 130 small frames may wait, and one more ends the connection.
    let answer = Talk::to(proxy.web()).await.post(call("/pkg.Service/Down"), message(""), None).await.unwrap();

    assert_eq!((answer.body.len(), answer.trailers), (90_000, Some(ok())));
}

#[tokio::test]
async fn ten_thousand_tiny_chunks_of_http_1_are_no_flood_either() {
    let chunks = "3\r\nabc\r\n".repeat(10_000);
    let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    let origin = RawOrigin::start(Script::answering(answer)).await;
    let proxy = h2c(&origin).start().await;

    let answer = Talk::to(proxy.web()).await.ask(request("GET", "/")).await.unwrap();

    assert!(answer.body == "abc".repeat(10_000).as_bytes(), "{} bytes", answer.body.len());
}

#[tokio::test]
async fn ten_thousand_tiny_messages_are_no_flood_to_a_server_with_little_room() {
    let origin = H2Origin::with(h2::server::Builder::new(), counts).await;
    let proxy = between(&origin).start().await;
    let (answer, mut send) = Talk::to(proxy.web()).await.begin(call("/pkg.Service/Up"), false).await.unwrap();

    for n in 0..10_000 {
        send.send_data(message("tiny"), n == 9_999).unwrap();
    }

    let answer = whole(in_time("an answer", answer).await.unwrap()).await.unwrap();
    assert_eq!(answer.body, message("90000").to_vec());
}

#[tokio::test]
async fn an_error_of_the_server_is_a_head_and_nothing_more() {
    let origin = H2Origin::start(|(_, mut respond)| async move {
        let mut response = begins();
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("5"));
        respond.send_response(response, true).map(|_| ())
    })
    .await;
    let proxy = between(&origin).start().await;

    let answer = called(&proxy, call("/pkg.Service/Missing")).await;

    assert_eq!((answer.status, &answer.headers["grpc-status"]), (200, &HeaderValue::from_static("5")));
    assert!(answer.body.is_empty() && answer.trailers.is_none(), "{answer:?}");
}

#[tokio::test]
async fn a_deadline_resets_the_servers_stream() {
    let given_up = Arc::new(Notify::new());
    let told = Arc::clone(&given_up);
    let origin = H2Origin::start(move |(_, mut respond)| {
        let told = Arc::clone(&told);
        async move {
            std::future::poll_fn(|cx| respond.poll_reset(cx)).await?;
            told.notify_one();
            Ok(())
        }
    })
    .await;
    let proxy = between(&origin).start().await;

    assert_status(&called(&proxy, call("/").header("grpc-timeout", "300m")).await, "4", "total_timeout");

    in_time("a reset", given_up.notified()).await;
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_probe_asks_the_servers_own_health() {
    let serving = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&serving);
    let origin = H2Origin::start(move |(request, mut respond)| {
        let status = if asked.load(Ordering::Relaxed) { 1 } else { 2 };
        async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            assert_eq!(next(&mut request.into_body()).await, Some(message("\n\u{b}pkg.Service")));
            let mut send = respond.send_response(begins(), false)?;
            send.send_data(vec![0, 0, 0, 0, 2, 8, status].into(), false)?;
            send.send_trailers(ok())
        }
    })
    .await;
    let health = "health = { grpc = \"pkg.Service\", interval = \"100ms\", unhealthy_after = 1, healthy_after = 1 }";
    let proxy = between(&origin).upstream(health).start().await;

    proxy.sees(&origin.place, true).await;
    serving.store(false, Ordering::Relaxed);
    proxy.sees(&origin.place, false).await;
    let upstreams = proxy.asks_admin("/api/upstreams").await.text();
    assert!(upstreams.contains("NOT_SERVING, wanted SERVING"), "{upstreams}");
}

//! How much a peer must move while it is waited for, and that nobody pays for the slowness of another.

use evenkeel_testkit::{Answer, Origin, Proxy, RawOrigin, Script, Wire};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// More than the kernel holds on both sides together.
const LARGE: usize = 64 << 20;
/// How long a side is held up where that must not matter: well above the grace of the other.
const PAUSE: Duration = Duration::from_millis(1500);
/// A rate that no pause of that length is above, and a grace that it is longer than.
const STRICT: &str = "timeouts = { body_rate_min = \"1MiB\", body_rate_grace = \"300ms\" }";
const SECOND: Duration = Duration::from_secs(1);

async fn socket(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.web().port())).await.expect("the proxy accepts")
}

#[tokio::test]
async fn a_client_that_sends_one_byte_a_second_is_cut_below_the_least_rate() {
    let origin = RawOrigin::start(Script::answering(OK)).await;
    let rate = "timeouts = { body_rate_min = \"100B\", body_rate_grace = \"1500ms\" }";
    let proxy = Proxy::with_upstream(&origin).listener(rate).access_log().start().await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n").await;
    let begun = Instant::now();

    let sent = wire.drip("x".repeat(100), SECOND).await;

    assert!(sent < 15 && begun.elapsed() > SECOND, "{sent} bytes in {:?}", begun.elapsed());
    origin.is_left(0).await;
    assert!(origin.requests().is_empty(), "it never looks complete");
    proxy.counts_local("request_too_slow", 1).await;
    let log = proxy.access_log_with(1).await;
    assert_eq!((&log[0]["status"], &log[0]["reason"]), (&408.into(), &"request_too_slow".into()));
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_client_that_sends_no_slower_than_the_least_rate_is_served() {
    let origin = Origin::http1().start().await;
    let rate = "timeouts = { body_rate_min = \"4B\", body_rate_grace = \"1s\" }";
    let proxy = Proxy::with_upstream(&origin).listener(rate).start().await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n").await;

    // Three times the grace, at three times the rate.
    wire.drip("x".repeat(40), Duration::from_millis(80)).await;

    assert_eq!(wire.response().await.status, 200);
}

#[tokio::test]
async fn a_client_whose_endpoint_does_not_take_its_upload_is_not_too_slow() {
    let (gate, _) = watch::channel(false);
    let origin = RawOrigin::start(Script::new().waits_for(&gate).reads_request().sends(OK)).await;
    let proxy = Proxy::with_upstream(&origin).listener(STRICT).start().await;
    let mut wire = proxy.wire().await;
    wire.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;

    let open = async {
        // The time itself is under test.
        tokio::time::sleep(PAUSE).await;
        gate.send_replace(true);
    };
    tokio::join!(open, wire.send(vec![b'x'; LARGE]));

    assert_eq!(wire.response().await.status, 200);
}

#[tokio::test]
async fn a_client_that_takes_one_byte_a_second_is_cut_below_the_least_rate() {
    let origin = Origin::http1().answers(Answer::text(vec![b'x'; LARGE])).start().await;
    let rate = "timeouts = { body_rate_min = \"1KiB\", body_rate_grace = \"1500ms\" }";
    let proxy = Proxy::with_upstream(&origin).listener(rate).access_log().start().await;
    let mut socket = socket(&proxy).await;
    socket.write_all(GET.as_bytes()).await.expect("it is taken");
    let reading = tokio::spawn(async move {
        while socket.read_u8().await.is_ok() {
            tokio::time::sleep(SECOND).await;
        }
    });

    proxy.counts_local("response_too_slow", 1).await;

    proxy.is_idle().await;
    assert_eq!(proxy.access_log_with(1).await[0]["reason"], "response_too_slow");
    reading.abort();
}

#[tokio::test]
async fn a_client_whose_answer_is_offered_slowly_is_not_too_slow() {
    let drips = Script::new()
        .reads_request()
        .sends("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        .drips("01234567890123456789", Duration::from_millis(80));
    let origin = RawOrigin::start(drips).await;
    let proxy = Proxy::with_upstream(&origin).listener(STRICT).start().await;

    assert_eq!(Wire::exchange(proxy.web(), GET).await.text(), "01234567890123456789");
}

#[tokio::test]
async fn a_client_that_takes_its_answer_slowly_and_steadily_gets_it() {
    let origin = Origin::http1().answers(Answer::text(vec![b'x'; LARGE])).start().await;
    let timeouts = "timeouts = { body_stall = \"2s\", body_rate_min = \"50KiB\", body_rate_grace = \"2s\" }";
    let proxy = Proxy::with_upstream(&origin).listener(timeouts).start().await;
    let mut socket = socket(&proxy).await;
    socket.write_all(GET.as_bytes()).await.expect("it is taken");

    // Three times either limit. A socket can be written to again when a third of its buffer is free, which may take longer.
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..60 {
        socket.read_exact(&mut buffer).await.expect("the answer goes on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let metrics = proxy.metrics().await;
    assert!(metrics.sum("evenkeel_responses_local_total", &[]).abs() < 0.5, "{}", metrics.text());
}

#[tokio::test]
async fn an_endpoint_that_sends_its_answer_below_the_least_rate_is_given_up() {
    let drips = Script::new()
        .reads_request()
        .sends("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        .drips("x".repeat(100), SECOND);
    let origin = RawOrigin::start(drips).await;
    let rate = "timeouts = { body_rate_min = \"100B\", body_rate_grace = \"1500ms\" }";
    let proxy = Proxy::with_upstream(&origin).upstream(rate).start().await;

    let response = Wire::exchange(proxy.web(), GET).await;

    assert!(response.status == 200 && !response.is_complete(), "{response:?}");
    origin.is_left(0).await;
    proxy.counts_local("upstream_too_slow", 1).await;
}

#[tokio::test]
async fn an_endpoint_whose_answer_is_not_taken_is_not_too_slow() {
    let origin = Origin::http1().answers(Answer::text(vec![b'x'; LARGE])).start().await;
    let proxy = Proxy::with_upstream(&origin).upstream(STRICT).start().await;
    let mut wire = proxy.wire().await;
    wire.send(GET).await;
    proxy.metrics_show("the answer has begun", |m| m.sum("evenkeel_bytes_total", &[("direction", "out")]) > 10.0).await;

    // The time itself is under test.
    tokio::time::sleep(PAUSE).await;

    let response = wire.response().await;
    assert!(response.is_complete() && response.text().len() == LARGE, "{}", response.status);
}

//! Clients that go away in the middle: everything is given back, and somebody writes it down (D14).

use evenkeel_testkit::{Answer, Origin, Proxy, RawOrigin, Script, Wire, eventually, hostile};
use std::time::Duration;

async fn slow() -> (Proxy, Origin) {
    let origin = Origin::http1().answers(Answer::echo().after(Duration::from_mins(10))).start().await;
    (Proxy::with_upstream(&origin).access_log().start().await, origin)
}

async fn asked(proxy: &Proxy, origin: &Origin) -> Wire {
    let mut wire = proxy.wire().await;
    wire.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the endpoint has the request", || origin.in_flight() == 1).await;
    wire
}

async fn is_written_down(proxy: &Proxy, origin: &Origin) {
    eventually("the endpoint's request is cancelled", || origin.in_flight() == 0 && origin.cancelled() == 1).await;
    proxy.is_idle().await;
    proxy.counts_local("client_closed", 1).await;
    let log = proxy.access_log_with(1).await;
    assert_eq!((&log[0]["reason"], &log[0]["path"]), (&"client_closed".into(), &"/slow".into()), "{log:#?}");
    assert!(log[0]["status"] == 499 || log[0]["status"].is_null(), "{log:#?}");
}

#[tokio::test]
async fn a_client_that_resets_while_it_waits_cancels_the_endpoints_request() {
    let (proxy, origin) = slow().await;
    asked(&proxy, &origin).await.reset();
    is_written_down(&proxy, &origin).await;
}

#[tokio::test]
async fn a_client_that_resets_behind_requests_that_it_sent_ahead_cancels_the_one_that_waits() {
    let (proxy, origin) = slow().await;
    let mut wire = asked(&proxy, &origin).await;
    wire.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10)).await;

    wire.reset();

    is_written_down(&proxy, &origin).await;
}

#[tokio::test]
async fn a_client_that_ended_its_side_and_is_served_may_still_go_and_cancels_its_request() {
    let origin = Origin::http1().answers(Answer::echo().after(Duration::from_mins(10))).start().await;
    let proxy = Proxy::with_upstream(&origin).listener("half_closed_clients = \"serve\"").access_log().start().await;
    let mut wire = asked(&proxy, &origin).await;
    wire.finish().await;
    wire.reset();
    is_written_down(&proxy, &origin).await;

    let wire = asked(&proxy, &origin).await;
    wire.reset();
    eventually("the endpoint's request is cancelled", || origin.cancelled() == 2).await;
}

#[tokio::test]
async fn requests_that_were_sent_ahead_of_an_end_are_served_where_the_listener_says_so() {
    let origin = Origin::http1().answers(Answer::text("patience").after(Duration::from_millis(50))).start().await;
    let proxy = Proxy::with_upstream(&origin).listener("half_closed_clients = \"serve\"").start().await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)).await;
    wire.finish().await;

    for _ in 0..3 {
        assert_eq!(wire.response().await.text(), "patience");
    }
    wire.closed().await;
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn a_client_that_closes_while_it_waits_cancels_the_endpoints_request() {
    let (proxy, origin) = slow().await;
    drop(asked(&proxy, &origin).await);
    is_written_down(&proxy, &origin).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_upload_leaves_no_trace_in_flight() {
    let (proxy, origin) = slow().await;
    let mut wire = proxy.wire().await;
    wire.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome of it").await;
    eventually("the endpoint has the head", || origin.in_flight() == 1).await;

    wire.reset();

    eventually("the endpoint is told", || origin.in_flight() == 0).await;
    proxy.is_idle().await;
    proxy.access_log_with(1).await;
}

#[tokio::test]
async fn a_client_that_ends_its_side_in_the_middle_of_its_upload_gets_no_answer() {
    for half_closed in ["cancel", "serve"] {
        let origin = Origin::http1().answers(Answer::echo().after(Duration::from_mins(10))).start().await;
        let listener = format!("half_closed_clients = \"{half_closed}\"");
        let proxy = Proxy::with_upstream(&origin).listener(&listener).access_log().start().await;
        let mut wire = proxy.wire().await;
        wire.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome of it").await;
        eventually("the endpoint has the head", || origin.in_flight() == 1).await;

        wire.finish().await;

        wire.closed().await;
        eventually("the endpoint is told", || origin.in_flight() == 0).await;
        proxy.counts_local("client_closed", 1).await;
        let log = proxy.access_log_with(1).await;
        assert_eq!((&log[0]["reason"], &log[0]["status"]), (&"client_closed".into(), &499.into()), "{log:#?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_answer_leaves_no_trace_in_flight() {
    let origin = RawOrigin::start(hostile::stalls_in_its_body()).await;
    let proxy = Proxy::with_upstream(&origin).access_log().start().await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    proxy.metrics_show("the answer has begun", |m| m.sum("evenkeel_bytes_total", &[("direction", "out")]) > 10.0).await;

    wire.reset();

    origin.is_left(0).await;
    proxy.is_idle().await;
    assert_eq!(proxy.access_log_with(1).await[0]["reason"], "client_closed");
}

#[tokio::test]
async fn an_answer_that_came_for_a_client_that_left_is_not_given_to_another() {
    let (gate, _) = tokio::sync::watch::channel(false);
    let late = Script::new().reads_request().waits_for(&gate).sends("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
    let good = Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
    let origin = RawOrigin::start_each(vec![late, good]).await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;

    let mut wire = proxy.wire().await;
    wire.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the endpoint has the request", || origin.requests().len() == 1).await;
    wire.reset();
    proxy.is_idle().await;
    gate.send_replace(true);

    for response in proxy.client().get("/2").repeat(5).responses().await {
        assert_eq!(response.text(), "good");
    }
}

#[tokio::test]
async fn a_client_that_ends_its_side_while_it_waits_counts_as_gone() {
    let (proxy, origin) = slow().await;
    // Such an end looks like that of close(), so it cancels, as with nginx and Envoy.
    let mut wire = asked(&proxy, &origin).await;

    wire.finish().await;

    wire.rest().await;
    is_written_down(&proxy, &origin).await;
}

#[tokio::test]
async fn a_client_that_ends_its_side_while_it_waits_is_answered_where_the_listener_says_so() {
    let origin = Origin::http1().answers(Answer::text("patience").after(Duration::from_millis(300))).start().await;
    let proxy = Proxy::with_upstream(&origin).listener("half_closed_clients = \"serve\"").start().await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the endpoint has the request", || origin.in_flight() == 1).await;

    wire.finish().await;

    assert_eq!(wire.response().await.text(), "patience");
    wire.closed().await;
}

//! The kit against itself: what a client sends is what an origin sees, and both count the same.

use crate::{Answer, Chance, Client, DeadEndpoint, Ending, Load, Origin, RawOrigin, Script, Wire, eventually, hostile};
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test]
async fn an_origin_echoes_what_it_got() {
    let origin = Origin::http1().named("a").start().await;
    let response = Client::of(origin.place()).post("/x?y=1", "hello").header("x-test", "1").send().await;
    let echo = response.json();
    assert_eq!((response.status, response.origin()), (200, "a"));
    assert_eq!((&echo["method"], &echo["target"], &echo["body"]), (&"POST".into(), &"/x?y=1".into(), &"hello".into()));
    assert_eq!(origin.last_seen().header("x-test"), Some("1"));
}

#[tokio::test]
async fn a_client_keeps_its_connection() {
    let origin = Origin::http1().start().await;
    let client = Client::of(origin.place());
    assert_eq!(client.get("/").repeat(20).statuses().await, [200; 20]);
    assert_eq!((origin.requests(), origin.connections(), client.connections()), (20, 1, 1));
}

#[tokio::test]
async fn an_origin_can_close_after_each_response_without_saying_so() {
    let origin = Origin::http1().closes_after_each_response().start().await;
    let responses = Client::of(origin.place()).get("/").repeat(20).responses().await;
    assert!(responses.iter().all(|response| response.status == 200 && response.header("connection").is_none()));
    assert_eq!(origin.connections(), 20);
}

#[tokio::test]
async fn probes_are_answered_by_the_health_switch_and_counted_apart() {
    let origin = Origin::http1().start().await;
    let client = Client::of(origin.place());
    assert_eq!(client.get("/health").status().await, 200);
    origin.set_healthy(false);
    assert_eq!(client.get("/health").status().await, 500);
    assert_eq!((origin.requests(), origin.probes()), (0, 2));
}

#[tokio::test]
async fn a_path_can_be_given_an_answer_of_its_own() {
    let origin = Origin::http1().at("/slow", Answer::status(503).after(Duration::from_millis(5))).start().await;
    let client = Client::of(origin.place());
    assert_eq!(client.get("/slow").status().await, 503);
    origin.set_answer("/slow", Answer::text("ok").header("x-a", "b"));
    let response = client.get("/slow").send().await;
    assert_eq!((response.text().as_str(), response.header("x-a")), ("ok", Some("b")));
}

#[tokio::test]
async fn a_stopped_origin_refuses_and_comes_back_on_its_port() {
    let mut origin = Origin::http1().start().await;
    let client = Client::of(origin.place());
    assert_eq!(client.get("/").status().await, 200);
    origin.stop().await;
    assert!(client.get("/").try_send().await.is_err());
    origin.restart();
    assert_eq!(client.get("/").status().await, 200);
}

#[tokio::test]
async fn an_origin_can_be_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let mut origin = Origin::http1().on_unix(folder.path().join("a.sock")).start().await;
    assert_eq!(Client::of(origin.place()).get("/").status().await, 200);
    origin.stop().await;
    origin.restart();
    assert_eq!(Client::of(origin.place()).get("/").status().await, 200);
}

#[tokio::test]
async fn a_request_whose_client_leaves_is_seen_as_cancelled() {
    let origin = Origin::http1().answers(Answer::echo().after(Duration::from_mins(1))).start().await;
    let mut wire = Wire::to(origin.place()).await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request is in flight", || origin.in_flight() == 1).await;
    wire.reset();
    eventually("the request is gone", || origin.in_flight() == 0).await;
    assert_eq!(origin.cancelled(), 1);
}

#[tokio::test]
async fn a_dead_endpoint_refuses() {
    let dead = DeadEndpoint::refusing();
    let failure = Client::of(dead.place()).get("/").try_send().await.unwrap_err();
    assert!(failure.to_string().starts_with("no connection"), "{failure}");
}

#[tokio::test]
async fn a_silent_endpoint_does_not_even_refuse() {
    let silent = DeadEndpoint::silent().await;
    let connecting = tokio::time::timeout(Duration::from_millis(300), silent.place().connect()).await;
    assert!(connecting.is_err(), "{connecting:?}");
}

#[tokio::test]
async fn a_raw_origin_keeps_the_exact_bytes() {
    let origin = RawOrigin::start(Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")).await;
    let mut wire = Wire::to(origin.place()).await;
    let requests = ["POST /a HTTP/1.1\r\nHOST:  a\r\nContent-Length: 3\r\n\r\nabc", "GET /b HTTP/1.1\r\n\r\n"];
    for request in requests {
        wire.send(request).await;
        assert_eq!(wire.response().await.text(), "hi");
    }
    assert_eq!(origin.requests(), requests);
    drop(wire);
    assert_eq!(origin.is_left(0).await, Ending::Fin);
}

#[tokio::test]
async fn a_raw_origin_plays_each_connection_its_script() {
    let (gate, _) = watch::channel(false);
    let waits = Script::new().reads_request().waits_for(&gate).drips("HTTP/1.1 204 No Content\r\n\r\n", Duration::ZERO);
    let origin = RawOrigin::start_each(vec![hostile::resets_instead_of_an_answer(), waits]).await;

    let mut first = Wire::to(origin.place()).await;
    first.send("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(first.try_response().await.unwrap_err(), Ending::Reset);

    let mut second = Wire::to(origin.place()).await;
    second.send("GET / HTTP/1.1\r\n\r\n").await;
    eventually("the request was read", || origin.requests().len() == 2).await;
    gate.send(true).unwrap();
    assert_eq!(second.response().await.status, 204);
    second.reset();
    assert_eq!(origin.is_left(1).await, Ending::Reset);
}

#[tokio::test]
async fn a_cut_body_is_told_from_a_whole_one() {
    for (script, body) in [
        (hostile::promises_more_than_it_sends(), "0123456789"),
        (hostile::cuts_its_chunks(), "helloworld"),
        (hostile::sends_a_bad_chunk(), "hello"),
    ] {
        let origin = RawOrigin::start(script).await;
        let response = Wire::exchange(origin.place(), "GET / HTTP/1.1\r\n\r\n").await;
        assert!(!response.is_complete(), "{response:?}");
        assert!(response.text().starts_with(body), "{response:?}");
    }
    let origin = RawOrigin::start(hostile::sends_more_than_it_promised()).await;
    let response = Wire::exchange(origin.place(), "GET / HTTP/1.1\r\n\r\n").await;
    assert!(response.is_complete() && response.text() == "hello", "{response:?}");
}

#[tokio::test]
async fn a_load_counts_what_the_origin_counts() {
    let origin = Origin::http1().start().await;
    let report = Load::on(origin.place()).kept(4).fresh(2).rate(2_000).requests(300).run().await;
    report.assert_all_ok();
    assert_eq!((report.answered(), origin.requests()), (300, 300));
    assert_eq!(report.connections, origin.connections() as u64);
}

#[tokio::test]
async fn a_load_reports_each_failure() {
    let dead = DeadEndpoint::refusing();
    let report = Load::on(dead.place()).rate(1_000).requests(50).run().await;
    assert_eq!((report.failed, report.answered()), (50, 0));
    assert!(report.failures[0].contains("no connection"), "{:?}", report.failures);
}

#[tokio::test]
async fn a_load_can_be_stopped() {
    let origin = Origin::http1().start().await;
    let load = Load::on(origin.place()).rate(1_000).start();
    load.answers_more(20).await;
    let report = load.stop().await;
    assert_eq!(report.answered(), origin.requests() as u64);
}

#[tokio::test]
async fn chance_is_bounded() {
    let mut chance = Chance::printed();
    assert!(
        (0..1_000).all(|_| chance.below(10) < 10 && chance.pause(Duration::from_millis(1)) < Duration::from_millis(1))
    );
}

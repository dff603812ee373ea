//! How many connections to an endpoint of HTTP/2 are made, which requests wait for them, and what comes of waiting requests.

use super::{
    origin::{FrameOrigin, H2Origin, echo},
    talk::{Talk, request},
};
use evenkeel_testkit::{Builder, Frame, FrameWire, Proxy, Wire, eventually, in_time};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinHandle, time::timeout};

const MAX_CONCURRENT_STREAMS: u16 = 3;

/// A connection has more time than the tests need before they let it come to be.
fn h2c_endpoint(endpoint: impl std::fmt::Display) -> Builder {
    Proxy::with_upstream(endpoint).upstream("protocol = \"h2c\"\ntimeouts.connect = \"30s\"").workers(1)
}

/// So many requests at once, each over a connection of its own.
fn ask(proxy: &Proxy, requests: usize) -> Vec<JoinHandle<u16>> {
    let ask = |_| {
        let client = proxy.client();
        tokio::spawn(async move { client.get("/").send().await.status })
    };
    (0..requests).map(ask).collect()
}

async fn all_are_there(proxy: &Proxy, requests: usize) {
    let what = format!("{requests} requests are in flight");
    let in_flight = "evenkeel_endpoint_requests_in_flight";
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let goal = requests as f64;
    proxy.metrics_show(&what, |m| (m.sum(in_flight, &[]) - goal).abs() < 0.5).await;
}

async fn no_more_connections(origin: &FrameOrigin) {
    assert!(timeout(Duration::from_millis(150), origin.accept_bare()).await.is_err(), "one connection too many");
}

/// Answers so many requests with 204.
async fn answer(wire: &mut FrameWire, requests: usize) {
    for _ in 0..requests {
        assert!(answer_next(wire).await, "the connection has ended");
    }
}

/// Answers all that come.
async fn answer_all(mut wire: FrameWire) {
    while answer_next(&mut wire).await {}
}

/// Answers the next request; false: the connection has ended.
async fn answer_next(wire: &mut FrameWire) -> bool {
    while let Some(frame) = wire.frame().await {
        if frame.kind == Frame::HEADERS {
            wire.send(Frame::headers(frame.stream, &[(":status", "204")], true)).await;
            return true;
        }
    }
    false
}

async fn statuses(asked: Vec<JoinHandle<u16>>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for answer in asked {
        statuses.push(in_time("an answer", answer).await.expect("an answer"));
    }
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn many_requests_at_once_make_no_more_connections_than_carry_them() {
    let gate = Arc::new(Semaphore::new(0));
    let at = Arc::clone(&gate);
    let origin = H2Origin::start(move |stream| {
        let gate = Arc::clone(&at);
        async move {
            gate.acquire().await.expect("open").forget();
            echo(stream).await
        }
    })
    .await;
    let proxy = h2c_endpoint(&origin.place).listener("protocol = \"h2c\"").start().await;
    let mut asked = Vec::new();
    for _ in 0..4 {
        let talk = Talk::to(proxy.web()).await;
        for _ in 0..100 {
            let talk = talk.clone();
            asked.push(tokio::spawn(async move { talk.ask(request("GET", "/")).await.expect("an answer").status }));
        }
    }

    eventually("all are there at once", || origin.heads().len() == 400).await;
    assert_eq!(origin.connections(), 4);
    gate.add_permits(400);
    assert_eq!(statuses(asked).await, [200; 400]);
}

#[tokio::test]
async fn as_many_connections_are_made_at_once_as_the_waiting_requests_need() {
    let origin = FrameOrigin::start();
    let proxy = h2c_endpoint(&origin.place).start().await;
    let first = ask(&proxy, 1);
    let mut open = origin.accept(&[(MAX_CONCURRENT_STREAMS, 10)]).await;
    answer(&mut open, 1).await;
    assert_eq!(statuses(first).await, [204]);

    // Ten of them on the connection that is open, and the others on two that are not there yet.
    let asked = ask(&proxy, 25);
    all_are_there(&proxy, 25).await;
    let made = [origin.accept_bare().await, origin.accept_bare().await];
    no_more_connections(&origin).await;

    tokio::spawn(answer_all(open));
    for socket in made {
        tokio::spawn(answer_all(FrameWire::accepted(socket, &[(MAX_CONCURRENT_STREAMS, 10)]).await));
    }
    assert_eq!(statuses(asked).await, [204; 25]);
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_fails_the_requests_that_wait_for_it_and_no_others() {
    let origin = FrameOrigin::start();
    let proxy = h2c_endpoint(&origin.place).start().await;
    let asked = ask(&proxy, 150);
    all_are_there(&proxy, 150).await;
    let (first, second) = (origin.accept_bare().await, origin.accept_bare().await);
    no_more_connections(&origin).await;

    drop(first);
    proxy.counts_local("upstream_reset", 100).await;
    let mut second = FrameWire::accepted(second, &[]).await;
    answer(&mut second, 50).await;

    let statuses = statuses(asked).await;
    assert_eq!((&statuses[..50], &statuses[50..]), (&[204; 50][..], &[502; 100][..]));
    no_more_connections(&origin).await;
}

#[tokio::test]
async fn a_waiting_request_makes_the_connection_when_the_one_that_was_making_it_is_gone() {
    let origin = FrameOrigin::start();
    let proxy = h2c_endpoint(&origin.place).start().await;
    let mut maker: Wire = proxy.wire().await;
    maker.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let given_up = origin.accept_bare().await;
    let asked = ask(&proxy, 20);
    all_are_there(&proxy, 21).await;

    drop(maker);

    let mut second = origin.accept(&[]).await;
    answer(&mut second, 20).await;
    assert_eq!(statuses(asked).await, [204; 20]);
    no_more_connections(&origin).await;
    drop(given_up);
}

#[tokio::test]
async fn the_streams_of_one_client_wait_for_the_connection_that_is_made_in_its_name_and_for_no_other() {
    let origin = FrameOrigin::start();
    let builder = h2c_endpoint(&origin.place).upstream("proxy_protocol = \"v1\"").listener("protocol = \"h2c\"");
    let proxy = builder.start().await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let talk = Talk::to(proxy.web()).await;
        for _ in 0..20 {
            open.push(talk.begin(request("GET", "/"), true).await.unwrap());
        }
    }
    all_are_there(&proxy, 40).await;

    let made = [origin.accept_bare().await, origin.accept_bare().await];
    no_more_connections(&origin).await;
    drop(made);
}

#[tokio::test]
async fn a_stream_that_becomes_free_goes_to_a_request_that_waits_for_a_connection() {
    let origin = FrameOrigin::start();
    let proxy = h2c_endpoint(&origin.place).start().await;
    let mut asked = ask(&proxy, 2);
    let mut open = origin.accept(&[(MAX_CONCURRENT_STREAMS, 2)]).await;
    open.frame_of(Frame::HEADERS, 1).await.expect("a request");
    open.frame_of(Frame::HEADERS, 3).await.expect("a request");
    // The third makes a connection that does not come to be, and the fourth waits for it.
    asked.extend(ask(&proxy, 2));
    let hangs = origin.accept_bare().await;
    all_are_there(&proxy, 4).await;

    open.send(Frame::headers(1, &[(":status", "204")], true)).await;

    open.frame_of(Frame::HEADERS, 5).await.expect("the fourth");
    for stream in [3, 5] {
        open.send(Frame::headers(stream, &[(":status", "204")], true)).await;
    }
    answer(&mut FrameWire::accepted(hangs, &[]).await, 1).await;
    assert_eq!(statuses(asked).await, [204; 4]);
    proxy.is_idle().await;
}

//! `limits.connections_max`: who has a place, who waits for one, and who gives one up.

use evenkeel_testkit::{
    Answer, Authority, Ending, Frame, FrameWire, Origin, Proxy, TlsClient, Wire, eventually, in_time,
};
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const HOLD: &str = "GET /hold HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// A proxy with so many places and one worker.
async fn with_places(places: usize, listener: &str) -> (Proxy, Origin) {
    let origin = Origin::http1().at("/hold", Answer::text("done").after(Duration::from_secs(2))).start().await;
    let limits = format!("[limits]\nconnections_max = {places}");
    let proxy = Proxy::with_upstream(&origin).listener(listener).more(&limits).workers(1).start().await;
    (proxy, origin)
}

/// A connection that has been served, and is kept.
async fn served(mut wire: Wire) -> Wire {
    wire.send(GET).await;
    assert_eq!(wire.response().await.status, 200);
    wire
}

async fn reclaims(proxy: &Proxy, connections: u32) {
    let goal = f64::from(connections);
    let what = format!("{connections} have given way");
    proxy.metrics_show(&what, |m| (m.sum("evenkeel_connections_reclaimed_total", &[]) - goal).abs() < 0.5).await;
}

#[tokio::test]
async fn where_all_are_at_work_a_client_waits_for_a_place_and_is_counted() {
    let (proxy, origin) = with_places(4, "").await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        let mut wire = proxy.wire().await;
        wire.send(HOLD).await;
        busy.push(wire);
    }
    eventually("all are at work", || origin.in_flight() == 4).await;

    let mut fifth = proxy.wire().await;
    fifth.send(GET).await;
    proxy.metrics_show("it waits", |m| m.sum("evenkeel_connections_queued_total", &[]) > 0.5).await;
    assert_eq!(origin.requests(), 4);

    // The first that comes to its end makes room, and the answers of all are whole.
    assert_eq!(fifth.response().await.status, 200);
    for wire in &mut busy {
        assert_eq!(wire.response().await.text(), "done");
    }
    reclaims(&proxy, 1).await;
}

#[tokio::test]
async fn a_new_client_gets_the_place_of_the_one_that_was_idle_for_longest() {
    let (proxy, origin) = with_places(4, "").await;
    let mut busy = proxy.wire().await;
    busy.send(HOLD).await;
    eventually("it is at work", || origin.in_flight() == 1).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(served(proxy.wire().await).await);
        // What is a tick apart can be told apart.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    // The first one is used again, so that the second has now waited for longest.
    let first = served(idle.remove(0)).await;
    idle.push(first);

    let new = served(proxy.wire().await).await;

    assert_eq!(in_time("one gives way", idle[0].closed()).await, Ending::Fin);
    reclaims(&proxy, 1).await;
    drop(new);
    assert_eq!(busy.response().await.text(), "done");
    for kept in idle.drain(1..) {
        served(kept).await;
    }
}

#[tokio::test]
async fn an_idle_client_of_http_2_is_told_before_its_place_is_taken() {
    let (proxy, _origin) = with_places(1, "protocol = \"h2c\"").await;
    for _ in 0..3 {
        let mut wire = FrameWire::to(proxy.web(), &[]).await;
        wire.send(Frame::get(1, "/")).await;
        assert!(wire.frame_of(Frame::HEADERS, 1).await.is_some());
        let mut next = FrameWire::to(proxy.web(), &[]).await;
        next.send(Frame::get(1, "/")).await;

        // GOAWAY that refuses nothing yet, and a PING behind it: what is asked meanwhile is answered.
        assert_eq!(wire.goaway().await, Some(0));
        wire.send(Frame::get(3, "/")).await;
        let ping = wire.frame_of(Frame::PING, 0).await.expect("a question");
        wire.send(Frame::new(Frame::PING, Frame::ACK, 0, ping.payload)).await;
        assert!(wire.frame_of(Frame::HEADERS, 3).await.is_some());

        assert!(next.frame_of(Frame::HEADERS, 1).await.is_some(), "the new one has the place");
        drop(next);
        proxy.metrics_show("it is free", |m| m.sum("evenkeel_connections", &[]).abs() < 0.5).await;
    }
}

#[tokio::test]
async fn an_idle_client_of_http_2_that_does_not_answer_keeps_its_place_for_a_short_time_only() {
    let lines = "protocol = \"h2c\"\ntimeouts.request_head = \"500ms\"\ntimeouts.idle = \"60s\"";
    let (proxy, _origin) = with_places(1, lines).await;
    let mut mute = FrameWire::to(proxy.web(), &[]).await;
    mute.send(Frame::get(1, "/")).await;
    assert!(mute.frame_of(Frame::HEADERS, 1).await.is_some());

    let mut next = FrameWire::to(proxy.web(), &[]).await;
    next.send(Frame::get(1, "/")).await;

    assert!(next.frame_of(Frame::HEADERS, 1).await.is_some());
    assert_eq!(mute.goaway().await, Some(0));
}

#[tokio::test]
async fn an_idle_client_within_tls_is_told_too() {
    let authority = Authority::new("Test Authority");
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin)
        .listener("tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]")
        .more("[limits]\nconnections_max = 1");
    authority.server(&["a.test"]).make().write(builder.folder(), "a");
    let proxy = builder.start().await;
    let client = TlsClient::new(&authority, "a.test");
    let mut idle = served(client.connect(proxy.web()).await.wire).await;

    let new = served(client.connect(proxy.web()).await.wire).await;

    // An end without close_notify would be no `Fin`.
    assert_eq!(idle.closed().await, Ending::Fin);
    drop(new);
}

#[tokio::test]
async fn idle_connections_of_one_worker_give_way_to_clients_of_another() {
    let origin = Origin::http1().start().await;
    let limits = "[limits]\nconnections_max = 6";
    let proxy = Proxy::with_upstream(&origin).more(limits).workers(3).start().await;
    let mut kept = Vec::new();

    // Whichever worker each comes to.
    for _ in 0..40 {
        kept.push(served(proxy.wire().await).await);
    }

    proxy.metrics_show("no more than there are places", |m| m.sum("evenkeel_connections", &[]) < 6.5).await;
    reclaims(&proxy, 34).await;
}

#[tokio::test]
async fn a_storm_of_new_clients_is_served_where_all_places_are_idle() {
    let (proxy, _origin) = with_places(100, "").await;
    let mut kept = Vec::new();
    for _ in 0..300 {
        kept.push(served(proxy.wire().await).await);
    }
    reclaims(&proxy, 200).await;
    proxy.metrics_show("the others are kept", |m| (m.sum("evenkeel_connections", &[]) - 100.0).abs() < 0.5).await;
}

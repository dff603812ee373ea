//! Clients that are gone without a word, and those that are only quiet.

use super::talk::h2c;
use evenkeel_testkit::{Answer, Builder, Frame, FrameWire, Origin, eventually};
use std::time::Duration;

async fn slow() -> Origin {
    Origin::http1().at("/hold", Answer::text("done").after(Duration::from_mins(10))).start().await
}

fn asking(origin: &Origin) -> Builder {
    h2c(origin).listener("http2 = { ping_interval = \"200ms\", ping_timeout = \"300ms\" }").access_log()
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_ping_is_gone_and_what_it_asked_for_is_cancelled() {
    let origin = slow().await;
    let proxy = asking(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    wire.send(Frame::get(1, "/hold")).await;
    eventually("the endpoint has it", || origin.in_flight() == 1).await;

    // It keeps the connection and says nothing.
    let ping = wire.frame_of(Frame::PING, 0).await.expect("it is asked");
    assert_eq!(ping.flags, 0);
    wire.ended().await;

    eventually("its request is cancelled", || origin.in_flight() == 0 && origin.cancelled() == 1).await;
    proxy.is_idle().await;
    proxy.metrics_show("its place is free", |m| m.sum("evenkeel_connections", &[]) < 0.5).await;
    let log = proxy.access_log_with(1).await;
    assert_eq!((&log[0]["status"], &log[0]["reason"]), (&499.into(), &"client_closed".into()));
}

#[tokio::test]
async fn so_is_one_that_has_no_request() {
    let proxy = asking(&slow().await).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    wire.frame_of(Frame::PING, 0).await.expect("it is asked");
    wire.ended().await;
    proxy.metrics_show("its place is free", |m| m.sum("evenkeel_connections", &[]) < 0.5).await;
}

#[tokio::test]
async fn a_client_that_answers_stays_however_quiet_it_is() {
    let origin = slow().await;
    let proxy = asking(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    wire.send(Frame::get(1, "/hold")).await;
    eventually("the endpoint has it", || origin.in_flight() == 1).await;

    // Together a second and more, in which it says nothing else.
    for _ in 0..5 {
        let ping = wire.frame_of(Frame::PING, 0).await.expect("it is asked again and again");
        wire.send(Frame::new(Frame::PING, Frame::ACK, 0, &ping.payload)).await;
    }

    wire.send(Frame::get(3, "/")).await;
    wire.frame_of(Frame::HEADERS, 3).await.expect("the connection goes on");
    assert_eq!((origin.in_flight(), origin.cancelled()), (1, 0));
}

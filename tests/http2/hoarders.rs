//! Clients that take as many answers as they may and read none: what they make us hold has a bound for each, and nothing is lost by it.

use super::{
    memory::Memory,
    talk::{Talk, h2c, request},
};
use bytes::Bytes;
use evenkeel_testkit::{Answer, Frame, FrameWire, Origin, Place, Proxy, eventually, in_time};
use std::time::{Duration, Instant};

/// As many as `limits.streams_max` allows.
const STREAMS: u32 = 128;
const INITIAL_WINDOW_SIZE: u16 = 4;
const WINDOW_MAX: u32 = (1 << 31) - 1;
const LARGE: usize = 4 << 20;
/// Nobody is given up while we look.
const PATIENT: &str = "timeouts.body_stall = \"10m\"";

async fn large() -> Origin {
    Origin::http1().at("/large", Answer::text(Bytes::from(vec![b'x'; LARGE]))).start().await
}

/// Waits until no byte has gone to clients for a while.
async fn nothing_moves(proxy: &Proxy) {
    let (mut last, mut since) = (-1.0, Instant::now());
    while since.elapsed() < Duration::from_millis(500) {
        let bytes = proxy.metrics().await.sum("evenkeel_bytes_total", &[]);
        if (bytes - last).abs() > 0.5 {
            (last, since) = (bytes, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks for many answers, each of which may be sent up to `window`, and reads none.
async fn asks_for_all(place: &Place, window: u32, streams: u32) -> FrameWire {
    let mut client = FrameWire::to(place, &[(INITIAL_WINDOW_SIZE, window)]).await;
    client.send(Frame::new(Frame::WINDOW_UPDATE, 0, 0, (WINDOW_MAX - 65_535).to_be_bytes())).await;
    for stream in 0..streams {
        client.send(Frame::get(stream * 2 + 1, "/large")).await;
    }
    client
}

/// A socket that takes nothing, and windows that do not: 18 MiB were held before there was a bound for all streams of a connection.
#[tokio::test]
async fn a_client_that_reads_none_of_its_answers_holds_no_more_than_its_share() {
    for window in [WINDOW_MAX, 20_000] {
        let origin = large().await;
        let proxy = h2c(&origin).listener(PATIENT).workers(1).start().await;
        assert_eq!(Talk::to(proxy.web()).await.ask(request("GET", "/")).await.unwrap().status, 200);
        let memory = Memory::of(&proxy);

        let client = asks_for_all(proxy.web(), window, STREAMS).await;

        eventually("all are asked for", || origin.requests() > STREAMS as usize).await;
        nothing_moves(&proxy).await;
        let grown = memory.grown();
        println!("window {window}: at most {grown} KiB more than before");
        assert!(grown < 12 << 10, "window {window}: {grown} KiB");
        drop(client);
        proxy.is_idle().await;
    }
}

#[tokio::test]
async fn answers_that_are_not_taken_do_not_hold_up_another_one() {
    let origin = large().await;
    let proxy = h2c(&origin).listener(PATIENT).workers(1).start().await;
    // Each stream takes 1000 bytes and then no more; the connection takes all.
    let mut client = asks_for_all(proxy.web(), 1000, 50).await;
    nothing_moves(&proxy).await;

    client.send(Frame::get(201, "/")).await;
    client.send(Frame::new(Frame::WINDOW_UPDATE, 0, 201, (1_u32 << 20).to_be_bytes())).await;

    while !client.frame_on(201).await.expect("an answer").ends_stream() {}
}

/// They hold all that the connection may, until their time is over.
#[tokio::test]
async fn an_answer_for_which_there_is_no_room_comes_when_those_before_it_are_given_up() {
    let origin = large().await;
    let proxy = h2c(&origin).listener("timeouts.body_stall = \"1s\"").workers(1).start().await;
    let mut client = asks_for_all(proxy.web(), 1000, STREAMS - 1).await;

    client.send(Frame::get(501, "/")).await;
    client.send(Frame::new(Frame::WINDOW_UPDATE, 0, 501, (1_u32 << 20).to_be_bytes())).await;

    while !client.frame_on(501).await.expect("an answer").ends_stream() {}
}

/// What was offered and dropped with its stream does not count for ever.
#[tokio::test]
async fn a_connection_that_gives_up_many_answers_still_gets_whole_ones() {
    let origin = large().await;
    let proxy = h2c(&origin).listener(PATIENT).workers(1).start().await;
    let mut client = asks_for_all(proxy.web(), 1 << 20, 0).await;
    for stream in 0..200 {
        client.send(Frame::get(stream * 2 + 1, "/large")).await;
        client.frame_of(Frame::DATA, stream * 2 + 1).await.expect("a part of it");
        client.send(Frame::reset(stream * 2 + 1, 8)).await;
    }

    client.send(Frame::get(1001, "/large")).await;
    client.send(Frame::new(Frame::WINDOW_UPDATE, 0, 1001, (8_u32 << 20).to_be_bytes())).await;

    let mut got = 0;
    in_time("the whole answer", async {
        loop {
            let frame = client.frame_on(1001).await.expect("more of it");
            got += if frame.kind == Frame::DATA { frame.payload.len() } else { 0 };
            if frame.ends_stream() {
                break;
            }
        }
    })
    .await;
    assert_eq!(got, LARGE);
}

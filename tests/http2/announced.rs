//! What we say of ourselves at the begin of a connection: each number of the handbook, as it travels.

use super::{
    origin::FrameOrigin,
    talk::{Talk, h2c, request},
};
use evenkeel_testkit::{Frame, FrameWire, Origin, Proxy};
use std::collections::BTreeMap;

// RFC 9113, section 6.5.2; RFC 8441, section 3.
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
/// What a connection's window is before anybody says anything (RFC 9113, section 6.9.2).
const WINDOW_BEFORE: u32 = 65_535;

/// The peer's SETTINGS, and its window for all streams together.
async fn greeting(wire: &mut FrameWire) -> (BTreeMap<u16, u32>, u32) {
    let settings = wire.frame().await.expect("SETTINGS");
    assert_eq!((settings.kind, settings.flags), (Frame::SETTINGS, 0), "they come first (RFC 9113, section 3.4)");
    let pairs = settings
        .payload
        .as_chunks::<6>()
        .0
        .iter()
        .map(|[a, b, value @ ..]| (u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value)));
    let pairs = pairs.collect();
    let grown = wire.frame_of(Frame::WINDOW_UPDATE, 0).await.and_then(|frame| frame.number()).expect("a window");
    (pairs, WINDOW_BEFORE + grown)
}

#[tokio::test]
async fn clients_are_told_how_many_streams_which_windows_and_heads_and_that_they_may_ask_for_a_websocket() {
    let proxy = h2c(&Origin::http1().start().await).start().await;

    let (settings, window) = greeting(&mut FrameWire::to(proxy.web(), &[]).await).await;

    let said = [
        (MAX_CONCURRENT_STREAMS, 128),
        (INITIAL_WINDOW_SIZE, 256 << 10),
        (MAX_FRAME_SIZE, 16 << 10),
        // Twice `limits.request_head_max`: up to there it is we who answer, with 431.
        (MAX_HEADER_LIST_SIZE, 64 << 10),
        (ENABLE_CONNECT_PROTOCOL, 1),
    ];
    assert_eq!(settings, said.into());
    assert_eq!(window, 8 << 20);
}

#[tokio::test]
async fn clients_are_told_the_limits_of_the_file() {
    let limits = "limits.streams_max = 7\nlimits.request_head_max = \"8KiB\"";
    let proxy = h2c(&Origin::http1().start().await).top(limits).start().await;

    let (settings, _) = greeting(&mut FrameWire::to(proxy.web(), &[]).await).await;

    assert_eq!((settings[&MAX_CONCURRENT_STREAMS], settings[&MAX_HEADER_LIST_SIZE]), (7, 16 << 10));
}

#[tokio::test]
async fn endpoints_are_told_not_to_push_and_which_windows_and_heads() {
    let endpoint = FrameOrigin::start();
    let proxy = Proxy::with_upstream(&endpoint.place).upstream("protocol = \"h2c\"").start().await;
    let mut client = proxy.wire().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    let (settings, window) = greeting(&mut endpoint.accept(&[]).await).await;

    let said = [
        (ENABLE_PUSH, 0),
        (INITIAL_WINDOW_SIZE, 256 << 10),
        (MAX_FRAME_SIZE, 16 << 10),
        (MAX_HEADER_LIST_SIZE, 64 << 10),
    ];
    assert_eq!(settings, said.into());
    assert_eq!(window, 100 << 20, "so much that clients who read slowly hold up no other");
}

#[tokio::test]
async fn an_endpoint_that_names_no_number_of_streams_gets_a_hundred_on_a_connection_and_then_another() {
    let endpoint = FrameOrigin::start();
    let builder = Proxy::with_upstream(&endpoint.place).upstream("protocol = \"h2c\"").listener("protocol = \"h2c\"");
    let proxy = builder.workers(1).start().await;
    let talk = Talk::to(proxy.web()).await;
    let mut asked = Vec::new();
    for _ in 0..100 {
        asked.push(talk.begin(request("GET", "/"), true).await.unwrap());
    }
    let mut first = endpoint.accept(&[]).await;
    for stream in 0..100 {
        first.frame_of(Frame::HEADERS, stream * 2 + 1).await.expect("a request");
    }

    asked.push(talk.begin(request("GET", "/one-more"), true).await.unwrap());

    let mut second = endpoint.accept(&[]).await;
    second.frame_of(Frame::HEADERS, 1).await.expect("the one that found no room");
    // One of the hundred is answered, and its place serves again.
    first.send(Frame::headers(1, &[(":status", "204")], true)).await;
    assert_eq!(asked.remove(0).0.await.unwrap().status(), 204);
    asked.push(talk.begin(request("GET", "/again"), true).await.unwrap());
    first.frame_of(Frame::HEADERS, 201).await.expect("room again on the first");
    let connects = proxy.metrics().await.sum("evenkeel_upstream_connects_total", &[]);
    assert!((connects - 2.0).abs() < 0.5, "{connects}");
}

//! Clients whose requests share a connection to an endpoint: what one of them does is no business of the others.

use super::{
    origin::{FrameOrigin, H2Origin},
    talk::{Talk, h2c, request, whole},
};
use evenkeel_testkit::{Builder, Frame, FrameWire, Proxy, in_time};

/// A proxy that speaks HTTP/2 on both sides.
fn between(endpoint: impl std::fmt::Display) -> Builder {
    h2c(endpoint).upstream("protocol = \"h2c\"").workers(1)
}

/// The head of an answer that goes on.
fn answer(stream: u32) -> Frame {
    Frame::headers(stream, &[(":status", "200")], false)
}

/// Returns when all that was sent before has been read.
async fn is_heard(wire: &mut FrameWire) {
    wire.send(Frame::new(Frame::PING, 0, 0, [7; 8])).await;
    while let Some(frame) = wire.frame().await {
        if frame.kind == Frame::PING && frame.flags & Frame::ACK != 0 {
            return;
        }
        assert_eq!(frame.goaway_code(), None, "{frame:?}");
    }
    panic!("the connection has ended");
}

#[tokio::test]
async fn clients_that_cancel_many_downloads_at_once_do_not_end_the_requests_of_others() {
    const AT_ONCE: u32 = 90;
    let origin = FrameOrigin::start();
    let proxy = between(&origin.place).start().await;
    let neighbour = Talk::to(proxy.web()).await;
    let (coming, _) = neighbour.begin(request("GET", "/neighbour"), true).await.unwrap();
    let mut endpoint = origin.accept(&[]).await;
    endpoint.frame_of(Frame::HEADERS, 1).await.expect("the neighbour's request");
    endpoint.send(answer(1)).await;

    for round in 0..8 {
        let mut client = FrameWire::to(proxy.web(), &[]).await;
        for stream in 0..AT_ONCE {
            client.send(Frame::get(stream * 2 + 1, "/download")).await;
        }
        let streams: Vec<u32> = (0..AT_ONCE).map(|n| (round * AT_ONCE + n) * 2 + 3).collect();
        for stream in &streams {
            endpoint.frame_of(Frame::HEADERS, *stream).await.expect("a request");
            endpoint.send(answer(*stream)).await;
        }
        drop(client);
        for _ in &streams {
            while endpoint.frame().await.expect("a connection").kind != Frame::RST_STREAM {}
        }
        // What the endpoint had sent before it heard of that. Parts that come together count as one.
        for _ in 0..5 {
            let late: Vec<u8> =
                streams.iter().flat_map(|stream| Frame::new(Frame::DATA, 0, *stream, "late").bytes()).collect();
            endpoint.try_send(&late).await.unwrap();
            is_heard(&mut endpoint).await;
        }
    }

    endpoint.send(Frame::new(Frame::DATA, Frame::END_STREAM, 1, "unharmed")).await;
    let answer = whole(in_time("a head", coming).await.unwrap()).await.unwrap();
    assert_eq!(answer.text(), "unharmed");
    proxy.is_idle().await;
}

#[tokio::test]
async fn an_upload_that_the_endpoint_does_not_take_ends_with_its_client() {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let origin = FrameOrigin::start();
    let proxy = between(&origin.place).start().await;
    let mut client = FrameWire::to(proxy.web(), &[]).await;
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];
    client.send(Frame::headers(1, &fields, false)).await;
    client.send(Frame::new(Frame::DATA, 0, 1, "nobody wants it")).await;
    let mut endpoint = origin.accept(&[(INITIAL_WINDOW_SIZE, 0)]).await;
    endpoint.frame_of(Frame::HEADERS, 1).await.expect("a request");
    endpoint.send(answer(1)).await;
    client.frame_of(Frame::HEADERS, 1).await.expect("the head of the answer");

    drop(client);

    endpoint.frame_of(Frame::RST_STREAM, 1).await.expect("the end of its stream");
    proxy.is_idle().await;
    proxy.metrics_show("no connection of a client", |m| m.sum("evenkeel_connections", &[]) == 0.0).await;
    let idle = [("state", "idle")];
    proxy.metrics_show("an idle one", |m| m.sum("evenkeel_upstream_connections", &idle) == 1.0).await;
}

#[tokio::test]
async fn an_upload_that_the_endpoint_does_not_take_ends_with_the_answer() {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let origin = FrameOrigin::start();
    let proxy = Proxy::with_upstream(&origin.place).upstream("protocol = \"h2c\"").workers(1).start().await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nnobody wants it").await;
    let mut endpoint = origin.accept(&[(INITIAL_WINDOW_SIZE, 0)]).await;
    endpoint.frame_of(Frame::HEADERS, 1).await.expect("a request");
    endpoint.send(answer(1)).await;
    endpoint.send(Frame::new(Frame::DATA, Frame::END_STREAM, 1, "enough")).await;

    let answer = wire.response().await;

    assert_eq!((answer.status, answer.text().as_str()), (200, "enough"));
    endpoint.frame_of(Frame::RST_STREAM, 1).await.expect("the end of its stream");
    drop(wire);
    proxy.is_idle().await;
    proxy.metrics_show("no connection of a client", |m| m.sum("evenkeel_connections", &[]) == 0.0).await;
}

#[tokio::test]
async fn data_without_data_from_several_clients_is_not_passed_on() {
    // h2 ends a connection at the hundredth.
    let origin = H2Origin::echo().await;
    let proxy = between(&origin.place).start().await;
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];

    for _ in 0..4 {
        let mut client = FrameWire::to(proxy.web(), &[]).await;
        client.send(Frame::headers(1, &fields, false)).await;
        client.frame_of(Frame::HEADERS, 1).await.expect("the head of the answer");
        for _ in 0..60 {
            client.send(Frame::new(Frame::DATA, 0, 1, [])).await;
            is_heard(&mut client).await;
        }
        client.send(Frame::new(Frame::DATA, Frame::END_STREAM, 1, "x")).await;
        let echoed = client.frame_of(Frame::DATA, 1).await.expect("an echo");
        assert_eq!(echoed.payload, b"x", "{echoed:?}");
    }

    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn data_without_data_from_several_endpoints_is_not_passed_on() {
    let (first, second) = (FrameOrigin::start(), FrameOrigin::start());
    let more = format!(
        "[[routes]]\npath = \"/second\"\nupstream = \"second\"\n\n[upstreams.second]\nprotocol = \"h2c\"\nendpoints = [\"{}\"]",
        second.place
    );
    let proxy = between(&first.place).more(&more).start().await;
    // h2 ends its connection at the hundredth.
    let client = Talk::to(proxy.web()).await;

    for (origin, path) in [(first, "/first"), (second, "/second")] {
        let (coming, _) = client.begin(request("GET", path), true).await.unwrap();
        let mut endpoint = origin.accept(&[]).await;
        endpoint.frame_of(Frame::HEADERS, 1).await.expect("a request");
        endpoint.send(answer(1)).await;
        let coming = in_time("a head", coming).await.unwrap();
        for _ in 0..60 {
            endpoint.send(Frame::new(Frame::DATA, 0, 1, [])).await;
            is_heard(&mut endpoint).await;
        }
        endpoint.send(Frame::new(Frame::DATA, Frame::END_STREAM, 1, "x")).await;
        assert_eq!(whole(coming).await.unwrap().text(), "x");
    }
}

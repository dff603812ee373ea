//! Only END_STREAM ends a message (RFC 9113, section 8.1): what is reset before it never looks complete on the other side, whatever code
//! the reset has, and what is reset behind it is complete.

use super::origin::FrameOrigin;
use evenkeel_testkit::{Builder, Frame, FrameWire, Proxy, RawOrigin, hostile};

const NO_ERROR: u32 = 0;
const CANCEL: u32 = 8;
const CODES: [u32; 3] = [NO_ERROR, CANCEL, 2];

const LENGTHS: [Option<&str>; 2] = [None, Some("10")];

/// A proxy whose listener speaks HTTP/2, before an endpoint that speaks it too or not.
fn listening(endpoint: impl std::fmt::Display, upstream: &str) -> Builder {
    Proxy::with_upstream(endpoint).upstream(upstream).listener("protocol = \"h2c\"").workers(1)
}

/// The head of a POST and the first part of its body.
async fn begins(client: &mut FrameWire, length: Option<&str>) {
    let mut fields = vec![(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];
    fields.extend(length.map(|length| ("content-length", length)));
    client.send(Frame::headers(1, &fields, false)).await;
    client.send(Frame::new(Frame::DATA, 0, 1, "half")).await;
}

/// The head of an answer and the first part of its body.
async fn answers(wire: &mut FrameWire, fields: &[(&str, &str)]) {
    let fields = [&[(":status", "200")], fields].concat();
    wire.send(Frame::headers(1, &fields, false)).await;
    wire.send(Frame::new(Frame::DATA, 0, 1, "SEE")).await;
}

fn goaway(last: u32, code: u32) -> Frame {
    Frame::new(Frame::GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat())
}

#[tokio::test]
async fn an_upload_that_is_reset_stays_incomplete_at_an_endpoint_of_http_1() {
    for (code, length) in CODES.into_iter().flat_map(|code| LENGTHS.map(|length| (code, length))) {
        let origin = RawOrigin::start(hostile::never_answers()).await;
        let proxy = listening(&origin, "").start().await;
        let mut client = FrameWire::to(proxy.web(), &[]).await;
        begins(&mut client, length).await;
        let head = if length.is_some() { "content-length: 10\r\n" } else { "4\r\n" };
        origin.has_received(0, head.len()).await;

        client.send(Frame::reset(1, code)).await;

        origin.is_left(0).await;
        assert!(origin.requests().is_empty(), "{code}, {length:?}: {:?}", origin.requests());
        proxy.is_idle().await;
    }
}

#[tokio::test]
async fn an_upload_that_is_reset_stays_incomplete_at_an_endpoint_of_http_2() {
    for (code, length) in CODES.into_iter().flat_map(|code| LENGTHS.map(|length| (code, length))) {
        let endpoint = FrameOrigin::start();
        let proxy = listening(&endpoint.place, "protocol = \"h2c\"").start().await;
        let mut client = FrameWire::to(proxy.web(), &[]).await;
        begins(&mut client, length).await;
        let mut wire = endpoint.accept(&[]).await;
        wire.frame_of(Frame::DATA, 1).await.expect("a part of it");

        client.send(Frame::reset(1, code)).await;

        let end = wire.frame_on(1).await.expect("the end of its stream");
        assert_eq!(end.kind, Frame::RST_STREAM, "{code}, {length:?}: {end:?}");
        assert_ne!(end.number(), Some(NO_ERROR), "{length:?}: it would be taken for an end again");
        proxy.is_idle().await;
    }
}

/// The ways in which an endpoint breaks off stream 1 without an error.
fn breaks_off() -> Vec<(&'static str, Frame)> {
    vec![
        ("NO_ERROR", Frame::reset(1, NO_ERROR)),
        ("CANCEL", Frame::reset(1, CANCEL)),
        ("GOAWAY that leaves it out", goaway(0, NO_ERROR)),
    ]
}

#[tokio::test]
async fn an_answer_that_is_reset_stays_incomplete_for_a_client_of_http_1() {
    for ((how, frame), length) in breaks_off().into_iter().flat_map(|way| LENGTHS.map(|length| (way.clone(), length))) {
        let endpoint = FrameOrigin::start();
        let proxy = Proxy::with_upstream(&endpoint.place).upstream("protocol = \"h2c\"").workers(1).start().await;
        let mut client = proxy.wire().await;
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        let mut wire = endpoint.accept(&[]).await;
        wire.frame_of(Frame::HEADERS, 1).await.expect("a request");
        let fields: Vec<_> = length.into_iter().map(|length| ("content-length", length)).collect();
        answers(&mut wire, &fields).await;

        wire.send(frame).await;

        let answer = client.try_response().await.expect("a head at least");
        assert!(!answer.is_complete(), "{how}, {length:?}: {answer:?}");
        counts_a_cut(&proxy).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_reset_ends_with_a_reset_for_a_client_of_http_2() {
    for ((how, frame), length) in breaks_off().into_iter().flat_map(|way| LENGTHS.map(|length| (way.clone(), length))) {
        for grpc in [false, true] {
            let endpoint = FrameOrigin::start();
            let proxy = listening(&endpoint.place, "protocol = \"h2c\"").start().await;
            let mut client = FrameWire::to(proxy.web(), &[]).await;
            client.send(Frame::get(1, "/")).await;
            let mut wire = endpoint.accept(&[]).await;
            wire.frame_of(Frame::HEADERS, 1).await.expect("a request");
            let mut fields: Vec<_> = length.into_iter().map(|length| ("content-length", length)).collect();
            fields.extend(grpc.then_some(("content-type", "application/grpc")));
            answers(&mut wire, &fields).await;
            client.frame_of(Frame::DATA, 1).await.expect("a part of it");

            wire.send(frame.clone()).await;

            let end = client.frame_on(1).await.expect("the end of its stream");
            assert_eq!(end.kind, Frame::RST_STREAM, "{how}, {length:?}: {end:?}");
            assert_ne!(end.number(), Some(NO_ERROR), "{how}, {length:?}: it would be taken for an end");
            counts_a_cut(&proxy).await;
        }
    }
}

/// The end of the connection is the end of such an answer, so it must not be one in good order.
#[tokio::test]
async fn an_answer_that_is_reset_resets_the_connection_of_a_client_of_http_1_0() {
    let endpoint = FrameOrigin::start();
    let proxy = Proxy::with_upstream(&endpoint.place).upstream("protocol = \"h2c\"").workers(1).start().await;
    let mut client = proxy.wire().await;
    client.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    let mut wire = endpoint.accept(&[]).await;
    wire.frame_of(Frame::HEADERS, 1).await.expect("a request");
    answers(&mut wire, &[]).await;

    wire.send(Frame::reset(1, NO_ERROR)).await;

    let complete = client.try_response().await.is_ok_and(|answer| answer.is_complete());
    assert!(!complete, "it looks complete");
    counts_a_cut(&proxy).await;
}

/// As an endpoint does that wants no more of an upload (RFC 9113, section 8.1).
#[tokio::test]
async fn an_answer_that_was_complete_before_the_reset_is_complete() {
    for client_speaks_http2 in [false, true] {
        let endpoint = FrameOrigin::start();
        let listener = if client_speaks_http2 { "protocol = \"h2c\"" } else { "" };
        let builder = Proxy::with_upstream(&endpoint.place).upstream("protocol = \"h2c\"").listener(listener);
        let proxy = builder.workers(1).start().await;
        let asked = {
            let place = proxy.web().clone();
            tokio::spawn(async move { if client_speaks_http2 { frames(&place).await } else { text(&place).await } })
        };
        let mut wire = endpoint.accept(&[]).await;
        wire.frame_of(Frame::DATA, 1).await.expect("a part of the upload");

        // At once, so that the answer is still unread when it is reset.
        let answer = [
            Frame::headers(1, &[(":status", "200")], false).bytes(),
            Frame::new(Frame::DATA, 0, 1, "SEEN").bytes(),
            Frame::headers(1, &[("x-sum", "1")], true).bytes(),
            Frame::reset(1, NO_ERROR).bytes(),
        ];
        wire.try_send(&answer.concat()).await.unwrap();

        assert_eq!(asked.await.unwrap(), "SEEN", "HTTP/2: {client_speaks_http2}");
    }
}

/// The whole answer to an upload that goes on.
async fn text(place: &evenkeel_testkit::Place) -> String {
    let mut client = evenkeel_testkit::Wire::to(place).await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf").await;
    let answer = client.response().await;
    assert!(answer.is_complete(), "{answer:?}");
    answer.text()
}

/// The same in HTTP/2.
async fn frames(place: &evenkeel_testkit::Place) -> String {
    let mut client = FrameWire::to(place, &[]).await;
    begins(&mut client, None).await;
    let mut body = Vec::new();
    loop {
        let frame = client.frame_on(1).await.expect("the end of the answer");
        assert_ne!(frame.kind, Frame::RST_STREAM, "before the end: {frame:?}");
        if frame.kind == Frame::DATA {
            body.extend_from_slice(&frame.payload);
        }
        if frame.ends_stream() {
            return String::from_utf8(body).expect("text");
        }
    }
}

async fn counts_a_cut(proxy: &Proxy) {
    proxy.counts_local("upstream_reset", 1).await;
    proxy.is_idle().await;
}

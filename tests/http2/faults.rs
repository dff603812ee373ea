//! Clients that break a rule of HTTP/2: the connection or the stream ends with the code that RFC 9113 has for it.
//!
//! For what it cannot even read h2 (0.4.20, `codec::framed_read`) has one code, `PROTOCOL_ERROR`; `FRAME_SIZE_ERROR`, `COMPRESSION_ERROR` and
//! `FLOW_CONTROL_ERROR` of a setting are told before it looks.
//!
//! What is malformed in a request, and floods, have tests of their own: `malformed`, `translation` and `floods`.

use super::talk::h2c;
use evenkeel_testkit::{Frame, FrameWire, Origin, RawOrigin, Script, block};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

const CONTINUATION: u8 = Frame::CONTINUATION;
const PUSH_PROMISE: u8 = 5;
const INITIAL_WINDOW_SIZE: u8 = 4;
const MAX_FRAME_SIZE: u8 = 5;

fn setting(id: u8, value: u32) -> Frame {
    Frame::new(Frame::SETTINGS, 0, 0, [&[0, id][..], &value.to_be_bytes()].concat())
}

fn window(stream: u32, more: u32) -> Frame {
    Frame::new(Frame::WINDOW_UPDATE, 0, stream, more.to_be_bytes())
}

/// A request on stream 1 that is waiting for its body.
fn open() -> Frame {
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];
    Frame::headers(1, &fields, false)
}

#[tokio::test]
async fn what_breaks_the_rules_of_a_connection_ends_it_with_the_code_for_it() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let whole = block(&[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")]);
    let cases = [
        // The section of RFC 9113 is behind each.
        (PROTOCOL_ERROR, "DATA of no stream, 6.1", vec![Frame::new(Frame::DATA, 0, 0, "x")]),
        (PROTOCOL_ERROR, "HEADERS of no stream, 6.2", vec![Frame::new(Frame::HEADERS, 5, 0, &whole)]),
        (PROTOCOL_ERROR, "a stream of ours, 5.1.1", vec![Frame::get(2, "/")]),
        (PROTOCOL_ERROR, "DATA before HEADERS, 5.1", vec![Frame::new(Frame::DATA, 0, 1, "x")]),
        (PROTOCOL_ERROR, "more padding than frame, 6.1", vec![open(), Frame::new(Frame::DATA, 8, 1, [9, b'x'])]),
        (PROTOCOL_ERROR, "CONTINUATION of nothing, 6.10", vec![Frame::new(CONTINUATION, 4, 1, &whole)]),
        (
            PROTOCOL_ERROR,
            "something else before CONTINUATION, 6.10",
            vec![Frame::new(Frame::HEADERS, 1, 1, &whole), Frame::new(Frame::PING, 0, 0, [0; 8])],
        ),
        (PROTOCOL_ERROR, "a client's PUSH_PROMISE, 8.4", vec![open(), Frame::new(PUSH_PROMISE, 4, 1, [0, 0, 0, 2])]),
        (PROTOCOL_ERROR, "no more window, 6.9", vec![window(0, 0)]),
        // A stream's fault, which may be taken for one of the connection (5.4.1).
        (PROTOCOL_ERROR, "no more window for a stream, 6.9", vec![open(), window(1, 0)]),
        (PROTOCOL_ERROR, "PING of a stream, 6.7", vec![Frame::new(Frame::PING, 0, 1, [0; 8])]),
        (PROTOCOL_ERROR, "SETTINGS of a stream, 6.5", vec![Frame::new(Frame::SETTINGS, 0, 1, [])]),
        (PROTOCOL_ERROR, "RST_STREAM of an idle stream, 6.4", vec![Frame::reset(1, 8)]),
        (PROTOCOL_ERROR, "frames of less than 16 KiB, 6.5.2", vec![setting(MAX_FRAME_SIZE, 16_383)]),
        (FLOW_CONTROL_ERROR, "a window above 2^31, 6.5.2", vec![setting(INITIAL_WINDOW_SIZE, 1 << 31)]),
        (FLOW_CONTROL_ERROR, "a window that grows above it, 6.9.1", vec![window(0, (1 << 31) - 1)]),
        (FRAME_SIZE_ERROR, "a short PING, 6.7", vec![Frame::new(Frame::PING, 0, 0, [0; 7])]),
        (FRAME_SIZE_ERROR, "half a setting, 6.5", vec![Frame::new(Frame::SETTINGS, 0, 0, [0; 5])]),
        (FRAME_SIZE_ERROR, "SETTINGS with an answer, 6.5", vec![Frame::new(Frame::SETTINGS, Frame::ACK, 0, [0; 6])]),
        (FRAME_SIZE_ERROR, "a short WINDOW_UPDATE, 6.9", vec![Frame::new(Frame::WINDOW_UPDATE, 0, 0, [0; 3])]),
        (FRAME_SIZE_ERROR, "a long frame, 4.2", vec![open(), Frame::new(Frame::DATA, 0, 1, vec![0; 16_385])]),
        (FRAME_SIZE_ERROR, "a short RST_STREAM, 6.4", vec![open(), Frame::new(Frame::RST_STREAM, 0, 1, [0; 3])]),
        (PROTOCOL_ERROR, "GOAWAY of a stream, 6.8", vec![Frame::new(Frame::GOAWAY, 0, 1, [0; 8])]),
        (FRAME_SIZE_ERROR, "a short GOAWAY, 6.8", vec![Frame::new(Frame::GOAWAY, 0, 0, [0; 7])]),
        (
            COMPRESSION_ERROR,
            "a field of no table, RFC 7541, 2.3.3",
            vec![Frame::new(Frame::HEADERS, 5, 1, [0x80 | 62])],
        ),
        (COMPRESSION_ERROR, "a number without end, RFC 7541, 5.1", vec![Frame::new(Frame::HEADERS, 5, 1, [0xff; 12])]),
        (COMPRESSION_ERROR, "half a string, RFC 7541, 5.2", vec![Frame::new(Frame::HEADERS, 5, 1, [0, 9, b'x'])]),
        (
            COMPRESSION_ERROR,
            "a bad Huffman code, RFC 7541, 5.2",
            vec![Frame::new(Frame::HEADERS, 5, 1, [0, 0x81, 0, 0])],
        ),
        (
            COMPRESSION_ERROR,
            "too large a table, RFC 7541, 6.3",
            vec![Frame::new(Frame::HEADERS, 5, 1, [0x3f, 0xe2, 0x1f])],
        ),
    ];
    for (number, (code, what, frames)) in cases.into_iter().enumerate() {
        let mut wire = FrameWire::to(proxy.web(), &[]).await;
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        wire.try_send(&bytes).await.expect("a fresh connection takes a few frames");

        assert_eq!(wire.ended().await, Some(code), "{what}");

        let count = f64::from(u32::try_from(number).unwrap()) + 0.5;
        let counted =
            |m: &evenkeel_testkit::Metrics| m.sum("evenkeel_http2_faults_total", &[("kind", "protocol")]) > count;
        proxy.metrics_show(&format!("{what} is counted"), counted).await;
    }
    proxy.is_idle().await;
}

#[tokio::test]
async fn what_breaks_the_rules_of_a_stream_resets_it_and_the_others_go_on() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    for (code, what, frame) in [
        (FLOW_CONTROL_ERROR, "a window that grows above 2^31, 6.9.1", window(1, (1 << 31) - 1)),
        (PROTOCOL_ERROR, "trailers that end nothing, 8.1", Frame::headers(1, &[("x-trailer", "1")], false)),
    ] {
        let mut wire = FrameWire::to(proxy.web(), &[]).await;
        wire.send(open()).await;
        wire.send(frame).await;

        let reset = wire.frame_of(Frame::RST_STREAM, 1).await;
        assert_eq!(reset.and_then(|frame| frame.number()), Some(code), "{what}");

        wire.send(Frame::get(3, "/")).await;
        assert!(wire.frame_of(Frame::HEADERS, 3).await.is_some(), "{what}");
    }
    proxy.is_idle().await;
}

/// RFC 9113, section 8.1, calls it malformed; h2 forgives it.
#[tokio::test]
async fn a_pseudo_field_in_trailers_goes_no_further() {
    let origin = RawOrigin::start(Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")).await;
    let proxy = h2c(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    wire.send(open()).await;
    wire.send(Frame::headers(1, &[(":path", "/other")], true)).await;

    while !wire.frame_on(1).await.expect("an answer").ends_stream() {}

    let request = origin.the_request();
    assert!(request.starts_with("POST / HTTP/1.1\r\n") && !request.contains("other"), "{request}");
}

#[tokio::test]
async fn a_stream_that_has_ended_takes_nothing_more() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    wire.send(Frame::get(1, "/")).await;
    while !wire.frame_on(1).await.expect("an answer").ends_stream() {}

    wire.send(Frame::new(Frame::DATA, 0, 1, "more")).await;

    let reset = wire.frame_of(Frame::RST_STREAM, 1).await;
    assert_eq!((reset.and_then(|frame| frame.number()), origin.requests()), (Some(STREAM_CLOSED), 1));
}

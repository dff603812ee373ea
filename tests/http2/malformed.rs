//! One malformed message ends its stream, and no other (RFC 9113, section 8.1.1), in both directions; what cannot be decoded ends the connection.

use super::{origin::FrameOrigin, talk::h2c};
use evenkeel_testkit::{Answer, Frame, FrameWire, Origin, Proxy, RawOrigin, block, eventually, hostile};
use std::time::Duration;

const PROTOCOL_ERROR: u32 = 1;
/// Literals that a table remembers, that none does, and that none may.
const LITERALS: [u8; 3] = [0x40, 0x00, 0x10];

const HEAD: [(&str, &str); 4] = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];

/// A field as a literal of this kind.
fn literal(kind: u8, name: &str, value: &str) -> Vec<u8> {
    let mut field = block(&[(name, value)]);
    field[0] = kind;
    field
}

/// Fields that cannot be in a request that is otherwise good.
const BAD: [(&str, &str); 12] = [
    ("X-Upper", "1"),
    ("x-upperR", "1"),
    ("", "1"),
    ("x name", "1"),
    (":other", "1"),
    ("x-a", "1\n2"),
    ("x-a", "1\r2"),
    ("x-a", "1\0"),
    ("x-a", "\u{7f}"),
    ("content-length", ""),
    ("connection", "close"),
    ("te", "gzip"),
];

/// Heads with pseudo-fields that cannot be.
fn bad_heads() -> Vec<Vec<(&'static str, &'static str)>> {
    let instead = |name: &str, value| HEAD.map(|field| if field.0 == name { (field.0, value) } else { field }).to_vec();
    vec![
        instead(":method", "GET?"),
        instead(":method", "GET /"),
        instead(":method", ""),
        [&HEAD[..], &[(":method", "GET")]].concat(),
        [&HEAD[..], &[(":status", "200")]].concat(),
        [&[("x-first", "1")], &HEAD[..]].concat(),
        HEAD[..3].to_vec(),
    ]
}

/// A proxy with one worker, and a client of it with a request in progress on stream 1.
async fn scene() -> (Origin, Proxy, FrameWire) {
    let held = Answer::text("held").after(Duration::from_secs(2));
    let origin = Origin::http1().at("/held", held).start().await;
    let proxy = h2c(&origin).workers(1).start().await;
    let mut client = FrameWire::to(proxy.web(), &[]).await;
    client.send(Frame::get(1, "/held")).await;
    eventually("it is at work", || origin.in_flight() == 1).await;
    (origin, proxy, client)
}

/// The next stream gets an answer, and the first has its own in the end.
async fn goes_on(client: &mut FrameWire, mut stream: u32) {
    client.send(Frame::get(stream, "/")).await;
    for _ in 0..2 {
        while !client.frame_on(stream).await.expect("the connection goes on").ends_stream() {}
        stream = 1;
    }
}

async fn is_reset(client: &mut FrameWire, stream: u32, what: &str) {
    let end = client.frame_on(stream).await.unwrap_or_else(|| panic!("{what}: the connection ended"));
    assert_eq!((end.kind, end.number()), (Frame::RST_STREAM, Some(PROTOCOL_ERROR)), "{what}");
}

#[tokio::test]
async fn a_malformed_request_ends_its_stream_and_the_others_go_on() {
    let (origin, _proxy, mut client) = scene().await;
    let mut stream = 1;
    for kind in LITERALS {
        let bad = BAD.map(|(name, value)| [block(&HEAD), literal(kind, name, value)].concat());
        let heads = bad_heads().into_iter().map(|head| head.iter().flat_map(|(n, v)| literal(kind, n, v)).collect());
        for head in bad.into_iter().chain(heads) {
            for end in [Frame::END_STREAM, 0] {
                stream += 2;
                client.send(Frame::new(Frame::HEADERS, Frame::END_HEADERS | end, stream, &head)).await;
                is_reset(&mut client, stream, &format!("{:?}", String::from_utf8_lossy(&head))).await;
            }
        }
    }
    goes_on(&mut client, stream + 2).await;
    assert_eq!(origin.requests(), 2, "none of them has reached the endpoint");
}

/// Both sides of a connection must have the same table, whatever was refused.
#[tokio::test]
async fn the_table_of_fields_is_the_same_behind_a_malformed_request() {
    let (origin, _proxy, mut client) = scene().await;
    let head = [
        literal(0x40, "x-good", "first"),
        literal(0x40, "X-Bad", "second"),
        literal(0x40, "x-bad", "thi\0rd"),
        literal(0x40, "x-last", "fourth"),
    ];
    client.send(Frame::new(Frame::HEADERS, 5, 3, [block(&HEAD), head.concat()].concat())).await;
    is_reset(&mut client, 3, "malformed").await;

    // What was sent last has the lowest number, 62. The name of the one before it is good.
    let fields = [&[0x80 | 62, 0x80 | 65][..], &[0x0f, 63 - 15], b"\x04mine"].concat();
    client.send(Frame::new(Frame::HEADERS, 5, 5, [block(&HEAD), fields].concat())).await;
    while !client.frame_on(5).await.expect("an answer").ends_stream() {}

    let seen = origin.last_seen();
    assert_eq!(
        (seen.header("x-good"), seen.header("x-last"), seen.header("x-bad")),
        (Some("first"), Some("fourth"), Some("mine"))
    );
    // The malformed ones are still that.
    for index in [63, 64] {
        let fields = [&block(&HEAD)[..], &[0x80 | index]].concat();
        client.send(Frame::new(Frame::HEADERS, 5, u32::from(index) * 2 + 1, fields)).await;
        is_reset(&mut client, u32::from(index) * 2 + 1, "an index of a malformed field").await;
    }
    goes_on(&mut client, 201).await;
}

#[tokio::test]
async fn a_malformed_request_is_found_however_its_head_is_cut() {
    let (_origin, _proxy, mut client) = scene().await;
    let bad = [("X-Upper", "1"), (":path", "/"), ("connection", "close"), ("te", "gzip")];
    let mut stream = 1;
    for ((name, value), size) in bad.into_iter().flat_map(|bad| [1, 7, 40].map(|size| (bad, size))) {
        stream += 2;
        // In the first of several frames as well.
        let head = [literal(0x40, name, value), block(&HEAD), literal(0x40, "x-a", &"b".repeat(40))].concat();
        let mut parts = head.chunks(size.max(head.len() / 5)).peekable();
        let (mut kind, mut bytes) = (Frame::HEADERS, Vec::new());
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() { Frame::END_HEADERS } else { 0 };
            bytes.extend(Frame::new(kind, last, stream, part).bytes());
            kind = Frame::CONTINUATION;
        }
        // What follows in the same bytes is another frame.
        bytes.extend(Frame::new(Frame::PING, 0, 0, [7; 8]).bytes());
        for part in bytes.chunks(size) {
            client.try_send(part).await.expect("the proxy reads");
            tokio::task::yield_now().await;
        }
        let mut answers = Vec::new();
        while answers.len() < 2 {
            let frame = client.frame().await.unwrap_or_else(|| panic!("in parts of {size}: the connection ended"));
            if frame.stream == stream || frame.kind == Frame::PING {
                answers.push((frame.kind, frame.number()));
            }
        }
        answers.sort_unstable();
        assert_eq!(answers, [(Frame::RST_STREAM, Some(PROTOCOL_ERROR)), (Frame::PING, Some(0x0707_0707))]);
    }
    goes_on(&mut client, stream + 2).await;
}

#[tokio::test]
async fn padding_and_priority_of_a_head_do_not_hide_what_is_malformed() {
    let (_origin, _proxy, mut client) = scene().await;
    for (stream, name) in [(3, "X-Upper"), (5, "x-lower")] {
        let head = [block(&HEAD), literal(0x40, name, "1")].concat();
        let payload = [&[3][..], &[0, 0, 0, 0, 15], &head, &[0; 3]].concat();
        client.send(Frame::new(Frame::HEADERS, 0x20 | 8 | 5, stream, payload)).await;
        if stream == 3 {
            is_reset(&mut client, stream, name).await;
        }
    }
    while !client.frame_on(5).await.expect("an answer").ends_stream() {}
}

#[tokio::test]
async fn malformed_trailers_end_their_stream_and_cut_the_request() {
    let origin = RawOrigin::start(hostile::never_answers()).await;
    let proxy = h2c(&origin).workers(1).start().await;
    let mut client = FrameWire::to(proxy.web(), &[]).await;
    for (stream, field) in [(1, ("X-Sum", "1")), (3, (":other", "/")), (5, ("x-sum", "\n"))] {
        client.send(Frame::headers(stream, &HEAD, false)).await;
        client.send(Frame::new(Frame::DATA, 0, stream, "body")).await;
        client.send(Frame::headers(stream, &[field], true)).await;
        is_reset(&mut client, stream, field.0).await;
    }
    proxy.is_idle().await;
    assert!(origin.requests().is_empty(), "none is whole: {:?}", origin.requests());
}

#[tokio::test]
async fn a_malformed_answer_is_a_502_and_the_others_on_its_connection_go_on() {
    let endpoint = FrameOrigin::start();
    let builder = Proxy::with_upstream(&endpoint.place).upstream("protocol = \"h2c\"").listener("protocol = \"h2c\"");
    let proxy = builder.workers(1).start().await;
    let mut client = FrameWire::to(proxy.web(), &[]).await;
    client.send(Frame::get(1, "/held")).await;
    let mut wire = endpoint.accept(&[]).await;
    wire.frame_of(Frame::HEADERS, 1).await.expect("a request");
    let mut stream = 1;
    for kind in LITERALS {
        for (name, value) in [
            (":path", "/"),
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":other", "a"),
            ("X-Upper", "1"),
            ("x-a", "1\n2"),
            ("content-length", ""),
        ] {
            stream += 2;
            client.send(Frame::get(stream, "/")).await;
            wire.frame_of(Frame::HEADERS, stream).await.expect("a request on the same connection");
            let head = [literal(kind, ":status", "200"), literal(kind, name, value)].concat();
            wire.send(Frame::new(Frame::HEADERS, Frame::END_HEADERS, stream, head)).await;

            let reset = wire.frame_of(Frame::RST_STREAM, stream).await.expect("the end of the stream");
            assert_eq!(reset.number(), Some(PROTOCOL_ERROR), "{name}: {value:?}");
            while !client.frame_on(stream).await.expect("an answer").ends_stream() {}
        }
    }
    proxy.counts_local("upstream_protocol", (stream - 1) / 2).await;
    wire.send(Frame::headers(1, &[(":status", "204")], true)).await;
    assert!(client.frame_on(1).await.expect("an answer").ends_stream());
}

//! Endpoints that attack or break the rules: what they cost is bounded, their requests end, and requests to others do not notice.

use super::{memory::Memory, origin::FrameOrigin};
use evenkeel_testkit::{Frame, FrameWire, Origin, Proxy, block};
use std::time::Duration;
use tokio::task::JoinHandle;

const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INTERNAL_ERROR: u32 = 2;

/// Memory that an attack may cost, in KiB.
const BOUND: u64 = 24 << 10;

/// A proxy before an endpoint that attacks, and another that means no harm.
struct Scene {
    endpoint: FrameOrigin,
    proxy: Proxy,
    _neighbour: Origin,
    memory: Memory,
}

impl Scene {
    async fn set(upstream: &str) -> Self {
        let (endpoint, neighbour) = (FrameOrigin::start(), Origin::http1().start().await);
        let more = format!(
            "[[routes]]\npath = \"/neighbour\"\nupstream = \"neighbour\"\n\n[upstreams.neighbour]\nendpoints = [\"{neighbour}\"]"
        );
        // One worker, so that the neighbour shares it.
        let builder = Proxy::with_upstream(&endpoint.place).upstream("protocol = \"h2c\"").upstream(upstream);
        let proxy = builder.more(&more).workers(1).start().await;
        assert_eq!(proxy.client().get("/neighbour").send().await.status, 200);
        let memory = Memory::of(&proxy);
        Self { endpoint, proxy, _neighbour: neighbour, memory }
    }

    /// A request, and the status of its answer if that came whole.
    async fn asks(&self, request: &str) -> JoinHandle<Option<u16>> {
        let mut wire = self.proxy.wire().await;
        wire.send(request).await;
        tokio::spawn(async move {
            wire.try_response().await.ok().filter(|answer| answer.is_complete()).map(|answer| answer.status)
        })
    }

    async fn gets(&self) -> (JoinHandle<Option<u16>>, FrameWire) {
        let asked = self.asks("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        let mut wire = self.endpoint.accept(&[]).await;
        wire.frame_of(Frame::HEADERS, 1).await.expect("a request");
        (asked, wire)
    }

    async fn others_go_on(&self) {
        assert_eq!(self.proxy.client().get("/neighbour").send().await.status, 200);
        let grown = self.memory.grown();
        assert!(grown < BOUND, "{grown} KiB more than before");
    }

    async fn is_over(&self) {
        self.others_go_on().await;
        self.proxy.is_idle().await;
    }
}

#[tokio::test]
async fn frames_that_ask_for_answers_and_nothing_else() {
    for (kind, payload) in [(Frame::PING, &[0; 8][..]), (Frame::SETTINGS, &[]), (Frame::WINDOW_UPDATE, &[0, 0, 0, 1])] {
        let scene = Scene::set("").await;
        let (asked, mut wire) = scene.gets().await;
        let flood = Frame::new(kind, 0, 0, payload).bytes().repeat(100);
        // Nobody reads our answers, so that at some point no more is taken.
        for round in 0..1000 {
            let sent = tokio::time::timeout(Duration::from_millis(300), wire.try_send(&flood)).await;
            if !matches!(sent, Ok(Ok(()))) {
                break;
            }
            if round % 250 == 0 {
                scene.others_go_on().await;
            }
        }
        scene.others_go_on().await;
        drop(wire);
        assert_eq!(asked.await.unwrap(), Some(502));
        scene.is_over().await;
    }
}

#[tokio::test]
async fn data_without_data() {
    let scene = Scene::set("").await;
    let (asked, mut wire) = scene.gets().await;
    wire.send(Frame::headers(1, &[(":status", "200")], false)).await;
    let flood = Frame::new(Frame::DATA, 0, 1, []).bytes().repeat(10);
    for _ in 0..10_000 {
        if wire.try_send(&flood).await.is_err() {
            break;
        }
    }
    assert_eq!(asked.await.unwrap(), None, "it does not look complete");
    scene.is_over().await;
}

/// Fields that unpack to megabytes: one goes into the table, and each copy is an index of one byte.
fn bomb(mut fields: Vec<u8>) -> Vec<u8> {
    let at = fields.len();
    fields.extend(block(&[("x", &"v".repeat(3900))]));
    fields[at] = 0x40;
    fields.extend([0x80 | 62].repeat(12_000));
    fields
}

#[tokio::test]
async fn a_head_that_unpacks_to_megabytes() {
    let scene = Scene::set("").await;
    let (asked, mut wire) = scene.gets().await;
    let head = Frame::new(Frame::HEADERS, Frame::END_HEADERS, 1, bomb(block(&[(":status", "200")])));
    wire.send(head).await;
    assert_eq!(asked.await.unwrap(), Some(502));
    scene.is_over().await;
}

#[tokio::test]
async fn trailers_that_unpack_to_megabytes() {
    let scene = Scene::set("").await;
    let (asked, mut wire) = scene.gets().await;
    wire.send(Frame::headers(1, &[(":status", "200")], false)).await;
    wire.send(Frame::new(Frame::HEADERS, Frame::END_HEADERS | Frame::END_STREAM, 1, bomb(Vec::new()))).await;
    assert_eq!(asked.await.unwrap(), None, "it does not look complete");
    scene.is_over().await;
}

#[tokio::test]
async fn a_head_that_never_ends() {
    let scene = Scene::set("").await;
    let (asked, mut wire) = scene.gets().await;
    wire.send(Frame::new(Frame::HEADERS, 0, 1, block(&[(":status", "200")]))).await;
    let more = Frame::new(Frame::CONTINUATION, 0, 1, block(&[("x", &"y".repeat(100))])).bytes();
    for _ in 0..100_000 {
        if wire.try_send(&more).await.is_err() {
            break;
        }
    }
    assert_eq!(asked.await.unwrap(), Some(502));
    scene.is_over().await;
}

#[tokio::test]
async fn an_endpoint_that_takes_no_byte_of_many_uploads() {
    const UPLOADS: u32 = 40;
    let scene = Scene::set("timeouts.response_head = \"1s\"").await;
    let body = "x".repeat(1 << 20);
    let request = format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut asked = Vec::new();
    for _ in 0..UPLOADS {
        let mut wire = scene.proxy.wire().await;
        let request = request.clone();
        asked.push(tokio::spawn(async move {
            let _ = wire.try_send(&request).await;
            wire.try_response().await.ok().filter(|answer| answer.is_complete()).map(|answer| answer.status)
        }));
    }
    let mut wire = scene.endpoint.accept(&[(INITIAL_WINDOW_SIZE, 0)]).await;
    for upload in 0..UPLOADS {
        wire.frame_of(Frame::HEADERS, upload * 2 + 1).await.expect("a request");
    }
    scene.others_go_on().await;
    for asked in asked {
        assert_eq!(asked.await.unwrap(), Some(504));
    }
    scene.is_over().await;
}

#[tokio::test]
async fn an_endpoint_that_takes_no_stream_at_all() {
    let scene = Scene::set("timeouts.connect = \"300ms\"").await;
    let asked = scene.asks("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let _wire = scene.endpoint.accept(&[(MAX_CONCURRENT_STREAMS, 0)]).await;
    scene.others_go_on().await;
    assert_eq!(asked.await.unwrap(), Some(504));
    scene.is_over().await;
}

/// It had begun with the request, so nobody knows what it did (RFC 9113, section 6.8; RFC 9110, section 9.2.2).
#[tokio::test]
async fn what_a_goaway_does_not_leave_out_is_not_sent_twice_unless_that_does_no_harm() {
    for code in [0, INTERNAL_ERROR] {
        let scene = Scene::set("").await;
        let asked = scene.asks("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi").await;
        let mut wire = scene.endpoint.accept(&[]).await;
        wire.frame_of(Frame::HEADERS, 1).await.expect("a request");
        wire.frame_of(Frame::DATA, 1).await.expect("its body");
        wire.send(Frame::new(Frame::GOAWAY, 0, 0, [1_u32.to_be_bytes(), code.to_be_bytes()].concat())).await;
        drop(wire);

        assert_eq!(asked.await.unwrap(), Some(502), "{code}");
        let metrics = scene.proxy.metrics().await;
        let connects = metrics.sum("evenkeel_upstream_connects_total", &[("upstream", "site")]);
        assert!((connects - 1.0).abs() < 0.5, "{code}: {connects} connections");
        scene.is_over().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_shorter_than_it_says_is_not_completed_by_trailers() {
    let scene = Scene::set("").await;
    let (asked, mut wire) = scene.gets().await;
    wire.send(Frame::headers(1, &[(":status", "200"), ("content-length", "10")], false)).await;
    wire.send(Frame::new(Frame::DATA, 0, 1, "short")).await;
    wire.send(Frame::headers(1, &[("x-sum", "1")], true)).await;
    assert_eq!(asked.await.unwrap(), None, "it does not look complete");
    scene.is_over().await;
}

#[tokio::test]
async fn a_request_that_is_shorter_than_it_says_is_not_completed_by_trailers() {
    let endpoint = FrameOrigin::start();
    let builder = Proxy::with_upstream(&endpoint.place).upstream("protocol = \"h2c\"").listener("protocol = \"h2c\"");
    let proxy = builder.workers(1).start().await;
    let mut client = FrameWire::to(proxy.web(), &[]).await;
    let fields =
        [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("content-length", "10")];
    client.send(Frame::headers(1, &fields, false)).await;
    client.send(Frame::new(Frame::DATA, 0, 1, "short")).await;
    let mut wire = endpoint.accept(&[]).await;
    wire.frame_of(Frame::DATA, 1).await.expect("a part of it");

    client.send(Frame::headers(1, &[("x-sum", "1")], true)).await;

    let reset = client.frame_of(Frame::RST_STREAM, 1).await;
    assert_eq!(reset.and_then(|frame| frame.number()), Some(1));
    loop {
        let frame = wire.frame_on(1).await.expect("the end of its stream");
        assert!(!frame.ends_stream(), "{frame:?}");
        if frame.kind == Frame::RST_STREAM {
            break;
        }
    }
    proxy.is_idle().await;
}

/// The same towards HTTP/1.1, where what is missing must stay missing.
#[tokio::test]
async fn trailers_before_the_end_cut_a_request_to_http_1() {
    let origin = evenkeel_testkit::RawOrigin::start(evenkeel_testkit::hostile::never_answers()).await;
    let proxy = Proxy::with_upstream(&origin).listener("protocol = \"h2c\"").workers(1).start().await;
    let mut client = FrameWire::to(proxy.web(), &[]).await;
    let fields =
        [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("content-length", "10")];
    client.send(Frame::headers(1, &fields, false)).await;
    client.send(Frame::new(Frame::DATA, 0, 1, "short")).await;
    client.send(Frame::headers(1, &[("x-sum", "1")], true)).await;

    let reset = client.frame_of(Frame::RST_STREAM, 1).await;
    assert_eq!(reset.and_then(|frame| frame.number()), Some(1));
    proxy.is_idle().await;
    assert!(origin.requests().is_empty(), "none is whole: {:?}", origin.requests());
}

//! Answers that come before their request has ended: the rest of the upload may run out for a while, so that no client loses the answer
//! by a reset that comes right behind it.

use super::talk::h2c;
use evenkeel_testkit::{Frame, FrameWire, Origin, Proxy, RawOrigin, Script};
use std::time::{Duration, Instant};

const NO_ERROR: u32 = 0;
const PART: usize = 16 << 10;

/// The head of an upload to this path, which will go on.
async fn begins(client: &mut FrameWire, stream: u32, path: &str) {
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", path)];
    client.send(Frame::headers(stream, &fields, false)).await;
}

/// The status of the answer on this stream, which must come whole.
async fn answered(client: &mut FrameWire, stream: u32) {
    loop {
        let frame = client.frame_on(stream).await.expect("an answer");
        assert_ne!(frame.kind, Frame::RST_STREAM, "{frame:?}");
        if frame.ends_stream() {
            return;
        }
    }
}

/// Sends so many bytes of a body as the windows allow; the code of the reset if one comes first, and how many bytes were sent.
async fn uploads(client: &mut FrameWire, stream: u32, bytes: usize) -> (Option<u32>, usize) {
    // The windows of the proxy's SETTINGS are good when they are acknowledged (RFC 9113, section 6.5.3).
    client.send(Frame::new(Frame::SETTINGS, Frame::ACK, 0, [])).await;
    let part = Frame::new(Frame::DATA, 0, stream, vec![b'x'; PART]).bytes();
    let (mut window, mut sent) = (200 << 10, 0);
    while sent < bytes {
        if window >= PART {
            client.try_send(&part).await.expect("the proxy reads");
            (window, sent) = (window - PART, sent + PART);
            continue;
        }
        let frame = client.frame_on(stream).await.expect("more room");
        match frame.kind {
            Frame::WINDOW_UPDATE => window += frame.number().expect("a number") as usize,
            Frame::RST_STREAM => return (frame.number(), sent),
            _ => {}
        }
    }
    (None, sent)
}

/// A proxy that answers by itself, and by an endpoint before it has read the body.
async fn scene() -> (RawOrigin, Proxy) {
    let early = Script::new().reads_head().sends("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").stalls();
    let origin = RawOrigin::start(early).await;
    let more = "[[routes]]\npath = \"/fixed\"\n[[routes.filters]]\nfixed_response = { status = 403, body = \"no\" }\n\
                [[routes]]\npath = \"/small\"\nupstream = \"site\"\nbody_max = \"1KiB\"\n\
                [[routes]]\npath = \"/away\"\n[[routes.filters]]\nfixed_response = { status = 410, body = \"gone\" }\n";
    let proxy = h2c(&origin).more(more).workers(1).start().await;
    (origin, proxy)
}

#[tokio::test]
async fn the_rest_of_an_upload_runs_out_behind_an_early_answer_and_the_stream_ends_without_a_reset() {
    let (_origin, proxy) = scene().await;
    // The second is answered when it has become too large.
    for path in ["/fixed", "/small", "/"] {
        let mut client = FrameWire::to(proxy.web(), &[]).await;
        begins(&mut client, 1, path).await;
        client.send(Frame::new(Frame::DATA, 0, 1, vec![b'x'; 2000])).await;
        answered(&mut client, 1).await;
        // The request is over for all who count.
        proxy.is_idle().await;

        let (reset, sent) = uploads(&mut client, 1, 10 << 20).await;
        assert_eq!(reset, None, "{path}: after {sent} bytes");
        client.send(Frame::new(Frame::DATA, Frame::END_STREAM, 1, "")).await;

        // Nothing comes but the answer to another request.
        client.send(Frame::get(3, "/away")).await;
        loop {
            let frame = client.frame().await.expect("another answer");
            assert!(frame.kind != Frame::RST_STREAM, "{path}: {frame:?}");
            if frame.stream == 3 && frame.ends_stream() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_upload_that_never_ends_is_reset_behind_its_answer_after_a_while() {
    let (_origin, proxy) = scene().await;
    let mut client = FrameWire::to(proxy.web(), &[]).await;
    begins(&mut client, 1, "/fixed").await;
    answered(&mut client, 1).await;
    let answered = Instant::now();

    let reset = client.frame_of(Frame::RST_STREAM, 1).await.expect("a reset");

    assert_eq!(reset.number(), Some(NO_ERROR), "RFC 9113, section 8.1");
    assert!(answered.elapsed() > Duration::from_secs(3), "{:?}", answered.elapsed());
}

#[tokio::test]
async fn an_upload_without_bound_is_reset_behind_its_answer_after_many_bytes() {
    let (_origin, proxy) = scene().await;
    let mut client = FrameWire::to(proxy.web(), &[]).await;
    begins(&mut client, 1, "/fixed").await;
    answered(&mut client, 1).await;

    let (reset, sent) = uploads(&mut client, 1, 100 << 20).await;

    assert_eq!(reset, Some(NO_ERROR), "after {sent} bytes");
    assert!(sent > 32 << 20, "{sent} bytes");
}

/// A reset by its client is the end of it.
#[tokio::test]
async fn a_client_that_resets_the_rest_of_its_upload_is_not_waited_for() {
    let origin = Origin::http1().start().await;
    let more = "[[routes]]\npath = \"/fixed\"\n[[routes.filters]]\nfixed_response = { status = 403, body = \"no\" }";
    let proxy = h2c(&origin).more(more).top("limits.streams_max = 1").workers(1).start().await;
    let mut client = FrameWire::to(proxy.web(), &[]).await;
    begins(&mut client, 1, "/fixed").await;
    answered(&mut client, 1).await;

    client.send(Frame::reset(1, 8)).await;

    // There is a place for one stream, and it is free.
    client.send(Frame::get(3, "/")).await;
    answered(&mut client, 3).await;
}

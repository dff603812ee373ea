//! What a change removes is freed, however long what was started before it goes on.

use crate::support::{Running, builder, config, text};
use evenkeel_testkit::{Frame, FrameWire, RawOrigin, Script, Wire, eventually};
use std::sync::Arc;
use tokio::sync::watch;

const EVENTS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n";
const LAST_EVENT: &str = "3\r\nend\r\n0\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A proxy before this endpoint; its answers say by a field of which configuration they are.
async fn started(origin: &RawOrigin, protocol: &str) -> Running {
    let filter = "filters = [{ set_response_header = { name = \"x-of\", value = \"the first\" } }]";
    let text = text(origin).replace("[[routes]]", &format!("[[routes]]\n        {filter}"));
    let settings = config(&text.replace("listen =", &format!("protocol = \"{protocol}\"\n        listen =")));
    Running::start(move || builder(settings, 1).run()).await
}

/// Makes another configuration the one in force, and waits until nothing is left of the one before.
async fn forgets_the_first(proxy: &Running) {
    let before = Arc::downgrade(&proxy.snapshot());
    let mut settings = proxy.snapshot().config().clone();
    settings.routes[0].filters.clear();
    proxy.publish(settings).await.expect("the configuration is sound");
    eventually("no snapshot is held", || before.strong_count() == 0).await;
}

/// A request at its endpoint.
struct Asked {
    wire: Wire,
    proxy: Running,
    _origin: RawOrigin,
    /// The script may wait for it.
    gate: watch::Sender<bool>,
}

async fn asked(script: impl FnOnce(&watch::Sender<bool>) -> Script, request: &str) -> Asked {
    let gate = watch::Sender::new(false);
    let origin = RawOrigin::start(script(&gate)).await;
    let proxy = started(&origin, "http").await;
    let mut wire = proxy.wire().await;
    wire.send(request).await;
    origin.has_received(0, 20).await;
    Asked { wire, proxy, _origin: origin, gate }
}

#[tokio::test]
async fn a_long_answer_goes_on_and_holds_no_configuration() {
    let script = |gate: &_| Script::new().reads_head().sends(EVENTS).waits_for(gate).sends(LAST_EVENT).stalls();
    let Asked { proxy, mut wire, gate, _origin } = asked(script, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the head is there", || proxy.metrics().sum("evenkeel_upstream_duration_seconds_count", &[]) > 0.5)
        .await;

    forgets_the_first(&proxy).await;
    gate.send_replace(true);

    let answer = wire.response().await;
    assert!(answer.is_complete() && answer.text() == "data: end", "{answer:?}");
    assert_eq!(answer.header("x-of"), Some("the first"));
    proxy.is_idle().await;
    assert_eq!(proxy.metrics().sum("evenkeel_requests_total", &[("code", "200")]).to_string(), "1");
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_gets_that_of_its_own_configuration_and_holds_none() {
    let script = |gate: &_| Script::new().reads_head().waits_for(gate).sends(EMPTY).stalls();
    let Asked { proxy, mut wire, gate, _origin } = asked(script, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    forgets_the_first(&proxy).await;
    gate.send_replace(true);

    assert_eq!(wire.response().await.header("x-of"), Some("the first"));
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_long_upload_goes_on_and_holds_no_configuration() {
    let script = |_: &_| Script::new().reads_request().sends(EMPTY).stalls();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n";
    let Asked { proxy, mut wire, gate: _gate, _origin } = asked(script, head).await;
    wire.send("half").await;

    forgets_the_first(&proxy).await;
    wire.send("half").await;

    assert_eq!(wire.response().await.status, 200);
    proxy.is_idle().await;
}

#[tokio::test]
async fn an_upload_that_was_answered_early_holds_no_configuration() {
    let script = |_: &_| Script::new().reads_head().sends(EMPTY).stalls();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 800000\r\n\r\n";
    let Asked { proxy, mut wire, gate: _gate, _origin } = asked(script, head).await;
    assert_eq!(wire.response().await.status, 200);

    forgets_the_first(&proxy).await;
    drop(wire);

    proxy.is_idle().await;
}

#[tokio::test]
async fn a_connection_that_waits_for_its_next_request_holds_no_configuration() {
    let Asked { proxy, mut wire, gate: _gate, _origin } =
        asked(|_| Script::answering(EMPTY), "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!([wire.response().await.status, wire.response().await.status], [200; 2]);

    forgets_the_first(&proxy).await;

    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(wire.response().await.header("x-of"), None);
}

#[tokio::test]
async fn a_tunnel_holds_no_configuration() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello";
    let Asked { proxy, mut wire, gate: _gate, _origin } = asked(
        |_| Script::new().reads_head().sends(switch).stalls(),
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    )
    .await;
    wire.bytes(switch.len()).await;

    forgets_the_first(&proxy).await;
}

#[tokio::test]
async fn streams_of_http_2_hold_no_configuration() {
    let origin = RawOrigin::start(Script::new().reads_head().sends(EVENTS).stalls()).await;
    let proxy = started(&origin, "h2c").await;
    let mut wire = FrameWire::to(&proxy.at("web"), &[]).await;
    for stream in [1, 3] {
        wire.send(Frame::get(stream, "/")).await;
        assert!(wire.frame_on(stream).await.is_some(), "a head");
    }
    // An answer of our own that its client does not take: SETTINGS_INITIAL_WINDOW_SIZE is zero.
    let mut greedy = FrameWire::to(&proxy.at("web"), &[(4, 0)]).await;
    greedy
        .send(Frame::headers(
            1,
            &[(":method", "TRACE"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
            true,
        ))
        .await;
    assert!(greedy.frame_on(1).await.is_some(), "a head");

    forgets_the_first(&proxy).await;

    drop((wire, greedy));
    proxy.is_idle().await;
}

//! WebSockets and other upgrades: a tunnel only for what was asked and agreed, and then every byte, both ways, for as long as it takes.

use evenkeel_testkit::{Ending, Metrics, Proxy, RawOrigin, Script, Signal, Wire, eventually};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const PLAIN: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An endpoint that switches, and then does this.
fn switching() -> Script {
    Script::new().reads_head().sends(SWITCH)
}

async fn proxied(script: Script) -> (Proxy, RawOrigin) {
    let origin = RawOrigin::start(script).await;
    (Proxy::with_upstream(&origin).access_log().start().await, origin)
}

/// A client whose upgrade was agreed to.
async fn tunnel(proxy: &Proxy) -> Wire {
    let mut wire = proxy.wire().await;
    wire.send(ASK).await;
    let response = wire.response().await;
    assert_eq!(response.status, 101, "{response:?}");
    wire
}

/// An endpoint that switches and says everything again; its address.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await?);
                }
                socket.write_all(SWITCH.as_bytes()).await?;
                let (mut read, mut write) = socket.split();
                tokio::io::copy(&mut read, &mut write).await?;
                write.shutdown().await
            });
        }
    });
    address
}

fn in_flight(metrics: &Metrics) -> f64 {
    metrics.sum("evenkeel_endpoint_requests_in_flight", &[])
}

async fn shows(proxy: &Proxy, name: &str, value: f64) {
    proxy.metrics_show(&format!("{name} is {value}"), |m| (m.sum(name, &[]) - value).abs() < 0.5).await;
}

#[tokio::test]
async fn a_websocket_carries_bytes_both_ways_and_both_handshakes_say_so() {
    let (proxy, origin) = proxied(switching().stalls()).await;
    let mut wire = proxy.wire().await;
    wire.send(ASK).await;

    let response = wire.response().await;

    assert_eq!(response.status, 101);
    assert_eq!(response.header_all("connection"), ["upgrade"], "{response:?}");
    assert_eq!(response.header_all("upgrade"), ["websocket"], "{response:?}");
    assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(response.header("content-length"), None, "{response:?}");
    wire.send("over").await;
    eventually("bytes arrive", || origin.received(0).ends_with(b"over")).await;
    let request = origin.received_text().to_ascii_lowercase();
    for line in ["connection: upgrade\r\n", "upgrade: websocket\r\n", "sec-websocket-key: ", "x-forwarded-for: "] {
        assert!(request.contains(line), "{line} in {request}");
    }
}

#[tokio::test]
async fn a_megabyte_is_echoed_whole_through_a_tunnel() {
    let proxy = Proxy::with_upstream(echo().await).start().await;
    let mut wire = tunnel(&proxy).await;
    let piece: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();

    for _ in 0..5 {
        wire.send(&piece).await;
        assert!(wire.bytes(piece.len()).await == piece);
    }

    wire.finish().await;
    assert_eq!(wire.closed().await, Ending::Fin);
    proxy.is_idle().await;
}

#[tokio::test]
async fn bytes_that_come_before_the_tunnel_is_there_are_not_lost_in_either_direction() {
    let (gate, _) = watch::channel(false);
    let script = Script::new().reads_head().waits_for(&gate).sends(format!("{SWITCH}soon")).stalls();
    let (proxy, origin) = proxied(script).await;
    let mut wire = proxy.wire().await;
    wire.send(format!("{ASK}early")).await;
    eventually("the request is there", || origin.received(0).ends_with(b"\r\n\r\n")).await;

    gate.send_replace(true);

    assert_eq!(wire.response().await.status, 101);
    assert_eq!(wire.bytes(4).await, b"soon");
    eventually("early bytes arrive", || origin.received(0).ends_with(b"\r\n\r\nearly")).await;
}

#[tokio::test]
async fn after_a_refused_upgrade_the_connection_is_http_again() {
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    let (proxy, origin) =
        proxied(Script::new().reads_request().sends(refusal).reads_request().sends(OK).repeats()).await;
    let mut wire = proxy.wire().await;

    for _ in 0..2 {
        wire.send(ASK).await;
        assert_eq!(wire.response().await.status, 403);
        wire.send(PLAIN).await;
        assert_eq!(wire.response().await.text(), "ok");
    }

    assert_eq!(origin.connections(), 1, "the endpoint's connection is used again as well");
}

#[tokio::test]
async fn a_101_that_the_client_did_not_ask_for_is_a_502() {
    let not_asked = [
        PLAIN.to_owned(),
        ASK.replace("Connection: Upgrade", "Connection: keep-alive"),
        ASK.replace("HTTP/1.1", "HTTP/1.0"),
        ASK.replace("websocket", "h2c"),
        ASK.replace("websocket", "websocket, foo"),
        ASK.replace("GET", "POST"),
        ASK.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi"),
    ];
    let (proxy, origin) = proxied(Script::new().reads_request().sends(SWITCH).stalls()).await;

    for (n, request) in not_asked.iter().enumerate() {
        let response = Wire::exchange(proxy.web(), request).await;
        assert_eq!(response.status, 502, "{request}: {response:?}");
        assert_eq!(response.header("upgrade"), None, "{response:?}");
        origin.is_left(n).await;
    }

    proxy.counts_local("upstream_protocol", u32::try_from(not_asked.len()).unwrap()).await;
    for request in origin.requests() {
        assert!(!request.to_ascii_lowercase().contains("upgrade"), "none of them is asked of the endpoint: {request}");
    }
}

#[tokio::test]
async fn a_101_to_another_protocol_or_without_its_fields_is_a_502() {
    for answer in [
        SWITCH.replace("websocket", "foo"),
        SWITCH.replace("websocket", "websocket, foo"),
        SWITCH.replace("Upgrade: websocket\r\n", ""),
        SWITCH.replace("Connection: upgrade", "Connection: keep-alive"),
        SWITCH.replace("HTTP/1.1", "HTTP/1.0"),
    ] {
        let (proxy, origin) = proxied(Script::new().reads_head().sends(&answer).stalls()).await;
        let mut wire = proxy.wire().await;
        wire.send(ASK).await;

        let response = wire.response().await;

        assert_eq!(response.status, 502, "{answer}: {response:?}");
        assert!(response.text().contains("upstream_protocol"), "{response:?}");
        origin.is_left(0).await;
        proxy.is_idle().await;
    }
}

#[tokio::test]
async fn what_the_route_does_not_allow_is_served_as_an_ordinary_request() {
    let origin = RawOrigin::start(Script::answering(OK)).await;
    let proxy = Proxy::with_upstream(&origin).route("upgrades = []").start().await;

    let response = Wire::exchange(proxy.web(), ASK).await;

    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert!(!origin.the_request().to_ascii_lowercase().contains("\nupgrade"), "{}", origin.the_request());
}

#[tokio::test]
async fn another_protocol_can_be_allowed_and_h2c_cannot() {
    let origin =
        RawOrigin::start(Script::new().reads_head().sends(SWITCH.replace("websocket", "Foo/1")).stalls()).await;
    let proxy = Proxy::with_upstream(&origin).route("upgrades = [\"foo/1\"]").start().await;
    let mut wire = proxy.wire().await;
    wire.send(ASK.replace("websocket", "FOO/1").replace("GET", "OPTIONS")).await;
    assert_eq!(wire.response().await.header("upgrade"), Some("foo/1"));

    let exit = Proxy::with_upstream(&origin).route("upgrades = [\"websocket\", \"h2c\"]").refuses().await;
    assert!(exit.stderr.contains("h2c is never passed on"), "{}", exit.stderr);
}

#[tokio::test]
async fn the_client_may_end_first_and_still_hear_the_rest() {
    let (gate, _) = watch::channel(false);
    let (proxy, origin) = proxied(switching().waits_for(&gate).sends("the rest").finishes_writing()).await;
    let mut wire = tunnel(&proxy).await;

    wire.send("that is all").await;
    wire.finish().await;
    gate.send_replace(true);

    assert_eq!(wire.rest().await, (b"the rest".to_vec(), Ending::Fin));
    assert_eq!(origin.is_left(0).await, Ending::Fin);
    assert!(origin.received(0).ends_with(b"that is all"));
    proxy.is_idle().await;
}

#[tokio::test]
async fn where_half_closed_clients_are_served_one_may_end_before_the_tunnel_is_there() {
    let (gate, _) = watch::channel(false);
    let script = Script::new().reads_head().waits_for(&gate).sends(format!("{SWITCH}the answer")).finishes_writing();
    let origin = RawOrigin::start(script).await;
    let proxy = Proxy::with_upstream(&origin).listener("half_closed_clients = \"serve\"").start().await;
    let mut wire = proxy.wire().await;
    wire.send(format!("{ASK}the question")).await;
    wire.finish().await;
    eventually("the request is there", || origin.received(0).ends_with(b"\r\n\r\n")).await;

    gate.send_replace(true);

    assert_eq!(wire.response().await.status, 101);
    assert_eq!(wire.rest().await, (b"the answer".to_vec(), Ending::Fin));
    assert_eq!(origin.is_left(0).await, Ending::Fin);
    assert!(origin.received(0).ends_with(b"the question"));
    proxy.is_idle().await;
}

#[tokio::test]
async fn the_endpoint_may_end_first_and_still_hear_the_rest() {
    let (proxy, origin) = proxied(switching().sends("that is all").finishes_writing()).await;
    let mut wire = tunnel(&proxy).await;
    assert_eq!(wire.rest().await, (b"that is all".to_vec(), Ending::Fin));

    wire.send("the rest").await;
    eventually("the rest arrives", || origin.received(0).ends_with(b"the rest")).await;
    assert_eq!(origin.ended(0), None, "the client has not ended yet");
    wire.finish().await;

    assert_eq!(origin.is_left(0).await, Ending::Fin);
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_for_the_other() {
    let (proxy, origin) = proxied(switching()).await;
    tunnel(&proxy).await.reset();
    assert_eq!(origin.is_left(0).await, Ending::Reset);
    proxy.counts_local("client_closed", 1).await;

    let (gate, _) = watch::channel(false);
    let (proxy, _origin) = proxied(switching().waits_for(&gate).resets()).await;
    let mut wire = tunnel(&proxy).await;
    gate.send_replace(true);
    assert_eq!(wire.closed().await, Ending::Reset);
    proxy.counts_local("upstream_reset", 1).await;
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_closed_and_one_in_which_something_does_is_not() {
    let proxy = Proxy::with_upstream(echo().await)
        .listener("timeouts = { idle = \"200ms\", request_head = \"200ms\", body_stall = \"200ms\" }")
        .upstream("timeouts = { tunnel_idle = \"600ms\", body_stall = \"200ms\", response_head = \"200ms\" }")
        .access_log()
        .start()
        .await;
    let mut wire = tunnel(&proxy).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        wire.send("x").await;
        wire.bytes(1).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }

    let quiet = Instant::now();
    wire.closed().await;

    assert!((300..4000).contains(&quiet.elapsed().as_millis()), "{:?}", quiet.elapsed());
    proxy.counts_local("tunnel_idle", 1).await;
    assert_eq!(proxy.access_log_with(1).await[0]["reason"], "tunnel_idle");
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_tunnel_is_counted_while_it_lives_and_logged_once_at_its_end() {
    let origin = echo().await;
    let proxy = Proxy::with_upstream(&origin).access_log().start().await;
    let mut wire = tunnel(&proxy).await;
    shows(&proxy, "evenkeel_tunnels", 1.0).await;
    let metrics = proxy.metrics().await;
    assert_eq!((in_flight(&metrics), metrics.sum("evenkeel_connections", &[])), (1.0, 1.0));
    assert_eq!(metrics.sum("evenkeel_upstream_connections", &[("state", "active")]), 1.0);
    assert_eq!(metrics.sum("evenkeel_requests_total", &[]), 0.0, "it has not ended");

    wire.send("twelve bytes").await;
    wire.bytes(12).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    wire.finish().await;
    wire.closed().await;

    let log = proxy.access_log_with(1).await;
    let line = &log[0];
    assert_eq!((&line["status"], &line["reason"], &line["path"]), (&101.into(), &"".into(), &"/chat".into()), "{line}");
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&12.into(), &12.into()), "{line}");
    assert_eq!((&line["upstream"], &line["endpoint"]), (&"site".into(), &origin.as_str().into()), "{line}");
    assert!(line["total"].as_f64().unwrap() >= 0.3 && line["response_head"].as_f64().unwrap() < 0.3, "{line}");
    let metrics = proxy.metrics().await;
    assert_eq!(metrics.sum("evenkeel_requests_total", &[("code", "101"), ("method", "GET")]), 1.0);
    assert_eq!(metrics.sum("evenkeel_endpoint_requests_total", &[("code_class", "1xx")]), 1.0);
    let waited = metrics.sum("evenkeel_request_duration_seconds_sum", &[]);
    assert!(waited < 0.3, "how long a tunnel lives is no response time: {waited}");
    for gauge in ["evenkeel_tunnels", "evenkeel_connections", "evenkeel_upstream_connections"] {
        shows(&proxy, gauge, 0.0).await;
    }
    proxy.is_idle().await;
    assert_eq!(metrics.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn tunnels_live_through_any_number_of_reloads_even_when_all_of_theirs_is_removed() {
    let builder = Proxy::with_upstream(echo().await).access_log();
    let text = builder.text();
    let proxy = builder.start().await;
    let mut wire = tunnel(&proxy).await;

    for n in 0..20 {
        proxy.reload_with(&format!("{text}# {n}\n")).await;
        wire.send("still here").await;
        assert_eq!(wire.bytes(10).await, b"still here");
    }
    let other = text.replace("site", "other").replace("listeners.web", "listeners.elsewhere");
    proxy.reload_with(&other).await;
    wire.send("still here").await;
    assert_eq!(wire.bytes(10).await, b"still here");
    wire.finish().await;
    wire.closed().await;

    let log = proxy.access_log_with(1).await;
    assert_eq!((&log[0]["upstream"], &log[0]["bytes_in"]), (&"site".into(), &210.into()), "{log:?}");
}

#[tokio::test]
async fn a_drain_waits_for_tunnels_until_its_deadline_and_cuts_them() {
    let mut proxy = Proxy::with_upstream(echo().await)
        .top("drain.grace = \"0s\"\ndrain.deadline = \"1s\"")
        .access_log()
        .start()
        .await;
    let mut wire = tunnel(&proxy).await;
    let mut other = tunnel(&proxy).await;

    let begun = Instant::now();
    proxy.signal(Signal::Term);
    proxy.logs("stopping").await;
    wire.send("while it drains").await;
    assert_eq!(wire.bytes(15).await, b"while it drains");
    other.finish().await;
    other.closed().await;
    wire.rest().await;

    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
    assert_eq!(proxy.exit_within(Duration::from_secs(5)).await.code, Some(0));
    let reasons: Vec<_> = proxy.access_log().iter().map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, ["", "stopped"]);
}

#[tokio::test]
async fn a_drain_with_tunnels_that_end_in_time_needs_no_deadline() {
    let mut proxy =
        Proxy::with_upstream(echo().await).top("drain.grace = \"0s\"\ndrain.deadline = \"60s\"").start().await;
    let mut wire = tunnel(&proxy).await;
    proxy.signal(Signal::Term);
    proxy.logs("stopping").await;

    wire.finish().await;
    wire.closed().await;

    assert_eq!(proxy.exit_within(Duration::from_secs(5)).await.code, Some(0));
}

#[tokio::test]
async fn a_tunnel_over_a_pooled_connection_takes_it_for_good() {
    let script = Script::new().reads_request().sends(OK).reads_head().sends(SWITCH).stalls();
    let origin = RawOrigin::start_each(vec![script, Script::answering(OK)]).await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;
    assert_eq!(Wire::exchange(proxy.web(), PLAIN).await.status, 200);
    let mut wire = tunnel(&proxy).await;
    assert_eq!(origin.connections(), 1);

    assert_eq!(Wire::exchange(proxy.web(), PLAIN).await.status, 200);
    wire.send("bytes").await;

    assert_eq!(origin.connections(), 2);
    eventually("bytes arrive", || origin.received(0).ends_with(b"bytes")).await;
}

//! WebSockets over HTTP/2 (RFC 8441): streams that become tunnels to endpoints of HTTP/1.1, beside streams that do not.

use super::{
    origin::H2Origin,
    site::{AUTO, Site},
    socket::{SocketOrigin, Tunnel, connect, refused, websocket},
    talk::{Talk, h2c, request},
};
use bytes::Bytes;
use evenkeel_testkit::{Ending, Frame, FrameWire, Proxy, Signal, TlsClient, eventually, in_time};
use h2::Reason;
use http::{Method, Request};
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

async fn proxied() -> (Proxy, SocketOrigin, Talk) {
    let origin = SocketOrigin::start().await;
    let proxy = h2c(&origin.place).access_log().start().await;
    let talk = Talk::to(proxy.web()).await;
    (proxy, origin, talk)
}

async fn shows(proxy: &Proxy, name: &str, value: f64) {
    proxy.metrics_show(&format!("{name} is {value}"), |m| (m.sum(name, &[]) - value).abs() < 0.5).await;
}

#[tokio::test]
async fn the_endpoint_is_asked_to_upgrade_and_the_client_gets_a_200() {
    let (proxy, origin, talk) = proxied().await;

    let mut tunnel = Tunnel::open(&talk, "/echo?a=b").await;

    let mut names: Vec<_> = tunnel.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["date", "sec-websocket-protocol", "x-own"], "nothing of the endpoint's handshake");
    let head = origin.last().head;
    assert!(head.starts_with("GET /echo?a=b HTTP/1.1\r\n"), "{head}");
    for line in [
        "\nhost: a.test\r\n",
        "\nconnection: upgrade\r\n",
        "\nupgrade: websocket\r\n",
        "\nsec-websocket-version: 13\r\n",
        "\nsec-websocket-protocol: chat\r\n",
        "\norigin: http://a.test\r\n",
        "\nvia: 2.0 evenkeel\r\n",
        "\nx-forwarded-for: 127.0.0.1\r\n",
    ] {
        assert_eq!(head.matches(line).count(), 1, "{line:?} in {head}");
    }
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("a key");
    assert_eq!(key.len(), 24, "{key}");
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    tunnel.finish();
    tunnel.rest().await.unwrap();

    let mut other = Tunnel::open(&talk, "/echo").await;
    assert!(!origin.last().head.contains(key), "each has a key of its own");
    other.say("hello");
    assert_eq!(other.hear(5).await, b"hello");
    other.finish();
    assert_eq!(other.rest().await.unwrap(), b"");
    assert_eq!(origin.is_left().await, Ending::Fin);
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_client_that_does_not_know_it_is_told_of_it_in_the_settings() {
    let (proxy, _origin, _) = proxied().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;

    let settings = wire.frame_of(Frame::SETTINGS, 0).await.expect("settings");

    // SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441, section 3).
    assert!(settings.payload.chunks(6).any(|setting| *setting == [0, 8, 0, 0, 0, 1]), "{settings:?}");
}

#[tokio::test]
async fn a_megabyte_is_echoed_whole_in_whatever_windows() {
    let (proxy, _origin, talk) = proxied().await;
    let mut tunnel = Tunnel::open(&talk, "/echo").await;
    let piece = Bytes::from((0..50_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());

    for _ in 0..5 {
        tunnel.say(piece.clone());
        assert!(tunnel.hear(piece.len()).await == piece);
    }

    tunnel.finish();
    assert_eq!(tunnel.rest().await.unwrap(), b"");
    proxy.is_idle().await;
}

#[tokio::test]
async fn thousands_of_small_messages_are_no_flood() {
    let (proxy, _origin, talk) = proxied().await;
    let mut tunnel = Tunnel::open(&talk, "/echo").await;

    for n in 0..3_000 {
        let said = format!("message {n:06}");
        tunnel.say(said.clone());
        assert_eq!(tunnel.hear(14).await, said.as_bytes());
    }

    assert_eq!(proxy.metrics().await.sum("evenkeel_http2_faults_total", &[]), 0.0);
}

#[tokio::test]
async fn each_side_ends_for_itself() {
    let (proxy, origin, talk) = proxied().await;
    let mut tunnel = Tunnel::open(&talk, "/last").await;
    tunnel.say("that is all");
    tunnel.finish();
    assert_eq!(tunnel.rest().await.unwrap(), b"the last word");
    assert_eq!(origin.is_left().await, Ending::Fin);
    assert_eq!(origin.last().received, b"that is all");

    let mut tunnel = Tunnel::open(&talk, "/bye").await;
    assert_eq!(tunnel.rest().await.unwrap(), b"bye", "with what came right behind the 101");
    tunnel.say("one thing more");
    eventually("it arrives", || origin.last().received == b"one thing more").await;
    assert_eq!(origin.last().ended, None, "the client has not ended yet");
    tunnel.finish();
    assert_eq!(origin.is_left().await, Ending::Fin);
    proxy.is_idle().await;
    let reasons: Vec<_> = proxy.access_log_with(2).await.iter().map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, ["", ""]);
}

#[tokio::test]
async fn a_client_that_resets_its_stream_leaves_the_endpoint_at_once_and_the_others_go_on() {
    let (proxy, origin, talk) = proxied().await;
    let mut stays = Tunnel::open(&talk, "/echo").await;
    for (n, code) in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR].into_iter().enumerate() {
        let mut tunnel = Tunnel::open(&talk, "/silent").await;
        tunnel.say("half a message");
        eventually("it arrives", || origin.last().received == b"half a message").await;

        tunnel.send.send_reset(code);

        assert_eq!(origin.is_left().await, Ending::Reset, "{code:?} is no end in good order");
        proxy.counts_local("client_closed", u32::try_from(n).unwrap() + 1).await;
    }
    stays.say("still here");
    assert_eq!(stays.hear(10).await, b"still here");
    shows(&proxy, "evenkeel_tunnels", 1.0).await;
}

#[tokio::test]
async fn a_client_that_has_ended_its_side_can_still_reset_the_other() {
    let (proxy, origin, talk) = proxied().await;
    let mut tunnel = Tunnel::open(&talk, "/flood").await;
    tunnel.finish();
    tunnel.hear(1 << 20).await;

    drop(tunnel);

    assert_eq!(origin.is_left().await, Ending::Reset);
    proxy.counts_local("client_closed", 1).await;
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_connection_that_is_lost_takes_its_tunnels_with_it() {
    let (proxy, origin, talk) = proxied().await;
    let tunnels = [Tunnel::open(&talk, "/silent").await, Tunnel::open(&talk, "/silent").await];

    drop((talk, tunnels));

    eventually("both are left", || origin.seen().iter().all(|seen| seen.ended.is_some())).await;
    proxy.counts_local("client_closed", 2).await;
    proxy.is_idle().await;
    shows(&proxy, "evenkeel_tunnels", 0.0).await;
}

#[tokio::test]
async fn an_endpoint_that_fails_resets_the_stream_and_nothing_else() {
    let (proxy, _origin, talk) = proxied().await;
    let mut tunnel = Tunnel::open(&talk, "/reset").await;
    tunnel.say("x");

    let error = tunnel.rest().await.unwrap_err();

    // RFC 8441, section 5.
    assert_eq!((error.is_remote(), error.reason()), (true, Some(Reason::CANCEL)), "{error:?}");
    proxy.counts_local("upstream_reset", 1).await;
    assert_eq!(refused(&talk, websocket("/refuse")).await.status, 403, "the connection lives on");
}

#[tokio::test]
async fn an_endpoint_may_refuse_in_its_own_words() {
    let (proxy, origin, talk) = proxied().await;

    for _ in 0..2 {
        let answer = refused(&talk, websocket("/refuse")).await;
        assert_eq!((answer.status, answer.text()), (403, "no"));
    }

    assert!(origin.seen().iter().all(|seen| seen.head.starts_with("GET /refuse ")));
    proxy.is_idle().await;
}

#[tokio::test]
async fn an_answer_that_agrees_to_something_else_is_a_502() {
    let (proxy, origin, talk) = proxied().await;
    let paths = ["/wrong", "/none", "/twice", "/other", "/plain"];

    for path in paths {
        let answer = refused(&talk, websocket(path)).await;
        assert_eq!(answer.status, 502, "{path}: {answer:?}");
        assert!(answer.text().contains("upstream_protocol"), "{}", answer.text());
        origin.is_left().await;
    }

    proxy.counts_local("upstream_protocol", u32::try_from(paths.len()).unwrap()).await;
    proxy.is_idle().await;
}

/// Whether it was refused as something that we do not serve.
async fn unserved(proxy: &Proxy, asked: http::request::Builder) {
    let answer = refused(&Talk::to(proxy.web()).await, asked).await;
    assert_eq!(answer.status, 501, "{answer:?}");
    assert!(answer.text().contains("upgrade_refused"), "{}", answer.text());
    proxy.counts_local("upgrade_refused", 1).await;
}

#[tokio::test]
async fn what_cannot_be_had_is_501() {
    let origin = SocketOrigin::start().await;
    let proxy = h2c(&origin.place).start().await;
    unserved(&proxy, connect("connect-udp", "/")).await;
    // What an Upgrade of HTTP/1.1 would have been passed on for; nobody has said what it means here.
    let proxy = h2c(&origin.place).route("upgrades = [\"foo\"]").start().await;
    unserved(&proxy, connect("foo", "/")).await;
    let proxy = h2c(&origin.place).route("upgrades = []").start().await;
    unserved(&proxy, websocket("/")).await;
    let proxy =
        h2c(&origin.place).route("filters = [{ fixed_response = { status = 200, body = \"hi\" } }]").start().await;
    unserved(&proxy, websocket("/")).await;
    assert!(origin.seen().is_empty());

    let origin = H2Origin::echo().await;
    let proxy = h2c(&origin.place).upstream("protocol = \"h2c\"").start().await;
    unserved(&proxy, websocket("/")).await;
    assert!(origin.heads().is_empty());
}

#[tokio::test]
async fn a_connect_for_no_protocol_is_refused_as_ever() {
    let (proxy, origin, talk) = proxied().await;

    let answer = refused(&talk, Request::builder().method(Method::CONNECT).uri("a.test:443")).await;

    assert_eq!((answer.status, origin.seen().len()), (405, 0));
    proxy.counts_local("method_refused", 1).await;
}

#[tokio::test]
async fn a_host_or_path_that_does_not_hold_is_refused_like_any_other() {
    let (_proxy, origin, talk) = proxied().await;

    assert_eq!(refused(&talk, websocket("/%zz")).await.status, 400);
    assert_eq!(refused(&talk, websocket("/").header("host", "b.test")).await.status, 400);

    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_the_question() {
    let (proxy, origin, talk) = proxied().await;
    let (answer, mut send) = talk.begin(websocket("/never"), false).await.unwrap();
    eventually("it is asked", || !origin.seen().is_empty()).await;

    send.send_reset(Reason::CANCEL);

    assert!(in_time("an end", answer).await.is_err());
    origin.is_left().await;
    proxy.counts_local("client_closed", 1).await;
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_reset_and_one_in_which_something_does_is_not() {
    let origin = SocketOrigin::start().await;
    let proxy = h2c(&origin.place)
        .listener("timeouts = { idle = \"200ms\", request_head = \"200ms\", body_stall = \"200ms\" }")
        .upstream("timeouts = { tunnel_idle = \"600ms\", body_stall = \"200ms\", response_head = \"200ms\" }")
        .access_log()
        .start()
        .await;
    let talk = Talk::to(proxy.web()).await;
    let mut tunnel = Tunnel::open(&talk, "/echo").await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        tunnel.say("x");
        tunnel.hear(1).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }

    let error = tunnel.rest().await.unwrap_err();

    assert_eq!(error.reason(), Some(Reason::CANCEL), "{error:?}");
    proxy.counts_local("tunnel_idle", 1).await;
    assert_eq!(proxy.access_log_with(1).await[0]["reason"], "tunnel_idle");
    origin.is_left().await;
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_tunnel_is_counted_while_it_lives_and_logged_once_at_its_end() {
    let (proxy, origin, talk) = proxied().await;
    let mut tunnel = Tunnel::open(&talk, "/echo").await;
    shows(&proxy, "evenkeel_tunnels", 1.0).await;
    let metrics = proxy.metrics().await;
    assert_eq!(metrics.sum("evenkeel_endpoint_requests_in_flight", &[]), 1.0);
    assert_eq!(metrics.sum("evenkeel_upstream_connections", &[("state", "active")]), 1.0);
    assert_eq!(metrics.sum("evenkeel_requests_total", &[]), 0.0, "it has not ended");

    tunnel.say("twelve bytes");
    tunnel.hear(12).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    tunnel.finish();
    tunnel.rest().await.unwrap();

    let log = proxy.access_log_with(1).await;
    let line = &log[0];
    let said = (&line["method"], &line["status"], &line["reason"], &line["path"]);
    assert_eq!(said, (&"CONNECT".into(), &200.into(), &"".into(), &"/echo".into()), "{line}");
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&12.into(), &12.into()), "{line}");
    assert_eq!(line["host"], "a.test", "{line}");
    assert_eq!(line["endpoint"], origin.place.to_string(), "{line}");
    assert!(line["total"].as_f64().unwrap() >= 0.3 && line["response_head"].as_f64().unwrap() < 0.3, "{line}");
    let metrics = proxy.metrics().await;
    assert_eq!(metrics.sum("evenkeel_requests_total", &[("code", "200"), ("method", "CONNECT")]), 1.0);
    assert_eq!(metrics.sum("evenkeel_endpoint_requests_total", &[("code_class", "1xx")]), 1.0);
    let waited = metrics.sum("evenkeel_request_duration_seconds_sum", &[]);
    assert!(waited < 0.3, "how long a tunnel lives is no response time: {waited}");
    for gauge in ["evenkeel_tunnels", "evenkeel_upstream_connections"] {
        shows(&proxy, gauge, 0.0).await;
    }
    proxy.is_idle().await;
    assert_eq!(metrics.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn a_tunnel_is_one_stream_among_others() {
    let origin = SocketOrigin::start().await;
    let proxy = h2c(&origin.place).top("limits.streams_max = 3").workers(1).start().await;
    let talk = Talk::to(proxy.web()).await;
    let mut tunnels = [Tunnel::open(&talk, "/echo").await, Tunnel::open(&talk, "/echo").await];

    for n in 0..20 {
        assert_eq!(talk.ask(request("GET", "/plain")).await.unwrap().status, 200);
        for tunnel in &mut tunnels {
            tunnel.say(format!("{n:04}"));
            assert_eq!(tunnel.hear(4).await, format!("{n:04}").as_bytes());
        }
    }
    let mut third = Tunnel::open(&talk, "/echo").await;
    let (answer, _send) = talk.begin(request("GET", "/plain"), true).await.unwrap();
    let waits = tokio::spawn(answer);
    third.say("room");
    assert_eq!(third.hear(4).await, b"room");
    assert!(!waits.is_finished(), "the client knows that three are all it may have");
    third.finish();
    third.rest().await.unwrap();
    assert_eq!(in_time("a place", waits).await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn an_endpoint_is_not_read_faster_than_its_client_takes() {
    let (proxy, origin, _) = proxied().await;
    // Its windows: 64 KiB for a stream, and room for more of them.
    let talk = Talk::to(proxy.web()).await;
    let mut tunnel = Tunnel::open(&talk, "/flood").await;
    let written = || origin.flooded.load(Ordering::Relaxed);
    let mut before = 0;
    evenkeel_testkit::until("the endpoint can write no more", async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = written();
        (now == std::mem::replace(&mut before, now) && now > 0).then_some(())
    })
    .await;

    // The buffers of two sockets, and a window.
    assert!(written() < 16 << 20, "{} bytes", written());
    assert_eq!(talk.ask(request("GET", "/plain")).await.unwrap().status, 200, "others on the connection go on");
    let all = usize::try_from(written()).unwrap();
    tunnel.hear(all).await;
    drop(tunnel);
    proxy.is_idle().await;
}

#[tokio::test]
async fn tunnels_live_through_reloads_and_a_drain_waits_for_them_until_its_deadline() {
    let origin = SocketOrigin::start().await;
    let builder = h2c(&origin.place).top("drain.grace = \"0s\"\ndrain.deadline = \"1s\"").access_log();
    let text = builder.text();
    let mut proxy = builder.start().await;
    let talk = Talk::to(proxy.web()).await;
    let (mut stays, mut ends) = (Tunnel::open(&talk, "/echo").await, Tunnel::open(&talk, "/echo").await);
    for n in 0..5 {
        proxy.reload_with(&format!("{text}# {n}\n")).await;
        stays.say("still here");
        assert_eq!(stays.hear(10).await, b"still here");
    }

    let begun = Instant::now();
    proxy.signal(Signal::Term);
    proxy.logs("stopping").await;
    stays.say("while it drains");
    assert_eq!(stays.hear(15).await, b"while it drains");
    ends.finish();
    assert_eq!(ends.rest().await.unwrap(), b"");
    assert!(stays.rest().await.is_err(), "cut, and visibly");

    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
    assert_eq!(proxy.exit_within(Duration::from_secs(5)).await.code, Some(0));
    let reasons: Vec<_> = proxy.access_log().iter().map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, ["", "stopped"]);
}

#[tokio::test]
async fn a_tunnel_leads_from_tls_to_tls() {
    let site = Site::new();
    for speaks in [&["http/1.1"][..], &["h2", "http/1.1"]] {
        let origin = SocketOrigin::secured(&site.tls.clone().speaking(speaks)).await;
        let builder = site.before([&origin.place], AUTO);
        site.authority.server(&["a.test"]).make().write(builder.folder(), "front");
        let front = "tls.certificates = [{ cert = \"front.pem\", key = \"front.key\" }]";
        let proxy = builder.listener(front).start().await;
        let client = TlsClient::new(&site.authority, "a.test").but(|c| c.alpn_protocols = vec![b"h2".to_vec()]);
        let talk = Talk::over(client.socket(proxy.web()).await).await;

        let mut tunnel = Tunnel::open(&talk, "/echo").await;
        tunnel.say("hello");
        assert_eq!(tunnel.hear(5).await, b"hello");
        tunnel.finish();
        tunnel.rest().await.unwrap();

        assert_eq!(origin.is_left().await, Ending::Fin);
        proxy.is_idle().await;
    }
}

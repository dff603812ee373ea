//! Bytes both ways, every one of them, and the ends of both sides.

use super::{each, echo, ended, is_quiet, leading, to};
use evenkeel_testkit::{Ending, Proxy, RawOrigin, Script, Signal, Wire, eventually};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

#[tokio::test]
async fn bytes_go_both_ways_and_the_session_is_counted_and_logged_once() {
    let origin = echo().await;
    let proxy = to(&origin).start().await;
    let mut wire = proxy.wire().await;

    wire.send("twelve bytes").await;
    assert_eq!(wire.bytes(12).await, b"twelve bytes");
    let metrics = proxy.metrics().await;
    for gauge in ["evenkeel_connections", "evenkeel_upstream_connections", "evenkeel_endpoint_requests_in_flight"] {
        assert!((metrics.sum(gauge, &[]) - 1.0).abs() < 0.5, "{gauge}: {}", metrics.text());
    }
    wire.finish().await;
    assert_eq!(wire.closed().await, Ending::Fin);

    let labels = [("listener", "db"), ("upstream", "site"), ("result", "complete")];
    let metrics = ended(&proxy, "complete", 1).await;
    assert_eq!(metrics.get(super::SESSIONS, &labels), Some(1.0));
    assert_eq!(metrics.sum("evenkeel_bytes_total", &[("direction", "in")]), 12.0);
    assert_eq!(metrics.sum("evenkeel_bytes_total", &[("direction", "out")]), 12.0);
    assert_eq!(metrics.sum("evenkeel_upstream_connects_total", &[("result", "ok")]), 1.0);
    assert_eq!(metrics.problems(), Vec::<String>::new());
    let log = proxy.access_log_with(1).await;
    let line = &log[0];
    assert_eq!((&line["listener"], &line["client"]), (&"db".into(), &"127.0.0.1".into()), "{line}");
    assert_eq!((&line["upstream"], &line["endpoint"]), (&"site".into(), &origin.as_str().into()), "{line}");
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&12.into(), &12.into()), "{line}");
    assert_eq!((&line["attempts"], &line["reason"], &line["method"]), (&1.into(), &"".into(), &"".into()), "{line}");
    assert!(line["status"].is_null() && line["connect"].is_number() && line["total"].is_number(), "{line}");
    is_quiet(&proxy).await;
}

#[tokio::test]
async fn a_server_may_speak_first() {
    let origin = RawOrigin::start(Script::new().sends("220 ready\r\n").stalls()).await;
    let proxy = to(&origin).start().await;

    assert_eq!(proxy.wire().await.bytes(11).await, b"220 ready\r\n");
}

#[tokio::test]
async fn the_client_may_end_first_and_still_hear_the_rest() {
    let (gate, _) = watch::channel(false);
    let origin = RawOrigin::start(Script::new().waits_for(&gate).sends("the rest").finishes_writing()).await;
    let proxy = to(&origin).start().await;
    let mut wire = proxy.wire().await;

    wire.send("that is all").await;
    wire.finish().await;
    gate.send_replace(true);

    assert_eq!(wire.rest().await, (b"the rest".to_vec(), Ending::Fin));
    assert_eq!(origin.is_left(0).await, Ending::Fin);
    assert_eq!(origin.received(0), b"that is all");
    ended(&proxy, "complete", 1).await;
}

#[tokio::test]
async fn the_endpoint_may_end_first_and_still_hear_the_rest() {
    let origin = RawOrigin::start(Script::new().sends("that is all").finishes_writing()).await;
    let proxy = to(&origin).start().await;
    let mut wire = proxy.wire().await;
    assert_eq!(wire.rest().await, (b"that is all".to_vec(), Ending::Fin));

    wire.send("the rest").await;
    eventually("the rest arrives", || origin.received(0) == b"the rest").await;
    assert_eq!(origin.ended(0), None, "the client has not ended yet");
    wire.finish().await;

    assert_eq!(origin.is_left(0).await, Ending::Fin);
    ended(&proxy, "complete", 1).await;
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_for_the_other() {
    let origin = RawOrigin::start(Script::new()).await;
    let proxy = to(&origin).start().await;
    let mut wire = proxy.wire().await;
    wire.send("x").await;
    origin.has_received(0, 1).await;
    wire.reset();
    assert_eq!(origin.is_left(0).await, Ending::Reset);
    ended(&proxy, "client_closed", 1).await;

    let (gate, _) = watch::channel(false);
    let origin = RawOrigin::start(Script::new().waits_for(&gate).resets()).await;
    let proxy = to(&origin).start().await;
    let mut wire = proxy.wire().await;
    eventually("the session is there", || origin.connections() == 1).await;
    gate.send_replace(true);
    assert_eq!(wire.closed().await, Ending::Reset);
    ended(&proxy, "upstream_reset", 1).await;
    is_quiet(&proxy).await;
}

#[tokio::test]
async fn a_hundred_megabytes_are_echoed_whole() {
    const BYTES: usize = 100 << 20;
    let proxy = to(echo().await).start().await;
    let socket = TcpStream::connect(proxy.web().to_string()).await.unwrap();
    let (mut read, mut write) = socket.into_split();
    let piece: Vec<u8> = (0..250_007_u32).flat_map(u32::to_le_bytes).collect();
    let sent = piece.clone();
    tokio::spawn(async move {
        let mut left = BYTES;
        while left > 0 {
            let some = left.min(sent.len());
            write.write_all(&sent[..some]).await.unwrap();
            left -= some;
        }
        write.shutdown().await.unwrap();
    });

    let (mut got, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        let bytes = read.read(&mut buffer).await.unwrap();
        if bytes == 0 {
            break;
        }
        for part in buffer[..bytes].chunks(997) {
            let at = got % piece.len();
            let whole = part.len().min(piece.len() - at);
            assert!(part[..whole] == piece[at..at + whole] && part[whole..] == piece[..part.len() - whole], "at {got}");
            got += part.len();
        }
    }

    assert_eq!(got, BYTES);
    ended(&proxy, "complete", 1).await;
    let log = proxy.access_log_with(1).await;
    assert_eq!((log[0]["bytes_in"].as_u64(), log[0]["bytes_out"].as_u64()), (Some(BYTES as u64), Some(BYTES as u64)));
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_endpoint_and_makes_no_memory_grow() {
    let (progress, mut sent) = watch::channel(0_usize);
    let origin = each(move |mut socket: TcpStream| {
        let progress = progress.clone();
        async move {
            let piece = vec![7; 1 << 16];
            while let Ok(bytes) = socket.write(&piece).await {
                progress.send_modify(|sent| *sent += bytes);
            }
        }
    })
    .await;
    let proxy = to(origin).start().await;
    let before = resident(&proxy);

    let wires: Vec<Wire> = connected(&proxy, 20).await;
    // It stands still: what was sent in the last half second is nothing.
    while tokio::time::timeout(Duration::from_millis(500), sent.changed()).await.is_ok() {}

    let grown = resident(&proxy).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for {} sessions", wires.len());
    drop(wires);
    is_quiet(&proxy).await;
}

async fn connected(proxy: &Proxy, count: usize) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..count {
        wires.push(proxy.wire().await);
    }
    wires
}

/// Bytes of memory that the process has.
fn resident(proxy: &Proxy) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says what is resident");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

#[tokio::test]
async fn a_session_in_which_nothing_moves_is_closed_and_one_in_which_something_does_is_not() {
    let idle = "timeouts = { tunnel_idle = \"600ms\" }";
    let proxy = leading("", [echo().await], idle).start().await;
    let mut wire = proxy.wire().await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        wire.send("x").await;
        wire.bytes(1).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }

    let quiet = Instant::now();
    wire.closed().await;

    assert!((300..4000).contains(&quiet.elapsed().as_millis()), "{:?}", quiet.elapsed());
    ended(&proxy, "idle", 1).await;
    assert_eq!(proxy.access_log_with(1).await[0]["reason"], "idle");
}

#[tokio::test]
async fn sessions_live_through_reloads_even_when_all_of_theirs_is_removed() {
    let builder = to(echo().await);
    let text = builder.text();
    let proxy = builder.start().await;
    let mut wire = proxy.wire().await;

    for n in 0..10 {
        proxy.reload_with(&format!("{text}# {n}\n")).await;
        wire.send("still here").await;
        assert_eq!(wire.bytes(10).await, b"still here");
    }
    let other = text.replace("site", "other").replace("listeners.db", "listeners.elsewhere");
    proxy.reload_with(&other).await;
    wire.send("still here").await;
    assert_eq!(wire.bytes(10).await, b"still here");
    wire.finish().await;
    wire.closed().await;

    let log = proxy.access_log_with(1).await;
    assert_eq!((&log[0]["upstream"], &log[0]["bytes_in"]), (&"site".into(), &110.into()), "{log:?}");
}

#[tokio::test]
async fn a_removed_listener_leads_where_it_led_until_its_grace_is_over() {
    let builder = leading("", [echo().await], "[drain]\ngrace = \"60s\"");
    let text = builder.text();
    let proxy = builder.start().await;

    proxy.reload_with(&text.replace("listeners.db", "listeners.elsewhere")).await;
    let mut wire = proxy.wire().await;
    wire.send("hello").await;

    assert_eq!(wire.bytes(5).await, b"hello");
}

#[tokio::test]
async fn a_drain_waits_for_sessions_until_its_deadline_and_cuts_them() {
    let drain = "[drain]\ngrace = \"0s\"\ndeadline = \"1s\"";
    let mut proxy = leading("", [echo().await], drain).start().await;
    let mut wire = proxy.wire().await;
    let mut other = proxy.wire().await;
    for wire in [&mut wire, &mut other] {
        wire.send("here").await;
        wire.bytes(4).await;
    }

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

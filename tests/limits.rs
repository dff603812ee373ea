//! What one client may cost: connections, heads, targets, bodies, memory.

use evenkeel_testkit::{Answer, Ending, Origin, Proxy, RawOrigin, Script, Wire, eventually, until};
use std::{fs, time::Duration};
use tokio::sync::watch;

async fn limited(limits: &str) -> (Proxy, Origin) {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).more(&format!("[limits]\n{limits}")).start().await;
    (proxy, origin)
}

#[tokio::test]
async fn a_head_above_its_limit_is_a_431() {
    let (proxy, origin) = limited("request_head_max = \"8KiB\"").await;
    let mut wire = proxy.wire().await;

    wire.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(8_200))).await;

    assert_eq!(wire.response().await.status, 431);
    wire.rest().await;
    assert_eq!(origin.requests(), 0);
    proxy.counts_local("request_head_too_large", 1).await;
}

#[tokio::test]
async fn a_limit_that_is_changed_holds_on_open_connections_too() {
    let (proxy, _origin) = limited("request_head_max = \"8KiB\"").await;
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(12_000));
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(wire.response().await.status, 200);

    let text = proxy.file().text().replace("8KiB", "16KiB");
    proxy.reload_with(&text).await;
    wire.send(&head).await;

    assert_eq!(wire.response().await.status, 200);
}

#[tokio::test]
async fn a_head_below_its_limit_is_served() {
    let (proxy, _origin) = limited("request_head_max = \"8KiB\"").await;

    let response = proxy.client().get("/").header("x", &"x".repeat(7_500)).send().await;

    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn the_default_takes_a_head_of_30_kib_and_none_of_40() {
    let (proxy, _origin) = limited("").await;
    for (length, status) in [(30 << 10, 200), (40 << 10, 431)] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length));
        assert_eq!(Wire::exchange(proxy.web(), head).await.status, status, "{length}");
    }
}

#[tokio::test]
async fn many_small_fields_are_a_head_as_well() {
    let (proxy, origin) = limited("").await;
    let fields: String = (0..10_000).map(|n| format!("x{n}: y\r\n")).collect();
    let mut wire = proxy.wire().await;

    // The answer may come, and the connection end, before all is sent.
    let _ = wire.try_send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;

    assert_eq!(wire.response().await.status, 431);
    assert_eq!(origin.requests(), 0);
}

/// A head with so many fields, Host among them.
fn head_of(fields: usize) -> String {
    let rest: String = (1..fields).map(|n| format!("x{n}: y\r\n")).collect();
    format!("GET / HTTP/1.1\r\nHost: a\r\n{rest}\r\n")
}

#[tokio::test]
async fn a_head_of_more_fields_than_its_limit_is_a_431() {
    for (limit, most) in [("", 100), ("headers_max = 10", 10), ("headers_max = 300", 300)] {
        let origin = RawOrigin::start(Script::answering("HTTP/1.1 204 No Content\r\n\r\n")).await;
        let proxy = Proxy::with_upstream(&origin).more(&format!("[limits]\n{limit}")).start().await;

        assert_eq!(Wire::exchange(proxy.web(), head_of(most)).await.status, 204, "{limit}");
        assert_eq!(Wire::exchange(proxy.web(), head_of(most + 1)).await.status, 431, "{limit}");

        assert_eq!(origin.requests().len(), 1, "{limit}");
        proxy.counts_local("request_head_too_large", 1).await;
    }
}

#[tokio::test]
async fn underscores_in_names_pass_unless_they_are_refused() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX_User: ann\r\n\r\n";
    let (proxy, origin) = limited("").await;
    assert_eq!(Wire::exchange(proxy.web(), request).await.status, 200);
    assert_eq!(origin.last_seen().header("x_user"), Some("ann"));

    let (proxy, origin) = limited("underscores = \"refuse\"").await;
    let mut wire = proxy.wire().await;
    wire.send(request).await;
    assert_eq!(wire.response().await.status, 400);
    wire.rest().await;
    assert_eq!(proxy.client().get("/").header("x-a", "_").status().await, 200);
    assert_eq!(origin.requests(), 1);
    proxy.counts_local("malformed_request", 1).await;
}

#[tokio::test]
async fn a_target_above_its_limit_is_a_414() {
    let (proxy, origin) = limited("uri_max = \"256B\"").await;
    for (length, status) in [(256, 200), (257, 414), (5_000, 414)] {
        let target = format!("/{}", "x".repeat(length - 1));
        let response = Wire::exchange(proxy.web(), format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(response.status, status, "{length}");
    }
    assert_eq!(origin.requests(), 1);
    proxy.counts_local("uri_too_long", 2).await;
}

#[tokio::test]
async fn a_target_is_measured_in_the_spelling_in_which_it_leaves() {
    let (proxy, _origin) = limited("uri_max = \"256B\"").await;
    for (letters, status) in [(255, 200), (256, 414)] {
        let target = format!("/{}", "%61".repeat(letters));
        let response = Wire::exchange(proxy.web(), format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(response.status, status, "{letters}");
    }
}

#[tokio::test]
async fn a_body_whose_length_is_above_the_limit_is_a_413_that_never_reaches_an_endpoint() {
    let (proxy, origin) = limited("body_max = \"1KiB\"").await;
    let client = proxy.client();

    assert_eq!(client.post("/", "x".repeat(1_024)).status().await, 200);
    assert_eq!(client.post("/", "x".repeat(1_025)).status().await, 413);

    assert_eq!((origin.requests(), origin.last_seen().body.len()), (1, 1_024));
    proxy.counts_local("request_too_large", 1).await;
}

#[tokio::test]
async fn a_route_has_its_own_limit_for_bodies_smaller_or_larger() {
    let origin = Origin::http1().start().await;
    let route =
        |path: &str, max: &str| format!("[[routes]]\npath = \"{path}\"\nbody_max = \"{max}\"\nupstream = \"site\"\n");
    let more = format!("{}{}[limits]\nbody_max = \"1KiB\"", route("/small", "10B"), route("/large", "4KiB"));
    let proxy = Proxy::with_upstream(&origin).more(&more).start().await;
    let client = proxy.client();

    for (path, most) in [("/", 1_024), ("/small", 10), ("/large", 4_096)] {
        assert_eq!(client.post(path, "x".repeat(most)).status().await, 200, "{path}");
        assert_eq!(client.post(path, "x".repeat(most + 1)).status().await, 413, "{path}");
        let chunked = |bytes: usize| {
            let body = format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(bytes));
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
        };
        assert_eq!(Wire::exchange(proxy.web(), chunked(most)).await.status, 200, "{path}");
        assert_eq!(Wire::exchange(proxy.web(), chunked(most + 1)).await.status, 413, "{path}");
    }
    proxy.counts_local("request_too_large", 6).await;
}

#[tokio::test]
async fn a_chunked_body_that_grows_above_the_limit_never_looks_complete() {
    let origin = RawOrigin::start(Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
    let proxy = Proxy::with_upstream(&origin).more("[limits]\nbody_max = \"1KiB\"").start().await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
    for _ in 0..4 {
        // It may be over before all is sent.
        let _ = wire.try_send(&chunk).await;
    }
    let _ = wire.try_send("0\r\n\r\n").await;

    let response = wire.try_response().await;

    assert!(response.as_ref().map_or(true, |response| response.status == 413), "{response:?}");
    if origin.connections() > 0 {
        origin.is_left(0).await;
        assert!(origin.requests().is_empty(), "{:?}", origin.requests());
    }
    proxy.counts_local("request_too_large", 1).await;
}

#[tokio::test]
async fn a_client_in_the_middle_of_a_large_upload_reads_its_413() {
    let (proxy, origin) = limited("body_max = \"1KiB\"").await;
    let mut wire = proxy.wire().await;
    let length = 10 << 20;
    wire.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).await;

    // As curl does: everything first, then look. It is taken, though nobody wants it: a reset would take the answer away.
    wire.send(vec![b'x'; length]).await;

    assert_eq!(wire.response().await.status, 413);
    assert_eq!(wire.closed().await, Ending::Fin);
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_client_that_sends_more_behind_a_request_that_was_refused_reads_its_400() {
    let (proxy, origin) = limited("").await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n").await;

    wire.send(vec![b'x'; 4 << 20]).await;

    assert_eq!(wire.response().await.status, 400);
    assert_eq!(wire.closed().await, Ending::Fin);
    assert_eq!(origin.requests(), 0);
    wire.finish().await;
    proxy.is_idle().await;
}

/// Resident memory of a process in KiB: now, or the most that it was.
fn memory(process: u32, which: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with(which)).expect("Linux says what is resident");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
}

#[tokio::test]
async fn a_hundred_megabytes_each_way_pass_in_bounded_memory() {
    let size = 100 << 20;
    let origin =
        Origin::http1().at("/down", Answer::text(vec![b'x'; size])).at("/up", Answer::text("ok")).start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let client = proxy.client();
    client.get("/").send().await;
    let before = memory(proxy.id(), "VmRSS:");

    assert_eq!(client.get("/down").send().await.body.len(), size);
    assert_eq!(client.post("/up", vec![b'x'; size]).status().await, 200);

    assert_eq!(origin.last_seen().body.len(), size);
    let grown = memory(proxy.id(), "VmHWM:").saturating_sub(before);
    assert!(grown < 4 << 10, "grown by {grown} KiB");
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_drain_the_endpoint() {
    let (size, head) = (64 << 20, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
    let mut body = head.as_bytes().to_vec();
    body.resize(head.len() + size, b'x');
    let origin = RawOrigin::start(Script::new().reads_request().sends(body)).await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    proxy.metrics().await;
    let before = memory(proxy.id(), "VmRSS:");
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the endpoint has the request", || origin.requests().len() == 1).await;
    proxy.metrics_show("the answer has begun", |m| m.sum("evenkeel_bytes_total", &[("direction", "out")]) > 10.0).await;

    // The sockets on both sides fill; what is in the process stays small.
    let grown = memory(proxy.id(), "VmRSS:").saturating_sub(before);

    assert!(grown < 10 << 10, "grown by {grown} KiB");
    let response = wire.response().await;
    assert!(response.is_complete() && response.body.len() == size);
}

#[tokio::test]
async fn an_endpoint_that_does_not_read_does_not_fill_memory() {
    let (gate, _) = watch::channel(false);
    let script = Script::new().reads_head().waits_for(&gate).stalls();
    let origin = RawOrigin::start(script).await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    proxy.metrics().await;
    let before = memory(proxy.id(), "VmRSS:");
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n").await;

    // As much as anybody takes: the sockets fill, then it stands still.
    let chunk = vec![b'x'; 1 << 20];
    let mut taken = 0;
    while taken < 64 && tokio::time::timeout(Duration::from_millis(500), wire.try_send(&chunk)).await.is_ok() {
        taken += 1;
    }

    assert!(taken < 64, "all of it was taken although nobody read it");
    let grown = memory(proxy.id(), "VmRSS:").saturating_sub(before);
    assert!(grown < 10 << 10, "grown by {grown} KiB");
    drop(wire);
    gate.send_replace(true);
    proxy.is_idle().await;
}

#[tokio::test]
async fn without_descriptors_it_backs_off_and_recovers() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).descriptors(64).more("[limits]\nconnections_max = 1000").start().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(proxy.wire().await);
    }
    // The admin listener is short of descriptors as well, so the processor time says whether it spins.
    let before = processor(proxy.id());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = processor(proxy.id()) - before;
    assert!(used < Duration::from_millis(500), "{used:?} of processor time within a second of waiting");

    drop(silent);

    until("it serves again", async || {
        proxy.client().get("/").try_send().await.is_ok_and(|response| response.status == 200).then_some(())
    })
    .await;
}

/// Processor time that a process has used, user and system.
fn processor(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // proc(5): fields 14 and 15, in ticks of a hundredth of a second; the name in field 2 may hold blanks.
    let after_name = stat.rsplit(')').next().expect("the name is in brackets");
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

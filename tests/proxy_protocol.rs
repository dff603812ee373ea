//! The PROXY protocol: believed where the file says so and from whom it says, and told to endpoints that want it.

use evenkeel_testkit::{Origin, Place, Proxy, RawOrigin, Script, Wire, eventually};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// A listener behind a balancer on this machine.
const BEHIND: &str = "proxy_protocol = true\nproxy_protocol_from = [\"127.0.0.1/32\"]";

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const ERRORS: &str = "evenkeel_proxy_protocol_errors_total";

/// A header of version 1 for a client at this address.
fn v1(client: &str) -> String {
    format!("PROXY TCP4 {client} 192.0.2.1 40000 443\r\n")
}

/// A header of version 2.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("test data is short").to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, block].concat()
}

/// The addresses of 203.0.113.7:40000 and 192.0.2.1:443.
const ADDRESSES: [u8; 12] = [203, 0, 113, 7, 192, 0, 2, 1, 0x9c, 0x40, 0x01, 0xbb];

async fn started(listener: &str) -> (Proxy, Origin) {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).listener(listener).access_log().start().await;
    (proxy, origin)
}

/// Waits until so many connections were refused for this reason.
async fn refuses(proxy: &Proxy, reason: &str, connections: u32) {
    let what = format!("{connections} connections refused as {reason}");
    let goal = f64::from(connections);
    proxy.metrics_show(&what, |m| (m.sum(ERRORS, &[("reason", reason)]) - goal).abs() < 0.5).await;
}

#[tokio::test]
async fn the_client_is_whom_the_header_names() {
    let (proxy, origin) = started(BEHIND).await;
    let six = [&[0x20, 0x01, 0x0d, 0xb8], &[0; 11][..], &[7], &[0; 15], &[1], &[0x9c, 0x40, 0x01, 0xbb]].concat();
    let headers = [
        (v1("203.0.113.7").into_bytes(), "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::9 ::1 40000 443\r\n".to_vec(), "2001:db8::9"),
        (v2(0x21, 0x11, &ADDRESSES), "203.0.113.7"),
        (v2(0x21, 0x21, &six), "2001:db8::7"),
        (v2(0x21, 0x11, &[&ADDRESSES[..], b"\x01\0\x02h2\x04\0\x01x"].concat()), "203.0.113.7"),
    ];
    for (number, (header, client)) in headers.iter().enumerate() {
        let response = Wire::exchange(proxy.web(), [header, GET.as_bytes()].concat()).await;

        assert_eq!(response.status, 200, "{header:?}");
        assert_eq!(origin.last_seen().header_all("x-forwarded-for"), [*client]);
        assert_eq!(proxy.access_log_with(number + 1).await[number]["client"], *client);
    }
}

#[tokio::test]
async fn a_header_may_come_in_pieces_and_what_follows_it_is_the_request() {
    let (proxy, origin) = started(BEHIND).await;
    for header in [v1("203.0.113.7").into_bytes(), v2(0x21, 0x11, &ADDRESSES)] {
        let mut wire = proxy.wire().await;
        // The last byte of the header and the first ones of the request are one piece.
        let (piece, rest) = header.split_at(header.len() - 1);
        wire.drip(piece, Duration::from_millis(1)).await;
        wire.send([rest, GET.as_bytes(), GET.as_bytes()].concat()).await;

        for _ in 0..2 {
            assert_eq!(wire.response().await.status, 200);
            assert_eq!(origin.last_seen().header_all("x-forwarded-for"), ["203.0.113.7"]);
        }
    }
}

#[tokio::test]
async fn a_connection_for_nobody_else_has_its_own_address() {
    let (proxy, origin) = started(BEHIND).await;
    let headers = [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 203.0.113.7 192.0.2.1 40000 443\r\n".to_vec(),
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, &ADDRESSES),
        v2(0x21, 0x00, b"anything"),
        v2(0x21, 0x12, &ADDRESSES),
    ];
    for header in headers {
        let response = Wire::exchange(proxy.web(), [&header, GET.as_bytes()].concat()).await;

        assert_eq!(
            (response.status, origin.last_seen().header("x-forwarded-for")),
            (200, Some("127.0.0.1")),
            "{header:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_without_a_good_header_is_closed_without_a_word_and_counted() {
    let (proxy, origin) = started(BEHIND).await;
    for (reason, bytes) in [
        ("missing", GET.as_bytes().to_vec()),
        ("missing", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec()),
        ("malformed", b"PROXY TCP4 1.2.3 192.0.2.1 1 2\r\n".to_vec()),
        ("malformed", b"PROXY TCP4 1.2.3.4 192.0.2.1 1 2\nGET".to_vec()),
        ("malformed", v2(0x31, 0x11, &ADDRESSES)),
        ("malformed", v2(0x21, 0x11, &ADDRESSES[..11])),
        ("malformed", v2(0x21, 0x11, &[&ADDRESSES[..], b"\x01\xff\xff"].concat())),
        ("too_long", format!("PROXY UNKNOWN {}", "x".repeat(200)).into_bytes()),
        ("too_long", v2(0x21, 0x11, &[0; 5000])),
    ] {
        let before = proxy.metrics().await.sum(ERRORS, &[("reason", reason)]);
        let mut wire = proxy.wire().await;
        // It may be refused before all is sent.
        let _ = wire.try_send(&bytes).await;
        wire.closed().await;

        let what = format!("{bytes:?} is counted as {reason}");
        proxy.metrics_show(&what, |m| m.sum(ERRORS, &[("reason", reason)]) > before + 0.5).await;
    }
    assert_eq!(origin.requests(), 0);
    let good = Wire::exchange(proxy.web(), v1("203.0.113.7") + GET).await;
    assert_eq!(good.status, 200, "others are unharmed");
    proxy.metrics_show("no connection is left", |m| m.sum("evenkeel_connections", &[]).abs() < 0.5).await;
}

#[tokio::test]
async fn a_connection_that_ends_before_its_header_is_counted_and_no_news() {
    let (proxy, _origin) = started(BEHIND).await;
    drop(proxy.wire().await);
    let mut wire = proxy.wire().await;
    wire.send("PROXY TCP4 203.0.").await;
    wire.finish().await;
    wire.closed().await;

    refuses(&proxy, "closed", 2).await;
    assert!(!proxy.log().contains("closed a connection"), "{}", proxy.log());
}

#[tokio::test]
async fn a_header_from_an_address_that_is_not_listed_is_not_believed() {
    let (proxy, origin) = started(BEHIND).await;
    let mut stranger = Wire::from_address([127, 0, 0, 2].into(), proxy.web()).await;
    let _ = stranger.try_send(v1("203.0.113.7") + GET).await;

    stranger.closed().await;

    refuses(&proxy, "untrusted", 1).await;
    assert_eq!(origin.requests(), 0);
    proxy.logs("it is not in proxy_protocol_from").await;
}

#[tokio::test]
async fn a_flood_of_bad_connections_is_a_line_now_and_then() {
    let (proxy, _origin) = started(BEHIND).await;
    for _ in 0..100 {
        let mut wire = proxy.wire().await;
        let _ = wire.try_send("junk\r\n").await;
        wire.closed().await;
    }
    refuses(&proxy, "missing", 100).await;

    let lines = proxy.log().lines().filter(|line| line.contains("there is no PROXY header")).count();
    // Each of the two workers may have said it once, and once more if this took longer than ten seconds.
    assert!((1..=4).contains(&lines), "{lines} lines:\n{}", proxy.log());
}

#[tokio::test]
async fn who_is_silent_or_slow_with_the_header_is_gone_after_its_time() {
    let (proxy, _origin) = started(&format!("{BEHIND}\ntimeouts.proxy_header = \"300ms\"")).await;
    for begin in ["", "PROXY TCP4 203.0.113.7 "] {
        let mut wire = proxy.wire().await;
        let begun = Instant::now();
        wire.send(begin).await;

        wire.closed().await;

        let took = begun.elapsed();
        assert!(took > Duration::from_millis(180) && took < Duration::from_secs(4), "{took:?}");
    }
    refuses(&proxy, "timed_out", 2).await;
}

#[tokio::test]
async fn after_the_header_a_request_has_its_own_time() {
    let (proxy, _origin) =
        started(&format!("{BEHIND}\ntimeouts = {{ proxy_header = \"10s\", request_head = \"300ms\" }}")).await;
    let mut wire = proxy.wire().await;
    wire.send(v1("203.0.113.7") + "GET / HT").await;

    let (rest, _) = wire.rest().await;

    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&rest));
    proxy.counts_local("request_timeout", 1).await;
    assert_eq!(proxy.access_log_with(1).await[0]["client"], "203.0.113.7");
}

#[tokio::test]
async fn a_connection_that_waits_for_its_header_does_not_hold_up_a_drain() {
    let (mut proxy, _origin) = started(&format!("{BEHIND}\ntimeouts.proxy_header = \"1h\"")).await;
    let _silent = proxy.wire().await;
    proxy.metrics_show("it is accepted", |m| m.sum("evenkeel_connections", &[]) > 0.5).await;

    proxy.signal(evenkeel_testkit::Signal::Term);

    assert_eq!(proxy.exit_within(Duration::from_secs(10)).await.code, Some(0));
}

#[tokio::test]
async fn a_reload_turns_it_on_and_off_for_new_connections() {
    let (proxy, origin) = started("").await;
    let plain = proxy.file().text();
    let wanting = plain.replacen("[listeners.web]\n", &format!("[listeners.web]\n{BEHIND}\n"), 1);
    let mut before = proxy.wire().await;
    before.send(GET).await;
    assert_eq!(before.response().await.status, 200);

    proxy.reload_with(&wanting).await;

    before.send(GET).await;
    assert_eq!(before.response().await.status, 200, "an open connection stays what it is");
    let mut without = proxy.wire().await;
    without.send(GET).await;
    without.closed().await;
    assert_eq!(Wire::exchange(proxy.web(), v1("203.0.113.7") + GET).await.status, 200);
    assert_eq!(origin.last_seen().header_all("x-forwarded-for"), ["203.0.113.7"]);

    proxy.reload_with(&plain).await;

    assert_eq!(Wire::exchange(proxy.web(), GET).await.status, 200);
    assert_eq!(Wire::exchange(proxy.web(), v1("203.0.113.7") + GET).await.status, 400);
}

#[tokio::test]
async fn trusted_proxies_are_looked_for_among_those_whom_the_header_names() {
    let origin = Origin::http1().start().await;
    let top = "trusted_proxies = [\"127.0.0.1/32\", \"203.0.113.0/24\"]";
    let proxy = Proxy::with_upstream(&origin).top(top).listener(BEHIND).start().await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";

    Wire::exchange(proxy.web(), v1("203.0.113.7") + request).await;
    assert_eq!(origin.last_seen().header_all("x-forwarded-for").join(", "), "6.6.6.6, 203.0.113.7");

    Wire::exchange(proxy.web(), v1("198.51.100.1") + request).await;
    assert_eq!(
        origin.last_seen().header_all("x-forwarded-for"),
        ["198.51.100.1"],
        "it is not the balancer who says so"
    );
}

#[tokio::test]
async fn ip_hash_takes_the_client_whom_the_header_names() {
    let (one, other) = (Origin::http1().named("one").start().await, Origin::http1().named("other").start().await);
    let proxy = Proxy::with_endpoints([&one, &other]).upstream("balance = \"ip_hash\"").listener(BEHIND).start().await;
    let mut served = BTreeSet::new();
    for client in 1..=20 {
        let mut of_client = BTreeSet::new();
        for _ in 0..3 {
            let before = one.requests();
            Wire::exchange(proxy.web(), v1(&format!("203.0.113.{client}")) + GET).await;
            of_client.insert(one.requests() > before);
        }
        assert_eq!(of_client.len(), 1, "a client stays with its endpoint");
        served.extend(of_client);
    }
    assert_eq!(served.len(), 2, "clients are spread");
}

#[tokio::test]
async fn a_unix_socket_needs_no_list() {
    let origin = Origin::http1().start().await;
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}/web.sock", folder.path().display());
    let config = format!(
        "[listeners.web]\nlisten = \"{socket}\"\nproxy_protocol = true\n[[routes]]\nupstream = \"site\"\n\
         [upstreams.site]\nendpoints = [\"{origin}\"]\n"
    );
    let proxy = Proxy::with_config(&config).start().await;

    assert_eq!(Wire::exchange(&Place::parse(&socket), v1("203.0.113.7") + GET).await.status, 200);

    assert_eq!(origin.last_seen().header_all("x-forwarded-for"), ["203.0.113.7"]);
    drop(proxy);
}

/// Answers every request; the first one on a connection has a header of version 1 before it.
fn answers() -> Script {
    Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

/// Answers two requests on each connection. A header of version 2 begins with what ends a head.
fn answers_v2() -> Script {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    Script::new().reads_head().reads_request().sends(ok).reads_request().sends(ok)
}

/// Source, destination, and the two ports in the header of version 1 that came first on a connection.
fn header_on(origin: &RawOrigin, connection: usize) -> Vec<String> {
    let received = String::from_utf8_lossy(&origin.received(connection)).into_owned();
    let line = received.split("\r\n").next().unwrap_or_default();
    let fields: Vec<_> = line.split(' ').map(str::to_owned).collect();
    assert_eq!((fields.len(), fields[0].as_str(), fields[1].as_str()), (6, "PROXY", "TCP4"), "{received}");
    fields[2..].to_vec()
}

#[tokio::test]
async fn an_endpoint_learns_first_for_which_client_a_connection_is() {
    let origin = RawOrigin::start(answers()).await;
    let proxy = Proxy::with_upstream(&origin).upstream("proxy_protocol = \"v1\"").start().await;
    let mut client = Wire::from_address([127, 0, 0, 5].into(), proxy.web()).await;
    client.send(GET).await;

    assert_eq!(client.response().await.status, 200);

    let header = header_on(&origin, 0);
    assert_eq!(header[..2], ["127.0.0.5", "127.0.0.1"]);
    assert_eq!(header[3], proxy.web().port().to_string(), "where the client has connected to");
    assert!(origin.received_text().contains("\r\nGET / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn version_2_is_written_as_the_specification_has_it() {
    let origin = RawOrigin::start(answers_v2()).await;
    let proxy = Proxy::with_upstream(&origin).upstream("proxy_protocol = \"v2\"").start().await;

    assert_eq!(Wire::exchange(proxy.web(), GET).await.status, 200);

    let received = origin.received(0);
    assert_eq!(received[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    assert_eq!(received[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
    assert_eq!(received[26..28], proxy.web().port().to_be_bytes());
    assert!(received[28..].starts_with(b"GET / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_connection_that_speaks_for_a_client_is_used_again_for_it_and_for_nobody_else() {
    let origin = RawOrigin::start(answers()).await;
    // One worker has all pools there are.
    let proxy = Proxy::with_upstream(&origin).workers(1).upstream("proxy_protocol = \"v1\"").start().await;
    let (mut one, mut other) = (proxy.wire().await, proxy.wire().await);
    for _ in 0..5 {
        for client in [&mut one, &mut other] {
            client.send(GET).await;
            assert_eq!(client.response().await.status, 200);
        }
    }

    assert_eq!(origin.connections(), 2);
    let (first, second) = (header_on(&origin, 0), header_on(&origin, 1));
    assert_ne!(first[2], second[2], "each says the port of its client");
    assert_eq!(origin.requests().iter().filter(|request| request.starts_with("PROXY ")).count(), 2);
}

#[tokio::test]
async fn a_full_pool_makes_room_for_the_clients_that_are_there() {
    let origin = RawOrigin::start(answers()).await;
    let upstream = "proxy_protocol = \"v1\"\npool.idle_connections_max = 2";
    let proxy = Proxy::with_upstream(&origin).workers(1).upstream(upstream).start().await;
    for _ in 0..5 {
        assert_eq!(Wire::exchange(proxy.web(), GET).await.status, 200);
    }
    let mut client = proxy.wire().await;
    for _ in 0..5 {
        client.send(GET).await;
        assert_eq!(client.response().await.status, 200);
    }

    assert_eq!(origin.connections(), 6);
    let idle = [("state", "idle")];
    proxy.metrics_show("two wait", |m| (m.sum("evenkeel_upstream_connections", &idle) - 2.0).abs() < 0.5).await;
}

#[tokio::test]
async fn a_connection_from_before_a_reload_is_not_used_with_the_new_setting() {
    let origin = RawOrigin::start(answers()).await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;
    let mut client = proxy.wire().await;
    client.send(GET).await;
    assert_eq!(client.response().await.status, 200);

    proxy.reload_with(&format!("{}\nproxy_protocol = \"v1\"\n", proxy.file().text().trim_end())).await;
    client.send(GET).await;
    assert_eq!(client.response().await.status, 200);

    assert_eq!(origin.connections(), 2);
    assert!(origin.received(0).starts_with(b"GET "));
    let header = header_on(&origin, 1);
    assert_eq!(header[..2], ["127.0.0.1", "127.0.0.1"]);
    assert_eq!(header[3], proxy.web().port().to_string(), "where the client had connected to before");
}

#[tokio::test]
async fn what_came_in_a_header_goes_on_in_one() {
    let origin = RawOrigin::start(answers_v2()).await;
    let proxy = Proxy::with_upstream(&origin).listener(BEHIND).upstream("proxy_protocol = \"v2\"").start().await;

    assert_eq!(Wire::exchange(proxy.web(), v1("203.0.113.7") + GET).await.status, 200);

    let received = origin.received(0);
    assert!(received.starts_with(&v2(0x21, 0x11, &ADDRESSES)), "{received:?}");
    assert!(String::from_utf8_lossy(&received).to_ascii_lowercase().contains("x-forwarded-for: 203.0.113.7\r\n"));
}

#[tokio::test]
async fn a_client_without_an_address_is_announced_as_unknown() {
    let origin = RawOrigin::start(answers()).await;
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}/web.sock", folder.path().display());
    let config = format!(
        "[listeners.web]\nlisten = \"{socket}\"\n[[routes]]\nupstream = \"site\"\n\
         [upstreams.site]\nendpoints = [\"{origin}\"]\nproxy_protocol = \"v1\"\n"
    );
    let _proxy = Proxy::with_config(&config).start().await;

    assert_eq!(Wire::exchange(&Place::parse(&socket), GET).await.status, 200);

    assert!(origin.the_request().starts_with("PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n"), "{}", origin.the_request());
}

#[tokio::test]
async fn a_probe_tells_the_endpoint_that_it_speaks_for_nobody_else() {
    for (version, health, begin) in [
        ("v1", "tcp = true", &b"PROXY UNKNOWN\r\n"[..]),
        ("v1", "http = \"/health\"", b"PROXY UNKNOWN\r\nGET /health HTTP/1.1\r\n"),
        ("v2", "tcp = true", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        ("v2", "http = \"/health\"", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET /health HTTP/1.1\r\n"),
    ] {
        let origin = RawOrigin::start(if version == "v1" { answers() } else { answers_v2() }).await;
        let upstream = format!("proxy_protocol = \"{version}\"\nhealth = {{ {health}, interval = \"200ms\" }}");
        let proxy = Proxy::with_upstream(&origin).upstream(&upstream).start().await;

        eventually("the probe's first words are there", || origin.received(0).len() >= begin.len()).await;

        assert!(origin.received(0).starts_with(begin), "{:?}", String::from_utf8_lossy(&origin.received(0)));
        proxy.sees(&origin, true).await;
    }
}

#[tokio::test]
async fn a_probe_at_another_port_speaks_plainly() {
    let (origin, watchman) = (RawOrigin::start(answers()).await, RawOrigin::start(answers()).await);
    let port = watchman.place().port();
    let upstream =
        format!("proxy_protocol = \"v1\"\nhealth = {{ http = \"/health\", port = {port}, interval = \"200ms\" }}");
    let _proxy = Proxy::with_upstream(&origin).upstream(&upstream).start().await;

    eventually("the probe is there", || !watchman.requests().is_empty()).await;

    assert!(watchman.requests()[0].starts_with("GET /health HTTP/1.1\r\n"), "{:?}", watchman.requests());
}

//! TLS that is passed on unopened, to where the name in its first message leads.

use super::{SESSIONS, echo, ended, is_quiet};
use evenkeel_testkit::{Authority, Builder, Ending, Issued, Origin, Place, Proxy, RawOrigin, Script, TlsClient, Wire};
use std::{fmt::Display, time::Duration};
use tokio::{io::AsyncReadExt, net::TcpListener};

/// A server of HTTPS with a certificate for this name, which answers as it.
struct Secure {
    proxy: Proxy,
    issued: Issued,
    _origin: Origin,
}

impl Secure {
    async fn start(authority: &Authority, name: &str) -> Self {
        let origin = Origin::http1().named(name).start().await;
        let tls = "tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]";
        let builder = Proxy::with_upstream(&origin).listener(tls);
        let issued = authority.server(&[name]).make();
        issued.write(builder.folder(), "site");
        Self { proxy: builder.start().await, issued, _origin: origin }
    }
}

/// A tcp listener that leads names to `a` and `b`, and the rest as the lines say.
fn by_name(a: impl Display, b: impl Display, listener: &str) -> Builder {
    Proxy::with_config(&format!(
        "[listeners.tls]\nlisten = \"127.0.0.1:0\"\nprotocol = \"tcp\"\n\
         sni = [{{ hosts = [\"a.test\", \"*.a.test\"], upstream = \"a\" }}, {{ hosts = [\"b.test\"], upstream = \"b\" }}]\n\
         {listener}\n[upstreams]\na.endpoints = [\"{a}\"]\nb.endpoints = [\"{b}\"]\n[access_log]\noutput = \"access.log\"\n"
    ))
}

async fn get(wire: &mut Wire, host: &str) -> String {
    wire.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    let response = wire.response().await;
    response.header("x-origin").unwrap_or_else(|| panic!("{response:?}")).to_owned()
}

/// What a client sends first.
async fn hello_of(client: &TlsClient) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let place = Place::Tcp(listener.local_addr().expect("it is bound"));
    let taken = async {
        let (mut socket, _) = listener.accept().await.expect("a client");
        let mut hello = vec![0; 16 * 1024];
        let bytes = socket.read(&mut hello).await.expect("a hello");
        hello.truncate(bytes);
        hello
    };
    tokio::join!(taken, client.try_connect(&place)).0
}

#[tokio::test]
async fn each_name_finds_its_own_endpoint_and_the_endpoint_s_own_certificate() {
    let authority = Authority::new("Test Authority");
    let (a, b) = (Secure::start(&authority, "a.test").await, Secure::start(&authority, "b.test").await);
    let proxy = by_name(a.proxy.web(), b.proxy.web(), "").workers(1).start().await;

    for (name, secure) in [("a.test", &a), ("b.test", &b), ("a.test", &a)] {
        let mut secured = TlsClient::new(&authority, name).connect(proxy.web()).await;
        assert_eq!(secured.certificate, secure.issued.der);
        assert_eq!(get(&mut secured.wire, name).await, name);
        assert_eq!(get(&mut secured.wire, name).await, name);
    }

    let metrics = ended(&proxy, "complete", 3).await;
    assert_eq!(metrics.get(SESSIONS, &[("listener", "tls"), ("upstream", "a"), ("result", "complete")]), Some(2.0));
    assert_eq!(metrics.sum("evenkeel_tls_handshakes_total", &[]), 0.0, "none is ours");
    let log = proxy.access_log_with(3).await;
    assert_eq!(
        log.iter().map(|line| line["host"].as_str().unwrap()).collect::<Vec<_>>(),
        ["a.test", "b.test", "a.test"]
    );
}

#[tokio::test]
async fn a_hello_in_many_records_is_read_and_passed_on_unchanged() {
    let authority = Authority::new("Test Authority");
    let (a, b) = (Secure::start(&authority, "a.test").await, Secure::start(&authority, "b.test").await);
    let proxy = by_name(a.proxy.web(), b.proxy.web(), "").start().await;

    let client = TlsClient::new(&authority, "b.test").but(|config| config.max_fragment_size = Some(32));
    let mut secured = client.connect(proxy.web()).await;

    assert_eq!(get(&mut secured.wire, "b.test").await, "b.test");
}

#[tokio::test]
async fn a_hello_may_come_byte_by_byte() {
    let (a, b) = (RawOrigin::start(Script::new()).await, RawOrigin::start(Script::new()).await);
    let proxy = by_name(&a, &b, "").start().await;
    let client = TlsClient::new(&Authority::new("Test Authority"), "x.y.a.test");
    let hello = hello_of(&client.but(|config| config.max_fragment_size = Some(200))).await;

    let mut wire = proxy.wire().await;
    wire.drip(&hello, Duration::from_micros(200)).await;

    a.has_received(0, hello.len()).await;
    assert!(a.received(0) == hello);
    assert_eq!(b.connections(), 0);
}

#[tokio::test]
async fn what_leads_nowhere_is_closed_and_counted() {
    let (a, b) = (RawOrigin::start(Script::new()).await, RawOrigin::start(Script::new()).await);
    let proxy = by_name(&a, &b, "timeouts = { tls = \"500ms\" }").workers(1).start().await;
    let authority = Authority::new("Test Authority");

    let unknown = hello_of(&TlsClient::new(&authority, "c.test")).await;
    let nameless = hello_of(&TlsClient::new(&authority, "a.test").nameless()).await;
    for (bytes, result, sessions) in [
        (&unknown[..], "unknown_name", 1),
        (&nameless, "unknown_name", 2),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "no_hello", 1),
        (b"\x16\x03\x01\x00\x00", "no_hello", 2),
        (b"\0\0\0\x2ajunk", "no_hello", 3),
        (&[&b"\x16\x03\x01\x40\x00\x01\x00\xff\xff"[..], &[0; 20_000]].concat(), "no_hello", 4),
    ] {
        let mut wire = proxy.wire().await;
        // It may be closed before all is sent.
        let _ = wire.try_send(bytes).await;
        wire.closed().await;
        ended(&proxy, result, sessions).await;
    }
    let mut leaving = proxy.wire().await;
    leaving.send(&unknown[..20]).await;
    leaving.finish().await;
    assert_eq!(leaving.closed().await, Ending::Fin);
    ended(&proxy, "client_closed", 1).await;
    let mut silent = proxy.wire().await;
    silent.send(&unknown[..20]).await;
    silent.closed().await;
    let metrics = ended(&proxy, "timed_out", 1).await;

    assert_eq!((a.connections(), b.connections()), (0, 0));
    assert_eq!(metrics.sum(SESSIONS, &[("upstream", "")]), 8.0);
    let log = proxy.access_log_with(8).await;
    assert_eq!((&log[0]["host"], &log[0]["reason"]), (&"c.test".into(), &"unknown_name".into()), "{log:?}");
    is_quiet(&proxy).await;
}

#[tokio::test]
async fn a_default_takes_all_other_names_and_what_is_no_tls() {
    let (a, b) = (RawOrigin::start(Script::new()).await, echo().await);
    let proxy = by_name(&a, b, "upstream = \"b\"").start().await;
    let hello = hello_of(&TlsClient::new(&Authority::new("Test Authority"), "c.test")).await;

    for bytes in [&hello[..], b"SSH-2.0-OpenSSH_9.2\r\n"] {
        let mut wire = proxy.wire().await;
        wire.send(bytes).await;
        assert!(wire.bytes(bytes.len()).await == bytes);
        wire.finish().await;
        wire.closed().await;
    }

    ended(&proxy, "complete", 2).await;
    assert_eq!(a.connections(), 0);
}

#[tokio::test]
async fn names_change_by_a_reload_and_sessions_stay() {
    let (a, b) = (echo().await, RawOrigin::start(Script::new()).await);
    let builder = by_name(a, &b, "");
    let text = builder.text();
    let proxy = builder.start().await;
    let hello = hello_of(&TlsClient::new(&Authority::new("Test Authority"), "a.test")).await;
    let mut wire = proxy.wire().await;
    wire.send(&hello).await;
    assert!(wire.bytes(hello.len()).await == hello);

    let moved = text.replace("\"a.test\", ", "").replace("\"b.test\"", "\"b.test\", \"a.test\"");
    proxy.reload_with(&moved).await;
    let mut other = proxy.wire().await;
    other.send(&hello).await;

    b.has_received(0, hello.len()).await;
    wire.send("still here").await;
    assert_eq!(wire.bytes(10).await, b"still here");
}

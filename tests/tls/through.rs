//! What goes through TLS to endpoints: tunnels, large answers, and ends that are told from cuts.

use super::{
    SITE,
    endpoints::{TRUSTING, secured, start},
};
use evenkeel_testkit::{Answer, Authority, Ending, Proxy, RawOrigin, Script, TlsClient, TlsServer, eventually};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello";

/// A proxy in front of an endpoint that switches, and then does this.
async fn switching(then: fn(Script) -> Script) -> (Proxy, RawOrigin) {
    let authority = Authority::new("Test Authority");
    let tls = TlsServer::new(&authority.server(&["a.test"]).make());
    let origin = RawOrigin::start_secured(then(Script::new().reads_head().sends(SWITCH)), &tls).await;
    let builder = Proxy::with_upstream(&origin).upstream(TRUSTING);
    (start(builder, &authority).await, origin)
}

/// The same within TLS for clients too, who are to trust this authority.
async fn switching_behind_tls() -> ((Proxy, Authority), RawOrigin) {
    let authority = Authority::new("Test Authority");
    let tls = TlsServer::new(&authority.server(&["a.test"]).make());
    let origin = RawOrigin::start_secured(Script::new().reads_head().sends(SWITCH).stalls(), &tls).await;
    let builder = Proxy::with_upstream(&origin).upstream(TRUSTING).listener(SITE);
    authority.server(&["front.test"]).make().write(builder.folder(), "site");
    ((start(builder, &authority).await, authority), origin)
}

#[tokio::test]
async fn a_tunnel_leads_through_tls_and_each_side_ends_for_itself() {
    let (proxy, origin) = switching(Script::stalls).await;
    let mut wire = proxy.wire().await;
    wire.send(ASK).await;
    assert_eq!(wire.response().await.status, 101);
    assert_eq!(wire.bytes(5).await, b"hello");

    wire.send("over").await;
    eventually("bytes arrive", || origin.received(0).ends_with(b"over")).await;
    wire.finish().await;

    // The end of TLS (close_notify) and no mere end of TCP, which a TLS library would call cut.
    assert_eq!(origin.is_left(0).await, Ending::Fin);
    assert_eq!(wire.closed().await, Ending::Fin);
}

#[tokio::test]
async fn a_tunnel_leads_from_tls_to_tls() {
    let (proxy, origin) = switching_behind_tls().await;
    let mut client = TlsClient::new(&proxy.1, "front.test").connect(proxy.0.web()).await;
    client.wire.send(ASK.replace("Host: a", "Host: front.test")).await;
    assert_eq!(client.wire.response().await.status, 101);
    assert_eq!(client.wire.bytes(5).await, b"hello");

    client.wire.send("over").await;
    eventually("bytes arrive", || origin.received(0).ends_with(b"over")).await;
    client.wire.finish().await;

    assert_eq!(origin.is_left(0).await, Ending::Fin);
    assert_eq!(client.wire.closed().await, Ending::Fin);
}

#[tokio::test]
async fn a_tunnel_that_an_endpoint_resets_is_no_orderly_end_for_the_client() {
    let (proxy, _origin) = switching(Script::resets).await;
    let mut wire = proxy.wire().await;
    wire.send(ASK).await;
    assert_eq!(wire.response().await.status, 101);

    let (_, ending) = wire.rest().await;

    assert_eq!(ending, Ending::Reset);
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_is_whole_only_with_the_end_of_tls() {
    let authority = Authority::new("Test Authority");
    let tls = TlsServer::new(&authority.server(&["a.test"]).make());
    let answer = || Script::new().reads_request().sends("HTTP/1.1 200 OK\r\n\r\nall of it");
    for (script, complete) in [(answer().finishes_writing(), true), (answer().closes(), false)] {
        let origin = RawOrigin::start_secured(script, &tls).await;
        let proxy = start(Proxy::with_upstream(&origin).upstream(TRUSTING), &authority).await;
        let mut wire = proxy.wire().await;
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

        // RFC 9112, section 9.8.
        assert_eq!(wire.response().await.is_complete(), complete);
    }
}

#[tokio::test]
async fn a_proxy_header_goes_before_the_handshake() {
    let origin = RawOrigin::start(Script::new().stalls()).await;
    let lines = format!("{TRUSTING}\nproxy_protocol = \"v1\"\ntimeouts.tls = \"200ms\"");
    let proxy = start(Proxy::with_upstream(&origin).upstream(&lines), &Authority::new("Any")).await;

    assert_eq!(proxy.client().get("/").send().await.status, 502);

    let received = origin.received(0);
    let end = received.windows(2).position(|pair| pair == b"\r\n").expect("a header") + 2;
    assert!(received.starts_with(b"PROXY TCP4 127.0.0.1 "), "{received:?}");
    assert_eq!(received[end], 22, "a handshake");
}

#[tokio::test]
async fn a_large_answer_comes_whole_through_tls_on_both_sides() {
    let (authority, _tls, origin) = secured("safe").await;
    let body = vec![b'x'; 8 << 20];
    origin.set_answer("/large", Answer::text(body.clone()));
    let builder = Proxy::with_upstream(&origin).upstream(TRUSTING).listener(SITE);
    authority.server(&["front.test"]).make().write(builder.folder(), "site");
    let proxy = start(builder, &authority).await;
    let mut client = TlsClient::new(&authority, "front.test").connect(proxy.web()).await;

    client.wire.send("GET /large HTTP/1.1\r\nHost: front.test\r\n\r\n").await;

    assert_eq!(client.wire.response().await.body, body);
}

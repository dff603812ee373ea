//! What is the same within TLS, and what is not.

use super::{SITE, get, site, visit};
use evenkeel_testkit::{Answer, Authority, Ending, Proxy, RawOrigin, Script, TlsClient, eventually};

#[tokio::test]
async fn a_host_that_the_certificate_is_not_for_is_misdirected() {
    let (authority, origin, builder) = site().await;
    let proxy = builder.start().await;
    let mut asked = TlsClient::new(&authority, "a.test").connect(proxy.web()).await;

    for (host, status) in [
        ("a.test", 200),
        ("A.TEST:443", 200),
        ("a.test.", 200),
        ("b.wild.test", 200),
        ("c.b.wild.test", 421),
        ("b.test", 421),
        ("127.0.0.1", 421),
    ] {
        assert_eq!(get(&mut asked.wire, host).await.status, status, "{host}");
    }
    proxy.counts_local("misdirected", 3).await;
    assert_eq!(origin.requests(), 4);

    // Whoever names nobody has chosen nothing that a host could contradict.
    let mut nameless = TlsClient::new(&authority, "a.test").nameless().connect(proxy.web()).await;
    assert_eq!(get(&mut nameless.wire, "b.test").await.status, 200);
}

#[tokio::test]
async fn a_redirect_without_a_scheme_keeps_https_and_forwarded_says_it() {
    let (authority, origin, builder) = site().await;
    let proxy = builder
        .top("forwarded = \"rfc7239\"")
        .more("[[routes]]\npath_prefix = \"/old\"\nfilters = [{ redirect = { path = \"/new\" } }]")
        .start()
        .await;
    let mut secured = visit(&TlsClient::new(&authority, "a.test"), &proxy, "a.test").await;

    assert!(origin.last_seen().header("forwarded").unwrap().ends_with(";proto=https"));
    secured.wire.send("GET /old HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(secured.wire.response().await.header("location"), Some("https://a.test/new"));
}

#[tokio::test]
async fn an_orderly_end_is_told_and_a_cut_answer_is_not_made_to_look_complete() {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole";
    let cut = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf";
    for (answer, script, ending) in [
        ("whole", Script::answering(whole), Ending::Fin),
        ("half", Script::new().reads_request().sends(cut).resets(), Ending::Reset),
    ] {
        let (authority, _origin, _) = site().await;
        let origin = RawOrigin::start(script).await;
        let builder = Proxy::with_upstream(&origin).listener(super::SITE);
        authority.server(&["a.test"]).make().write(builder.folder(), "site");
        let proxy = builder.start().await;
        let mut secured = TlsClient::new(&authority, "a.test").connect(proxy.web()).await;

        secured.wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
        let (bytes, end) = secured.wire.rest().await;

        // A reset may overtake what was sent before it. With an end that is not told rustls reports an error, shown here as a reset.
        assert_eq!(end, ending, "{answer}: {}", String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test]
async fn large_bodies_pass_both_ways_whole() {
    let (authority, origin, builder) = site().await;
    origin.set_answer("/large", Answer::text(vec![b'x'; 3_000_000]));
    origin.set_answer("/echo", Answer::echo());
    let proxy = builder.start().await;
    let mut secured = TlsClient::new(&authority, "a.test").connect(proxy.web()).await;

    secured.wire.send("GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(secured.wire.response().await.body.len(), 3_000_000);
    let head = "POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n".as_bytes();
    secured.wire.send([head, &vec![b'y'; 1_000_000]].concat()).await;
    assert_eq!(secured.wire.response().await.status, 200);
    assert_eq!(origin.last_seen().body.len(), 1_000_000);
}

#[tokio::test]
async fn a_websocket_leads_through_tls_and_each_side_ends_for_itself() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello";
    let origin = RawOrigin::start(Script::new().reads_head().sends(switch).stalls()).await;
    let authority = Authority::new("Test Authority");
    let builder = Proxy::with_upstream(&origin).listener(SITE);
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    let proxy = builder.start().await;
    let mut client = TlsClient::new(&authority, "a.test").connect(proxy.web()).await.wire;

    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.response().await.status, 101);
    assert_eq!(client.bytes(5).await, b"hello");
    client.send("over").await;
    eventually("bytes arrive", || origin.received(0).ends_with(b"over")).await;
    client.finish().await;

    assert_eq!(origin.is_left(0).await, Ending::Fin);
    assert_eq!(client.closed().await, Ending::Fin);
}

//! What becomes of handshakes that are resumed, late, no handshakes at all, or very many.

use super::{SITE, counts, get, site, visit};
use evenkeel_testkit::{Authority, TlsClient, Wire};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_client_that_comes_back_resumes_its_session_in_both_versions() {
    let (authority, _origin, builder) = site().await;
    let proxy = builder.start().await;

    for client in [TlsClient::new(&authority, "a.test"), TlsClient::old(&authority, "a.test")] {
        assert!(!visit(&client, &proxy, "a.test").await.resumed);
        assert!(visit(&client, &proxy, "a.test").await.resumed);
    }

    counts(&proxy, "full", 2).await;
    counts(&proxy, "resumed", 2).await;
}

#[tokio::test]
async fn sessions_outlive_a_reload_of_the_listener_and_of_its_certificate() {
    let (authority, _origin, builder) = site().await;
    let proxy = builder.start().await;
    let client = TlsClient::new(&authority, "a.test");
    visit(&client, &proxy, "a.test").await;

    proxy.reload_with(&proxy.file().text().replace(SITE, &format!("{SITE}\ntls.unknown_names = \"refuse\""))).await;
    assert!(visit(&client, &proxy, "a.test").await.resumed);
    authority.server(&["a.test"]).make().write(proxy.folder(), "site");
    proxy.logs("certificates read again").await;

    assert!(visit(&client, &proxy, "a.test").await.resumed);
}

#[tokio::test]
async fn a_client_that_says_nothing_or_half_a_hello_is_gone_after_the_timeout() {
    let (_authority, _origin, builder) = site().await;
    let proxy = builder.listener("timeouts.tls = \"300ms\"").start().await;
    let begun = Instant::now();
    let (mut silent, mut slow) = (proxy.wire().await, proxy.wire().await);
    slow.send([22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await;

    silent.closed().await;
    slow.closed().await;

    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    counts(&proxy, "timed_out", 2).await;
    proxy.metrics_show("no connection is left", |m| m.sum("evenkeel_connections", &[]).abs() < 0.5).await;
}

#[tokio::test]
async fn a_client_that_speaks_plain_http_is_told_so() {
    let (_authority, origin, builder) = site().await;
    let proxy = builder.start().await;

    let answer = Wire::exchange(proxy.web(), "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;

    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("TLS") && answer.header("content-type").unwrap().starts_with("text/plain"));
    assert_eq!(origin.requests(), 0);
    counts(&proxy, "plain_http", 1).await;
    proxy.counts_local("malformed_request", 1).await;
}

#[tokio::test]
async fn garbage_is_counted_told_once_and_closed() {
    let (_authority, _origin, builder) = site().await;
    let proxy = builder.workers(1).start().await;

    for _ in 0..20 {
        let mut wire = proxy.wire().await;
        // The head of a handshake record, and nothing that could be one.
        wire.send([&[22, 3, 1, 0, 64][..], &[0xff; 64]].concat()).await;
        wire.closed().await;
        let mut wire = proxy.wire().await;
        wire.send([0; 16]).await;
        wire.closed().await;
    }

    counts(&proxy, "malformed", 40).await;
    let told = proxy.log().lines().filter(|line| line.contains("TLS handshake failed")).count();
    assert!((1..5).contains(&told), "{}", proxy.log());
}

#[tokio::test]
async fn clients_that_do_not_trust_us_are_counted_by_what_they_say_and_told_once() {
    let (_authority, origin, builder) = site().await;
    let proxy = builder.workers(1).start().await;
    let stranger = Authority::new("Stranger");

    for client in [TlsClient::new(&stranger, "a.test"), TlsClient::old(&stranger, "a.test")] {
        for _ in 0..10 {
            client.try_connect(proxy.web()).await.unwrap_err();
        }
    }

    counts(&proxy, "alert", 20).await;
    let told: Vec<_> =
        proxy.log().lines().filter(|line| line.contains("TLS handshake failed")).map(str::to_owned).collect();
    assert!((1..5).contains(&told.len()) && told[0].contains("UnknownCA"), "{told:?}");
    assert_eq!(origin.connections(), 0);
    proxy.metrics_show("no connection is left", |m| m.sum("evenkeel_connections", &[]).abs() < 0.5).await;
}

#[tokio::test]
async fn a_storm_of_handshakes_leaves_ordinary_requests_their_turns_and_all_succeed() {
    let (authority, _origin, builder) = site().await;
    let proxy = builder.workers(1).start().await;
    let mut kept = visit(&TlsClient::new(&authority, "a.test"), &proxy, "a.test").await;
    let storm: Vec<_> = (0..60)
        .map(|_| {
            let (client, place) = (TlsClient::new(&authority, "a.test"), proxy.web().clone());
            tokio::spawn(async move { client.connect(&place).await })
        })
        .collect();

    let mut answered = 0;
    while !storm.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(get(&mut kept.wire, "a.test").await.status, 200);
        answered += 1;
    }

    assert!(answered > 0);
    for client in storm {
        assert!(!client.await.unwrap().resumed);
    }
    counts(&proxy, "full", 61).await;
}

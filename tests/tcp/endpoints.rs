//! Upstreams behind a tcp listener: chosen, tried and left alone as for requests.

use super::{echo, ended, is_quiet, leading};
use evenkeel_testkit::{DeadEndpoint, Ending, Origin, Proxy, Wire};
use std::{collections::BTreeSet, net::Ipv4Addr};

async fn named<const N: usize>(names: [&str; N]) -> Vec<Origin> {
    let mut origins = Vec::new();
    for name in names {
        origins.push(Origin::http1().named(name).start().await);
    }
    origins
}

/// A session to one of the origins, which has been found.
async fn session(proxy: &Proxy) -> (Wire, String) {
    let mut wire = proxy.wire().await;
    let origin = origin(&mut wire).await;
    (wire, origin)
}

/// Which origin it is.
async fn origin(wire: &mut Wire) -> String {
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let response = wire.response().await;
    response.header("x-origin").unwrap_or_else(|| panic!("{response:?}")).to_owned()
}

#[tokio::test]
async fn least_connections_counts_sessions_over_all_workers() {
    let origins = named(["a", "b", "c"]).await;
    let proxy = leading("", &origins, "balance = \"least_connections\"").start().await;

    let mut sessions = Vec::new();
    for _ in 0..4 {
        let mut chosen = BTreeSet::new();
        for _ in 0..3 {
            let (wire, origin) = session(&proxy).await;
            chosen.insert(origin);
            sessions.push(wire);
        }
        assert_eq!(chosen.len(), 3, "each round gives one to each");
    }
    drop(sessions);
    is_quiet(&proxy).await;
}

#[tokio::test]
async fn the_same_client_address_finds_the_same_endpoint() {
    let origins = named(["a", "b", "c", "d"]).await;
    let proxy = leading("", &origins, "balance = \"ip_hash\"").start().await;
    let mut chosen = BTreeSet::new();
    for client in 1..=16 {
        let address = Ipv4Addr::new(127, 0, 0, client).into();
        let mut found = BTreeSet::new();
        for _ in 0..3 {
            found.insert(origin(&mut Wire::from_address(address, proxy.web()).await).await);
        }
        assert_eq!(found.len(), 1, "{address}: {found:?}");
        chosen.append(&mut found);
    }
    assert!(chosen.len() > 1, "{chosen:?}");
}

#[tokio::test]
async fn a_dead_endpoint_costs_no_client_anything() {
    let (dead, origin) = (DeadEndpoint::refusing(), echo().await);
    let endpoints = [dead.place().to_string(), origin];
    let proxy = leading("", &endpoints, "balance = \"round_robin\"").start().await;

    for _ in 0..10 {
        let mut wire = proxy.wire().await;
        wire.send("hello").await;
        assert_eq!(wire.bytes(5).await, b"hello");
        wire.finish().await;
        wire.closed().await;
    }

    let metrics = ended(&proxy, "complete", 10).await;
    assert!(metrics.sum("evenkeel_upstream_connects_total", &[("result", "failed")]) >= 1.0);
    assert!(metrics.sum("evenkeel_retries_total", &[("outcome", "answered")]) >= 1.0);
    assert_eq!(metrics.sum("evenkeel_requests_total", &[]), 0.0, "there was no request");
}

#[tokio::test]
async fn when_no_endpoint_can_be_connected_the_client_is_closed_and_counted() {
    let dead: Vec<_> = (0..4).map(|_| DeadEndpoint::refusing()).collect();
    let proxy = leading("", dead.iter().map(DeadEndpoint::place), "").start().await;

    proxy.wire().await.closed().await;

    let metrics = ended(&proxy, "connect_failed", 1).await;
    assert_eq!(metrics.sum("evenkeel_upstream_connects_total", &[("result", "failed")]), 3.0, "three are tried");
    let log = proxy.access_log_with(1).await;
    assert_eq!((&log[0]["reason"], &log[0]["attempts"]), (&"connect_failed".into(), &3.into()), "{log:?}");
    is_quiet(&proxy).await;
}

#[tokio::test]
async fn without_an_endpoint_in_use_the_client_is_closed_and_counted() {
    let origin = echo().await;
    let drained = format!("{{ address = \"{origin}\", drain = true }}");
    let text = leading("", ["x"], "").text().replace("\"x\"", &drained);
    let proxy = Proxy::with_config(&text).start().await;

    assert_eq!(proxy.wire().await.closed().await, Ending::Fin);

    ended(&proxy, "no_endpoint", 1).await;
    assert_eq!(proxy.access_log_with(1).await[0]["attempts"], 0);
}

#[tokio::test]
async fn an_endpoint_that_probes_find_dead_gets_no_session_until_it_is_back() {
    let origins = named(["a", "b"]).await;
    let health = "health = { tcp = true, interval = \"100ms\", healthy_after = 1, unhealthy_after = 1 }";
    let dead = DeadEndpoint::refusing();
    let endpoints = [origins[0].to_string(), dead.place().to_string()];
    let proxy = leading("", &endpoints, health).start().await;
    proxy.sees(dead.place(), false).await;
    let before = proxy.metrics().await.sum("evenkeel_upstream_connects_total", &[("result", "failed")]);

    for _ in 0..10 {
        assert_eq!(session(&proxy).await.1, "a");
    }

    let metrics = proxy.metrics().await;
    assert_eq!(metrics.sum("evenkeel_upstream_connects_total", &[("result", "failed")]), before);
}

#[tokio::test]
async fn a_drained_endpoint_keeps_its_sessions_and_gets_no_new_one() {
    let origins = named(["a", "b"]).await;
    let builder = leading("", &origins, "balance = \"least_connections\"");
    let text = builder.text();
    let proxy = builder.start().await;
    let (mut first, one) = session(&proxy).await;
    let (mut second, other) = session(&proxy).await;
    assert_ne!(one, other);

    let drained = format!("{{ address = \"{}\", drain = true }}", origins[0]);
    proxy.reload_with(&text.replace(&format!("\"{}\"", origins[0]), &drained)).await;

    for _ in 0..5 {
        assert_eq!(session(&proxy).await.1, "b");
    }
    assert_eq!((origin(&mut first).await, origin(&mut second).await), (one, other));
}

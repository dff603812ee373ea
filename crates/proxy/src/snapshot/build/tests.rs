use super::*;
use crate::route::Question;
use evenkeel_model::{
    Algorithm, Drain, Endpoint as EndpointSettings, Forwarded, Limits, Log, Pool, UpstreamTimeouts, Weight,
};

fn config(upstreams: &[(&str, &[&str])]) -> Config {
    let upstream = |(name, addresses): &(&str, &[&str])| Upstream {
        name: name.parse().unwrap(),
        balance: Algorithm::RoundRobin,
        endpoints: addresses
            .iter()
            .map(|a| EndpointSettings { address: a.parse().unwrap(), weight: Weight::ONE, drain: a.ends_with(":9") })
            .collect(),
        timeouts: UpstreamTimeouts::default(),
        pool: Pool::default(),
        health: None,
        resolve_interval: std::time::Duration::from_secs(30),
        protocol: evenkeel_model::UpstreamProtocol::default(),
        proxy_protocol: None,
        tls: None,
    };
    Config {
        workers: None,
        admin: None,
        listeners: vec![],
        routes: vec![],
        upstreams: upstreams.iter().map(upstream).collect(),
        trusted_proxies: vec![],
        forwarded: Forwarded::X,
        limits: Limits::default(),
        drain: Drain::default(),
        access_log: None,
        log: Log::default(),
    }
}

#[test]
fn an_endpoint_that_stays_keeps_its_state_and_one_that_goes_is_marked() {
    let first =
        Snapshot::build(config(&[("a", &["10.0.0.1:1", "10.0.0.2:1"]), ("b", &["10.0.0.1:1"])]), 2, None).unwrap();
    first.close(None);
    let kept = Arc::clone(&first.upstreams[0].endpoints[1].endpoint);
    let gone = Arc::clone(&first.upstreams[0].endpoints[0].endpoint);
    let other = Arc::clone(&first.upstreams[1].endpoints[0].endpoint);
    kept.set(Flag::Unhealthy, true);

    let second = config(&[("a", &["10.0.0.3:1", "10.0.0.2:1"]), ("b", &["10.0.0.1:1"])]);
    let second = Snapshot::build(second, 2, Some(&first)).unwrap();
    assert!(!gone.has(Flag::Removed), "building touches nothing that runs");
    second.open();
    assert!(!gone.has(Flag::Removed), "workers may still be on the old snapshot");
    second.close(Some(&first));

    assert!(Arc::ptr_eq(&second.upstreams[0].endpoints[1].endpoint, &kept));
    assert!(kept.has(Flag::Unhealthy));
    assert!(gone.has(Flag::Removed));
    assert!(!other.has(Flag::Removed), "the same address in another upstream is another endpoint");
    assert!(Arc::ptr_eq(&first.upstreams[1], &second.upstreams[1]), "an unchanged upstream is the same part");
}

#[test]
fn the_file_drains_and_undrains_at_the_swap() {
    let first = Snapshot::build(config(&[("a", &["10.0.0.1:9"])]), 1, None).unwrap();
    first.close(None);
    let endpoint = Arc::clone(&first.upstreams[0].endpoints[0].endpoint);
    assert!(endpoint.has(Flag::DrainingByFile));
    let mut changed = config(&[("a", &["10.0.0.1:9"])]);
    changed.upstreams[0].endpoints[0].drain = false;
    let second = Snapshot::build(changed, 1, Some(&first)).unwrap();
    assert!(endpoint.has(Flag::DrainingByFile));
    second.open();
    assert!(!endpoint.has(Flag::DrainingByFile));
}

/// Listeners of these names, and a route for `inner` alone.
fn with_listeners(names: impl IntoIterator<Item = String>) -> Config {
    let text = "[[routes]]\nlisteners = [\"inner\"]\nfilters = [{ fixed_response = {} }]\n\
                [listeners.inner]\nlisten = \"127.0.0.1:0\"\n";
    let mut config = evenkeel_config::parse(text, "test.toml").0.unwrap();
    let one = config.listeners.remove(0);
    config.listeners.extend(names.into_iter().map(|name| Listener { name: name.parse().unwrap(), ..one.clone() }));
    config
}

/// Whether requests by this listener take the route for `inner`.
fn is_inner(snapshot: &Snapshot, name: &str) -> bool {
    let part = snapshot.listeners.iter().find(|part| part.name.as_str() == name).unwrap();
    let (method, headers) = (http::Method::GET, http::HeaderMap::new());
    let listener = Some(part.number);
    snapshot.table.find(Question { host: "a", path: "/", method: &method, headers: &headers, listener }).is_some()
}

#[test]
fn a_route_for_one_listener_never_serves_another_one_however_many_came_and_went() {
    let inner = || std::iter::once("inner".to_owned());
    let mut snapshot = Snapshot::build(with_listeners(inner()), 1, None).unwrap();
    assert!(is_inner(&snapshot, "inner"));

    // As many as two bytes can tell apart, and some more.
    for round in 0..18 {
        let others = (0..3641).map(|n| format!("l{round}-{n}"));
        let next = Snapshot::build(with_listeners(inner().chain(others)), 1, Some(&snapshot)).unwrap();
        let mut numbers: Vec<_> = next.listeners.iter().map(|part| part.number.get()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), next.listeners.len());
        let matched = next.listeners.iter().filter(|part| is_inner(&next, part.name.as_str())).count();
        assert_eq!(matched, 1, "round {round}");
        snapshot = next;
    }
    assert!(is_inner(&snapshot, "inner"), "it has kept its number");
}

#[test]
fn a_change_that_is_refused_uses_no_number() {
    let first = Snapshot::build(with_listeners(["inner".to_owned()]), 1, None).unwrap();
    let more = || with_listeners(["inner".to_owned(), "more".to_owned()]);
    for _ in 0..3 {
        drop(Snapshot::build(more(), 1, Some(&first)).unwrap());
    }
    let mut bad = more();
    bad.routes[0].listeners = vec!["nowhere".parse().unwrap()];
    assert!(Snapshot::build(bad, 1, Some(&first)).is_err());

    let second = Snapshot::build(more(), 1, Some(&first)).unwrap();

    assert_eq!(second.listeners[1].number, first.listeners[0].number.next());
}

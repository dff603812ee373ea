use super::*;
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

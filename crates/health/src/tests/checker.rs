//! A checker over real sockets: from an endpoint's answer to a worker's pick, and what a reload leaves alone.

use super::support::{self, Origin, eventually};
use crate::{Checker, EndpointStatus, ProbeTarget, Verdict};
use evenkeel_balance::{Endpoint, EndpointSet, Flag, Generation, HashKey, Member, Picker, Rng};
use evenkeel_model::{Algorithm, Duration, HttpProbe, Probe, ProbeKind, Weight};
use evenkeel_net::Target;
use evenkeel_telemetry::Exposition;
use std::{num::NonZeroU32, sync::Arc};

/// Asks so often that a verdict turns in milliseconds.
fn quick() -> Probe {
    let one = NonZeroU32::MIN;
    Probe {
        kind: ProbeKind::Http(HttpProbe::default()),
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(5),
        healthy_after: one,
        unhealthy_after: one,
        ..Probe::default()
    }
}

/// Asks once, and then not again before the test is over.
fn once() -> Probe {
    Probe { interval: Duration::from_secs(3600), unhealthy_after: NonZeroU32::new(3).unwrap(), ..quick() }
}

fn watch(endpoint: &Arc<Endpoint>, probe: Option<Probe>) -> ProbeTarget {
    ProbeTarget {
        upstream: support::upstream(),
        endpoint: Arc::clone(endpoint),
        target: Target::new(endpoint.address().clone()),
        probe,
        resolve_interval: Duration::from_secs(30),
        tls: None,
    }
}

fn only(checker: &Checker) -> EndpointStatus {
    let [status] = checker.statuses().try_into().unwrap();
    status
}

#[tokio::test]
async fn a_result_reaches_a_worker_with_its_next_pick() {
    let (well, ill) = (Origin::answering(200).await, Origin::answering(500).await);
    let generation = Generation::default();
    let endpoints = [&well, &ill].map(|origin| Endpoint::new(origin.address.clone(), generation.clone()));
    let members =
        endpoints.iter().map(|endpoint| Member { endpoint: Arc::clone(endpoint), weight: Weight::ONE }).collect();
    let mut rng = Rng::from_seed(1);
    let set = Arc::new(EndpointSet::new(members, generation, Algorithm::RoundRobin));
    let mut picker = Picker::new(set, &mut rng);
    let mut picks = || {
        let mut picked = Vec::from_iter((0..10).filter_map(|_| picker.pick(HashKey(0), &[], &mut rng)));
        picked.sort_unstable();
        picked.dedup();
        picked
    };
    assert_eq!(picks(), [0, 1], "nobody is probed");

    let checker = Checker::new(1);
    checker.reconcile(endpoints.iter().map(|endpoint| watch(endpoint, Some(quick()))).collect());
    assert_eq!(picks(), [0, 1], "nobody is known: both may be used");

    // It accepts connections, and its /health says 500.
    eventually("the verdict on both", || endpoints[0].healthy() && endpoints[1].has(Flag::Unhealthy)).await;
    assert_eq!(picks(), [0]);

    well.answers(503);
    eventually("the first is unhealthy", || endpoints[0].has(Flag::Unhealthy)).await;
    assert_eq!(picks(), [0; 0]);

    ill.answers(204);
    eventually("the second is healthy", || endpoints[1].healthy()).await;
    assert_eq!(picks(), [1]);
}

#[tokio::test]
async fn reconciling_a_hundred_times_keeps_verdicts_and_starts_no_second_prober() {
    let (well, ill) = (Origin::answering(200).await, Origin::answering(500).await);
    let endpoints = [&well, &ill].map(|origin| Endpoint::new(origin.address.clone(), Generation::default()));
    let targets: Vec<_> = endpoints.iter().map(|endpoint| watch(endpoint, Some(once()))).collect();
    let checker = Checker::new(1);
    checker.reconcile(targets.clone());
    eventually("both were asked", || checker.statuses().iter().all(|status| status.last_probe.is_some())).await;
    let before = checker.statuses();

    for _ in 0..100 {
        checker.reconcile(targets.clone());
        tokio::task::yield_now().await;
    }

    assert_eq!(checker.statuses(), before);
    assert!(endpoints[0].healthy() && endpoints[1].has(Flag::Unhealthy));
    // A second prober would have asked at once, and these connections are made by whoever is asked last.
    let marker = Origin::answering(200).await;
    let marked = Endpoint::new(marker.address.clone(), Generation::default());
    checker.reconcile(targets.into_iter().chain([watch(&marked, Some(once()))]).collect());
    eventually("the marker was asked", || marked.healthy() && marker.connections() == 1).await;
    assert_eq!((well.connections(), ill.connections()), (1, 1));
}

#[tokio::test]
async fn other_settings_ask_anew_and_keep_the_verdict() {
    let origin = Origin::answering(200).await;
    let endpoint = Endpoint::new(origin.address.clone(), Generation::default());
    let target = watch(&endpoint, Some(once()));
    let checker = Checker::new(1);
    checker.reconcile(vec![target.clone()]);
    eventually("it is healthy", || endpoint.healthy()).await;
    let since = only(&checker).since;

    // One bad answer of the three that are needed.
    origin.answers(500);
    let other = Probe { timeout: Duration::from_secs(4), ..once() };
    checker.reconcile(vec![ProbeTarget { probe: Some(other), ..target }]);
    assert!(endpoint.healthy(), "not unknown for a moment");
    eventually("it was asked again", || only(&checker).error.is_some()).await;

    let status = only(&checker);
    assert_eq!((status.verdict, status.since), (Verdict::Healthy, since));
    assert_eq!(status.error.unwrap(), "GET /health: status 500, wanted 200-299");
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn without_its_probe_section_an_endpoint_counts_as_up() {
    let origin = Origin::answering(500).await;
    let endpoint = Endpoint::new(origin.address.clone(), Generation::default());
    let target = watch(&endpoint, Some(once()));
    let checker = Checker::new(1);
    checker.reconcile(vec![target.clone()]);
    assert!(endpoint.has(Flag::Unknown), "unknown as soon as it is watched");
    eventually("it is unhealthy", || endpoint.has(Flag::Unhealthy)).await;

    checker.reconcile(vec![ProbeTarget { probe: None, ..target.clone() }]);
    assert!(endpoint.healthy());
    let status = only(&checker);
    assert_eq!((status.probed, status.verdict, status.last_probe, status.error), (false, Verdict::Healthy, None, None));

    checker.reconcile(vec![target]);
    assert!(endpoint.has(Flag::Unknown), "what was known is forgotten");
}

#[tokio::test]
async fn a_removed_endpoint_is_asked_no_more() {
    let (gone, stays) = (Origin::answering(200).await, Origin::answering(200).await);
    let endpoints = [&gone, &stays].map(|origin| Endpoint::new(origin.address.clone(), Generation::default()));
    let [first, second] = [0, 1].map(|n: usize| watch(&endpoints[n], Some(quick())));
    let checker = Checker::new(1);
    checker.reconcile(vec![first, second.clone()]);
    eventually("both are asked", || gone.connections() > 1 && stays.connections() > 1).await;

    checker.reconcile(vec![second]);
    tokio::task::yield_now().await;
    let (asked, others) = (gone.connections(), stays.connections());
    eventually("the other one goes on", || stays.connections() > others + 10).await;
    // One connection may have been waiting to be accepted.
    assert!(gone.connections() <= asked + 1);
    assert_eq!(only(&checker).address, stays.address);
}

#[tokio::test]
async fn a_dropped_checker_asks_no_more() {
    let origin = Origin::answering(200).await;
    let endpoint = Endpoint::new(origin.address.clone(), Generation::default());
    let checker = Checker::new(1);
    checker.reconcile(vec![watch(&endpoint, Some(quick()))]);
    eventually("it is asked", || origin.connections() > 1).await;
    drop(checker);
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&endpoint), 1, "nobody holds it");
}

#[tokio::test]
async fn a_status_says_what_to_do_something_about() {
    let refusing = support::endpoint(&free_address());
    let checker = Checker::new(1);
    checker.reconcile(vec![watch(&refusing, Some(once()))]);
    eventually("it was asked", || only(&checker).last_probe.is_some()).await;

    let status = only(&checker);
    assert_eq!((status.verdict, status.probed), (Verdict::Unhealthy, true));
    assert_eq!(status.error.unwrap(), "GET /health: connection refused");
}

#[tokio::test]
async fn a_name_is_resolved_and_then_asked() {
    let origin = Origin::answering(200).await;
    let named = support::endpoint(&format!("localhost:{}", origin.address.port().unwrap()));
    let checker = Checker::new(1);
    checker.reconcile(vec![watch(&named, Some(once()))]);
    assert!(named.has(Flag::NoAddress), "no request before the name is resolved");
    eventually("it is healthy", || named.healthy()).await;
    assert!(!named.has(Flag::NoAddress));
}

#[tokio::test]
async fn a_scrape_has_every_combination_of_a_probed_endpoint_and_none_of_others() {
    let origin = Origin::answering(500).await;
    let probed = Endpoint::new(origin.address.clone(), Generation::default());
    let other = support::endpoint("10.0.0.1:80");
    let checker = Checker::new(1);
    checker.reconcile(vec![watch(&probed, Some(once())), watch(&other, None)]);
    eventually("it is unhealthy", || probed.has(Flag::Unhealthy)).await;

    let mut page = Exposition::new();
    checker.scrape(&mut page);
    let page = page.finish();
    let at = &origin.address;
    let series: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        series,
        [
            format!(r#"evenkeel_health_probes_total{{upstream="site",endpoint="{at}",result="success"}} 0"#),
            format!(r#"evenkeel_health_probes_total{{upstream="site",endpoint="{at}",result="failure"}} 1"#),
            format!(r#"evenkeel_health_probes_total{{upstream="site",endpoint="{at}",result="timeout"}} 0"#),
            format!(r#"evenkeel_health_transitions_total{{upstream="site",endpoint="{at}",to="healthy"}} 0"#),
            format!(r#"evenkeel_health_transitions_total{{upstream="site",endpoint="{at}",to="unhealthy"}} 1"#),
        ]
    );
}

/// An address where nobody listens.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

//! Another configuration for a running proxy: a good one takes effect at once, a bad one changes nothing.

use crate::support::{Running, alone, builder, config, text};
use evenkeel_model::{Config, Filter, ListenerName, UpstreamName};
use evenkeel_proxy::{BuildError, PublishError};
use evenkeel_testkit::{Client, Origin, Place, unused_port};
use std::{
    net::TcpListener,
    panic::{AssertUnwindSafe, catch_unwind},
};

async fn started(origin: &Origin, workers: usize) -> (Running, Config) {
    let settings = config(&text(origin));
    let first = settings.clone();
    (Running::start(move || builder(first, workers).run()).await, settings)
}

/// The same, with one more listener here.
fn with_listener(settings: &Config, name: &str, port: u16) -> Config {
    let mut settings = settings.clone();
    let mut listener = settings.listeners[0].clone();
    listener.name = name.parse().expect("a name");
    listener.listen = format!("127.0.0.1:{port}").parse().expect("an address");
    settings.listeners.push(listener);
    settings
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[tokio::test]
async fn a_change_that_contradicts_itself_changes_nothing() {
    let origin = Origin::http1().start().await;
    let (proxy, settings) = started(&origin, 2).await;
    let (client, addresses) = (proxy.client(), proxy.addresses());
    assert_eq!(client.get("/").status().await, 200);
    let (route, port) = (settings.routes[0].name.clone(), unused_port());

    let upstream: UpstreamName = "nowhere".parse().unwrap();
    let mut bad = with_listener(&settings, "more", port);
    bad.routes[0].upstream = Some(upstream.clone());
    let refused = proxy.publish(bad).await.unwrap_err();
    let reason = BuildError::NoSuchUpstream { route: route.clone(), upstream };
    assert!(matches!(&refused, PublishError::Build(found) if *found == reason), "{refused}");

    let listener: ListenerName = "nowhere".parse().unwrap();
    let mut bad = with_listener(&settings, "more", port);
    bad.routes[0].listeners = vec![listener.clone()];
    let refused = proxy.publish(bad).await.unwrap_err();
    let reason = BuildError::NoSuchListener { route, listener };
    assert!(matches!(&refused, PublishError::Build(found) if *found == reason), "{refused}");

    let mut bad = with_listener(&settings, "more", port);
    bad.routes[0].filters = vec![Filter::Custom("missing".into())];
    let refused = proxy.publish(bad.clone()).await.unwrap_err();
    assert!(matches!(&refused, PublishError::NoSuchFilter { filter, .. } if &**filter == "missing"), "{refused}");
    assert!(matches!(builder(bad, 1).run(), Err(PublishError::NoSuchFilter { .. })), "nor does a proxy begin so");

    assert_eq!((proxy.generation(), proxy.addresses()), (0, addresses));
    assert_eq!(*proxy.snapshot().config(), settings);
    assert!(is_free(port));
    assert_eq!(client.get("/").status().await, 200);
    assert_eq!((client.connections(), origin.connections()), (1, 1));
}

#[tokio::test]
async fn a_change_that_cannot_be_bound_changes_nothing_and_keeps_no_port() {
    let origin = Origin::http1().start().await;
    let (proxy, settings) = started(&origin, 2).await;
    let client = proxy.client();
    assert_eq!(client.get("/").status().await, 200);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (free, busy) = (unused_port(), taken.local_addr().unwrap().port());

    let mut bad = with_listener(&with_listener(&settings, "good", free), "bad", busy);
    bad.upstreams[0].endpoints[0].drain = true;
    let refused = proxy.publish(bad).await.unwrap_err();

    assert!(matches!(&refused, PublishError::Bind { listener, .. } if listener.as_str() == "bad"), "{refused}");
    assert!(refused.to_string().contains(&busy.to_string()), "{refused}");
    assert_eq!((proxy.generation(), proxy.addresses().len()), (0, 1));
    assert!(is_free(free));
    assert_eq!(client.get("/").repeat(5).statuses().await, [200; 5]);
    assert_eq!((client.connections(), origin.connections()), (1, 1));
}

#[tokio::test]
async fn a_change_that_is_prepared_and_not_committed_leaves_no_trace() {
    let origin = Origin::http1().start().await;
    let (proxy, settings) = started(&origin, 1).await;
    let port = unused_port();

    let prepared = proxy.prepare(with_listener(&settings, "more", port)).unwrap();
    assert_eq!(prepared.snapshot().config().listeners.len(), 2);
    assert!(!is_free(port));
    drop(prepared);

    assert!(is_free(port));
    assert_eq!((proxy.generation(), proxy.addresses().len()), (0, 1));
    assert_eq!(proxy.client().get("/").status().await, 200);
}

#[tokio::test]
async fn a_change_that_was_prepared_on_an_older_one_is_a_bug_and_changes_nothing() {
    let _alone = alone().await;
    let origin = Origin::http1().start().await;
    let (proxy, settings) = started(&origin, 1).await;
    let late = proxy.prepare(settings.clone()).unwrap();
    assert_eq!(proxy.publish(settings.clone()).await.unwrap(), 1);

    assert!(catch_unwind(AssertUnwindSafe(|| proxy.commit(late))).is_err());

    assert_eq!(proxy.generation(), 1);
    assert_eq!(proxy.publish(settings).await.unwrap(), 2);
    assert_eq!(proxy.client().get("/").status().await, 200);
}

#[tokio::test]
async fn a_good_change_is_in_force_when_its_wait_is_over_and_keeps_what_it_does_not_change() {
    let (stays, comes) = (Origin::http1().start().await, Origin::http1().start().await);
    for workers in [1, 2] {
        let (proxy, settings) = started(&stays, workers).await;
        let (client, web, before) = (proxy.client(), proxy.at("web"), stays.connections());
        assert_eq!(client.get("/").status().await, 200);
        let port = unused_port();

        let more = format!(
            r#"{}
            [listeners.more]
            listen = "127.0.0.1:{port}"

            [[routes]]
            path_prefix = "/new"
            upstream = "other"

            [upstreams.other]
            endpoints = ["{comes}"]
            "#,
            text(&stays)
        );
        assert_eq!(proxy.publish(config(&more)).await.unwrap(), 1);

        assert_eq!(proxy.at("web"), web);
        let there = Client::of(&Place::parse(&format!("127.0.0.1:{port}")));
        let requests = comes.requests();
        for client in [&client, &there, &proxy.client()] {
            assert_eq!(client.get("/new/x").status().await, 200);
        }
        assert_eq!(comes.requests() - requests, 3);
        assert_eq!(client.get("/").status().await, 200);
        assert_eq!((client.connections(), stays.connections() - before), (1, 1), "{workers} workers");

        assert_eq!(proxy.publish(settings).await.unwrap(), 2);
        assert_eq!(comes.requests() - requests, 3);
        assert_eq!(client.get("/new/x").status().await, 200);
        assert_eq!(comes.requests() - requests, 3);
    }
}

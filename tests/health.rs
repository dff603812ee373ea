//! Probes: who gets traffic, when a verdict changes, and what an operator sees of it.

use evenkeel_testkit::{Answer, DeadEndpoint, Edit, Origin, Proxy, RawOrigin, Script, eventually, until};
use std::time::{Duration, Instant};

/// As fast as the file allows, and a verdict after one answer.
const FAST: &str = "health = { http = \"/health\", interval = \"100ms\", healthy_after = 1, unhealthy_after = 1 }";

#[tokio::test]
async fn an_endpoint_that_accepts_and_answers_500_on_its_health_path_gets_no_traffic() {
    let (sick, well) = (Origin::http1().named("sick").start().await, Origin::http1().named("well").start().await);
    sick.set_healthy(false);
    let proxy = Proxy::with_endpoints([&sick, &well]).upstream(FAST).start().await;
    proxy.sees(&sick, false).await;
    proxy.sees(&well, true).await;

    assert_eq!(proxy.client().get("/").repeat(100).origins().await, vec!["well"; 100]);
    assert_eq!(sick.requests(), 0);
}

#[tokio::test]
async fn an_endpoint_that_recovers_gets_traffic_again() {
    let (one, other) = (Origin::http1().named("one").start().await, Origin::http1().named("other").start().await);
    let upstream = format!("{FAST}\nbalance = \"round_robin\"");
    let proxy = Proxy::with_endpoints([&one, &other]).upstream(&upstream).start().await;
    for healthy in [false, true, false, true] {
        one.set_healthy(healthy);
        proxy.sees(&one, healthy).await;
        let served = proxy.client().get("/").repeat(20).origins().await;
        assert_eq!(served.iter().any(|name| name == "one"), healthy, "{served:?}");
    }
}

#[tokio::test]
async fn when_no_endpoint_is_usable_the_answer_is_503_at_once() {
    let sick = Origin::http1().start().await;
    sick.set_healthy(false);
    let proxy = Proxy::with_upstream(&sick).upstream(FAST).access_log().start().await;
    proxy.sees(&sick, false).await;
    until("the verdict is in", async || (proxy.client().get("/").status().await == 503).then_some(())).await;
    let seen = sick.requests();

    let begun = Instant::now();
    let response = proxy.client().get("/").send().await;

    assert_eq!(response.status, 503);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(response.text().contains("no_endpoint"), "{}", response.text());
    assert_eq!(sick.requests(), seen);
    let log = proxy.access_log_with(1).await;
    assert!(log.iter().any(|line| line["reason"] == "no_endpoint" && line["status"] == 503), "{log:?}");
}

#[tokio::test]
async fn a_tcp_probe_finds_an_endpoint_that_refuses() {
    let (mut dying, other) =
        (Origin::http1().named("dying").start().await, Origin::http1().named("other").start().await);
    let probe = "health = { tcp = true, interval = \"100ms\", healthy_after = 1, unhealthy_after = 1 }";
    let proxy = Proxy::with_endpoints([&dying, &other]).upstream(probe).start().await;
    proxy.sees(&dying, true).await;

    dying.stop().await;
    proxy.sees(&dying, false).await;
    assert_eq!(proxy.client().get("/").repeat(20).origins().await, ["other"; 20]);

    dying.restart();
    proxy.sees(&dying, true).await;
}

#[tokio::test]
async fn while_a_new_endpoint_is_unknown_a_healthy_one_gets_all_traffic() {
    let silence = Answer::echo().after(Duration::from_mins(10));
    let unknown = Origin::http1().named("unknown").at("/health", silence).start().await;
    let well = Origin::http1().named("well").start().await;
    let probe = "health = { http = \"/health\", interval = \"60s\", timeout = \"60s\", healthy_after = 1 }";
    let proxy = Proxy::with_endpoints([&unknown, &well]).upstream(probe).start().await;
    proxy.sees(&well, true).await;

    assert_eq!(proxy.client().get("/").repeat(50).origins().await, ["well"; 50]);
    assert_eq!(unknown.requests(), 0);
}

#[tokio::test]
async fn an_unknown_endpoint_is_used_while_there_is_no_better_one() {
    let silence = Answer::echo().after(Duration::from_mins(10));
    let unknown = Origin::http1().named("unknown").at("/health", silence).start().await;
    let probe = "health = { http = \"/health\", interval = \"60s\", timeout = \"60s\" }";
    let proxy = Proxy::with_upstream(&unknown).upstream(probe).start().await;

    assert_eq!(proxy.client().get("/").repeat(5).origins().await, ["unknown"; 5]);
    let view = proxy.asks_admin("/api/upstreams").await.json();
    assert_eq!(view[0]["endpoints"][0]["state"], "unknown", "{view}");
}

#[tokio::test]
async fn a_dead_endpoint_is_noticed_by_no_client() {
    let (dead, alive) = (DeadEndpoint::refusing(), Origin::http1().named("alive").start().await);
    let proxy = Proxy::with_endpoints([&dead.to_string(), &alive.to_string()]).start().await;
    let client = proxy.client();

    assert_eq!(client.get("/").repeat(100).statuses().await, vec![200; 100]);
    for n in 0..100 {
        // Never sent, so any method may go to another endpoint, and the whole body goes with it.
        let response = client.post("/", format!("body {n}")).send().await;
        assert_eq!(response.json()["body"], format!("body {n}"));
    }
    assert_eq!(alive.requests(), 200);
}

#[tokio::test]
async fn up_to_three_endpoints_are_tried_for_a_request_that_was_never_sent() {
    let dead: Vec<_> = (0..2).map(|_| DeadEndpoint::refusing()).collect();
    let alive = Origin::http1().start().await;
    let endpoints: Vec<_> = dead.iter().map(ToString::to_string).chain([alive.to_string()]).collect();
    let proxy = Proxy::with_endpoints(&endpoints).upstream("balance = \"random\"").start().await;

    assert_eq!(proxy.client().post("/", "x").repeat(30).statuses().await, [200; 30]);
}

#[tokio::test]
async fn one_bad_answer_among_good_ones_changes_no_verdict() {
    let answer = |status: &str| {
        Script::new()
            .reads_request()
            .sends(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
            .closes()
    };
    let (good, bad) = (answer("200 OK"), answer("500 Bad"));
    // Never two bad ones in a row; the last script goes on.
    let scripts = [&good, &bad, &good, &bad, &good, &bad, &good].map(Clone::clone).to_vec();
    let flapping = RawOrigin::start_each(scripts).await;
    let probe = "health = { http = \"/\", interval = \"100ms\", healthy_after = 1, unhealthy_after = 2 }";
    let proxy = Proxy::with_upstream(&flapping).upstream(probe).start().await;
    proxy.sees(&flapping, true).await;

    eventually("ten probes", || flapping.connections() >= 10).await;

    let metrics = proxy.metrics().await;
    assert_eq!(metrics.sum("evenkeel_endpoint_healthy", &[]).to_string(), "1");
    let to_unhealthy = metrics.sum("evenkeel_health_transitions_total", &[("to", "unhealthy")]);
    assert!(to_unhealthy.abs() < 0.5, "{}", metrics.text());
}

#[tokio::test]
async fn a_probe_asks_for_what_the_file_says() {
    let origin = RawOrigin::start(Script::answering("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let probe = "health = { http = \"/status?deep=1\", method = \"HEAD\", host = \"internal.org\", expect_status = [204], \
                 interval = \"100ms\", healthy_after = 1 }";
    let proxy = Proxy::with_upstream(&origin).upstream(probe).start().await;
    proxy.sees(&origin, true).await;

    let probe = &origin.requests()[0];
    assert!(probe.starts_with("HEAD /status?deep=1 HTTP/1.1\r\n"), "{probe}");
    assert!(probe.to_ascii_lowercase().contains("\r\nhost: internal.org\r\n"), "{probe}");
}

#[tokio::test]
async fn a_status_or_a_body_that_was_not_expected_is_a_failure() {
    for (expectation, good) in [
        ("expect_status = [503]", false),
        ("expect_status = [\"200-204\"]", true),
        ("expect_body = \"fine\"", false),
        ("expect_body = \"k\"", true),
    ] {
        let origin = Origin::http1().start().await;
        let upstream = format!(
            "health = {{ http = \"/health\", interval = \"100ms\", healthy_after = 1, unhealthy_after = 1, {expectation} }}"
        );
        let proxy = Proxy::with_upstream(&origin).upstream(&upstream).start().await;
        let result = if good { "healthy" } else { "unhealthy" };
        let labels = [("to", result)];
        proxy.metrics_show(expectation, |m| m.sum("evenkeel_health_transitions_total", &labels) > 0.5).await;
        proxy.sees(&origin, good).await;
    }
}

#[tokio::test]
async fn a_probe_can_ask_at_another_port() {
    let (traffic, health) = (Origin::http1().start().await, Origin::http1().start().await);
    traffic.set_healthy(false);
    let upstream = format!(
        "health = {{ http = \"/health\", port = {}, interval = \"100ms\", healthy_after = 1 }}",
        health.place().port()
    );
    let proxy = Proxy::with_upstream(&traffic).upstream(&upstream).start().await;

    proxy.sees(&traffic, true).await;
    assert_eq!(traffic.probes(), 0);
    assert_eq!(proxy.client().get("/").status().await, 200);
}

#[tokio::test]
async fn an_operator_sees_each_state_and_the_error_of_the_last_probe() {
    let (well, sick) = (Origin::http1().start().await, Origin::http1().start().await);
    sick.set_healthy(false);
    let dead = DeadEndpoint::refusing();
    let endpoints = [well.to_string(), sick.to_string(), dead.to_string()];
    let proxy = Proxy::with_endpoints(&endpoints).upstream(FAST).start().await;
    proxy.sees(&well, true).await;

    let view = until("all three have a verdict", async || {
        let view = proxy.asks_admin("/api/upstreams").await.json();
        let states: Vec<_> = (0..3).map(|n| view[0]["endpoints"][n]["state"].as_str().map(str::to_owned)).collect();
        (states == ["healthy", "unhealthy", "unhealthy"].map(|s| Some(s.to_owned()))).then_some(view)
    })
    .await;

    let endpoint = |n: usize| &view[0]["endpoints"][n];
    assert_eq!((&view[0]["name"], &endpoint(0)["address"]), (&"site".into(), &endpoints[0].as_str().into()));
    assert!(endpoint(0)["last_error"].is_null(), "{view}");
    assert!(endpoint(1)["last_error"].as_str().is_some_and(|e| e.contains("500")), "{view}");
    assert!(endpoint(2)["last_error"].as_str().is_some_and(|e| e.contains("refused")), "{view}");
}

#[tokio::test]
async fn a_verdict_survives_a_hundred_reloads_and_the_dead_endpoint_gets_no_request() {
    let (sick, well) = (Origin::http1().named("sick").start().await, Origin::http1().named("well").start().await);
    sick.set_healthy(false);
    // The one that is well has five tries of a second each to say so: reloads keep a machine busy, and so do other tests.
    let patient = FAST.replace("unhealthy_after = 1", "unhealthy_after = 5").replace("100ms", "1s");
    let builder = Proxy::with_endpoints([&sick, &well]).upstream(&patient);
    let text = builder.text();
    let proxy = builder.start().await;
    proxy.sees(&sick, false).await;
    proxy.sees(&well, true).await;
    let load = proxy.load().kept(2).fresh(2).rate(400).start();

    for n in 0..100 {
        proxy.reload_by(Edit::RenameOver, &format!("{text}\n# reload {n}\n")).await;
    }

    load.answers_more(20).await;
    load.stop().await.assert_all_ok();
    assert_eq!(sick.requests(), 0);
}

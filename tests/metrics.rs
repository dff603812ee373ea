//! What is counted is what happened, and a scrape is well formed at any time.

use evenkeel_testkit::{Answer, Chance, Edit, Metrics, Origin, Place, Proxy, Wire};
use std::{
    fs::{self, File},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Series that exist before the first request, or with it.
const FAMILIES: [&str; 24] = [
    "evenkeel_requests_total",
    "evenkeel_requests_in_flight",
    "evenkeel_responses_local_total",
    "evenkeel_endpoint_requests_total",
    "evenkeel_endpoint_requests_in_flight",
    "evenkeel_endpoint_healthy",
    "evenkeel_endpoint_ejected",
    "evenkeel_endpoint_draining",
    "evenkeel_health_probes_total",
    "evenkeel_health_transitions_total",
    "evenkeel_retries_total",
    "evenkeel_retry_budget_exhausted_total",
    "evenkeel_upstream_connections",
    "evenkeel_upstream_connects_total",
    "evenkeel_pool_reuse_total",
    "evenkeel_connections",
    "evenkeel_connections_total",
    "evenkeel_bytes_total",
    "evenkeel_config_last_reload_successful",
    "evenkeel_config_last_reload_success_timestamp_seconds",
    "evenkeel_config_reloads_total",
    "evenkeel_config_info",
    "evenkeel_build_info",
    "process_resident_memory_bytes",
];

fn near(metrics: &Metrics, name: &str, labels: &[(&str, &str)], expected: u64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "counts of a test are small")]
    let expected = expected as f64;
    (metrics.sum(name, labels) - expected).abs() < 0.5
}

#[tokio::test]
async fn the_counters_sum_to_what_the_load_has_counted() {
    let (one, other) = (Origin::http1().start().await, Origin::http1().start().await);
    other.set_answer("/", Answer::status(503));
    let proxy = Proxy::with_endpoints([&one, &other]).start().await;

    let report = proxy.load().kept(8).fresh(4).rate(1_500).requests(2_000).run().await;

    assert_eq!((report.failed, report.answered()), (0, 2_000), "{report:?}");
    let metrics = proxy.metrics_show("all are counted", |m| near(m, "evenkeel_requests_total", &[], 2_000)).await;
    for status in [200_u16, 503] {
        let code = status.to_string();
        assert!(near(&metrics, "evenkeel_requests_total", &[("code", &code)], report.with_status(status)), "{status}");
    }
    for name in [
        "evenkeel_endpoint_requests_total",
        "evenkeel_request_duration_seconds_count",
        "evenkeel_upstream_duration_seconds_count",
    ] {
        assert!(near(&metrics, name, &[], 2_000), "{name}: {}", metrics.sum(name, &[]));
    }
    for (origin, class) in [(&one, "2xx"), (&other, "5xx")] {
        let labels = [("endpoint", origin.to_string()), ("code_class", class.to_owned())];
        let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert!(near(&metrics, "evenkeel_endpoint_requests_total", &labels, origin.requests() as u64), "{labels:?}");
    }
    assert!(near(&metrics, "evenkeel_connections_total", &[("listener", "web")], report.connections));
    proxy.is_idle().await;
}

#[tokio::test]
async fn every_scrape_is_well_formed_also_under_load_and_over_reloads() {
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin);
    let text = builder.text();
    let proxy = builder.start().await;
    let load = proxy.load().kept(4).fresh(2).rate(400).start();

    for n in 0..10 {
        let metrics = proxy.metrics().await;
        assert_eq!(metrics.problems(), Vec::<String>::new(), "{}", metrics.text());
        proxy.reload_with(&format!("{text}# {n}\n")).await;
    }

    load.stop().await.assert_all_ok();
}

#[tokio::test]
async fn promtool_has_nothing_to_say_where_it_is_installed() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let page = proxy.folder().join("metrics.txt");
    fs::write(&page, proxy.metrics().await.text()).unwrap();

    match Command::new("promtool").args(["check", "metrics"]).stdin(File::open(&page).unwrap()).output() {
        Err(_) => println!("promtool is not installed: only our own check was made"),
        Ok(said) => assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr)),
    }
}

#[tokio::test]
async fn the_promised_families_are_there() {
    let origin = Origin::http1().start().await;
    let health = "health = { http = \"/health\", interval = \"100ms\" }";
    let proxy = Proxy::with_upstream(&origin).upstream(health).start().await;
    proxy.client().get("/").send().await;

    let metrics = proxy.metrics_show("the request is counted", |m| near(m, "evenkeel_requests_total", &[], 1)).await;

    for name in FAMILIES {
        assert!(metrics.all(name, &[]).next().is_some(), "{name} is missing:\n{}", metrics.text());
    }
    let labels = [("listener", "web"), ("method", "GET"), ("code", "200")];
    assert_eq!(metrics.get("evenkeel_requests_total", &labels), Some(1.0));
    for bucket in ["0.001", "0.0025", "0.5", "1", "30", "+Inf"] {
        let labels = [("le", bucket)];
        assert!(metrics.all("evenkeel_request_duration_seconds_bucket", &labels).next().is_some(), "{bucket}");
    }
}

#[tokio::test]
async fn nothing_that_a_client_sends_becomes_a_label() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let request = "BREW /secret-path HTTP/1.1\r\nHost: secret-host\r\nUser-Agent: secret-agent\r\n\r\n";

    assert_eq!(Wire::exchange(proxy.web(), request).await.status, 200);

    let metrics =
        proxy.metrics_show("it is counted", |m| near(m, "evenkeel_requests_total", &[("method", "OTHER")], 1)).await;
    assert!(!metrics.text().contains("secret") && !metrics.text().contains("BREW"), "{}", metrics.text());
}

#[tokio::test]
async fn the_series_of_a_removed_endpoint_end_with_it_and_those_of_a_kept_one_go_on() {
    let (stays, goes) = (Origin::http1().start().await, Origin::http1().start().await);
    let builder = Proxy::with_endpoints([&stays, &goes]).upstream("balance = \"round_robin\"");
    let text = builder.text();
    let proxy = builder.start().await;
    assert_eq!(proxy.client().get("/").repeat(20).statuses().await, [200; 20]);
    let before = proxy.metrics().await;
    assert!(before.label_values("evenkeel_endpoint_requests_total", "endpoint").contains(&goes.to_string()));

    proxy.reload_with(&text.replace(&format!(", \"{goes}\""), "")).await;

    let after = proxy.metrics_show("its series are gone", |m| !m.text().contains(&goes.to_string())).await;
    let (endpoint, all) = (stays.to_string(), "evenkeel_endpoint_requests_total");
    let labels = [("endpoint", endpoint.as_str())];
    assert!(after.sum(all, &labels) >= before.sum(all, &labels), "{}", after.text());
    assert!(near(&after, "evenkeel_requests_total", &[], 20), "{}", after.text());
}

#[tokio::test]
async fn bytes_are_counted_in_both_directions() {
    let origin = Origin::http1().answers(Answer::text(vec![b'x'; 100_000])).start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    proxy.client().post("/", vec![b'y'; 50_000]).send().await;
    proxy.client().forget_connection().await;

    let between = |metrics: &Metrics, direction, low: f64| {
        let bytes = metrics.sum("evenkeel_bytes_total", &[("direction", direction)]);
        bytes >= low && bytes < low + 2_000.0
    };
    proxy.metrics_show("they are counted", |m| between(m, "in", 50_000.0) && between(m, "out", 100_000.0)).await;
}

/// One client that does something rude and leaves.
async fn rude(place: &Place, chance: &mut Chance) {
    let Ok(socket) = place.connect().await else { return };
    drop(socket);
    let mut wire = Wire::to(place).await;
    let request = match chance.below(5) {
        0 => "GET /fast HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        1 => "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        2 => "GET /large HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        3 => format!("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(1_000)),
        _ => "POST /fast HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
    };
    let sent = match chance.below(3) {
        0 => usize::try_from(chance.below(request.len() as u64)).unwrap_or(0),
        _ => request.len(),
    };
    let _ = wire.try_send(&request.as_bytes()[..sent]).await;
    // Not to wait for anything: to leave at another moment each time.
    tokio::time::sleep(chance.pause(Duration::from_millis(4))).await;
    match chance.below(4) {
        0 => wire.reset(),
        1 => drop(wire),
        2 => wire.finish_if_open().await,
        _ => {
            let _ = tokio::time::timeout(Duration::from_millis(2), wire.try_response()).await;
        }
    }
}

#[tokio::test]
async fn within_a_second_of_ten_thousand_random_aborts_and_reloads_nothing_is_in_flight() {
    const CLIENTS: usize = 16;
    const EACH: usize = 625;
    let origins = [origin().await, origin().await];
    let builder = Proxy::with_endpoints(&origins).upstream("balance = \"least_connections\"");
    let text = builder.text();
    let proxy = builder.start().await;
    let mut chance = Chance::printed();
    let left = Arc::new(AtomicUsize::new(CLIENTS * EACH));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (place, mut chance, left) = (proxy.web().clone(), Chance::from_seed(chance.next_u64()), Arc::clone(&left));
        clients.spawn(async move {
            for _ in 0..EACH {
                rude(&place, &mut chance).await;
                left.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }

    let mut reloads = 0;
    while left.load(Ordering::Relaxed) > 0 {
        reloads += 1;
        // The second endpoint comes and goes with requests at it.
        let both = reloads % 2 == 0;
        let changed = if both { text.clone() } else { text.replace(&format!(", \"{}\"", origins[1]), "") };
        proxy.reload_by(Edit::RenameOver, &format!("{changed}# {reloads}\n")).await;
    }
    clients.join_all().await;

    let all_left = Instant::now();
    proxy.is_idle().await;
    let took = all_left.elapsed();
    println!("{reloads} reloads meanwhile; nothing in flight {took:?} after the last client");
    assert!(took < Duration::from_secs(1), "{took:?} until nothing was in flight");
    let metrics = proxy
        .metrics_show("no connection is left", |m| {
            near(m, "evenkeel_connections", &[], 0)
                && near(m, "evenkeel_upstream_connections", &[("state", "active")], 0)
        })
        .await;
    assert_eq!(metrics.get("evenkeel_panics_total", &[]).unwrap_or(0.0).to_string(), "0", "{}", proxy.log());
    assert_eq!(proxy.client().get("/fast").status().await, 200);
}

async fn origin() -> Origin {
    let slow = Answer::echo().after(Duration::from_millis(20));
    let large = Answer::text(vec![b'x'; 300_000]);
    Origin::http1().at("/slow", slow).at("/large", large).start().await
}

#[tokio::test]
async fn what_is_answered_as_configured_has_the_fault_policy() {
    let more = "[[routes]]\npath = \"/fixed\"\nfilters = [{ fixed_response = { status = 503 } }]\n\
                [[routes]]\npath = \"/moved\"\nfilters = [{ redirect = { scheme = \"https\" } }]\n";
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).route("path = \"/site\"").more(more).access_log().start().await;
    let client = proxy.client();
    // Any client can write such a field.
    let via = "1.1 evenkeel, ".repeat(8) + "1.1 x";

    for (path, via) in [("/fixed", "1.1 x"), ("/moved", "1.1 x"), ("/nowhere", "1.1 x"), ("/site", via.as_str())] {
        client.get(path).header("via", via).send().await;
    }

    let log = proxy.access_log_with(4).await;
    let faults: Vec<_> = log.iter().map(|line| line["fault"].as_str().unwrap_or_default()).collect();
    assert_eq!(faults, ["policy", "policy", "client", "client"]);
    proxy.counts_local("filter", 2).await;
    let metrics = proxy.metrics().await;
    let local = |fault| metrics.sum("evenkeel_responses_local_total", &[("fault", fault)]);
    assert_eq!((local("policy"), local("client"), local("us")), (2.0, 2.0, 0.0));
}

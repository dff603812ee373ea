//! Endpoints that misbehave: what their clients get, what is counted.

use evenkeel_testkit::{DeadEndpoint, Origin, Proxy, RawOrigin, Script, Wire, hostile};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn before(script: Script) -> (Proxy, RawOrigin) {
    let origin = RawOrigin::start(script).await;
    (Proxy::with_upstream(&origin).access_log().start().await, origin)
}

#[tokio::test]
async fn an_endpoint_that_talks_nonsense_is_a_502_with_a_reason() {
    let (proxy, _origin) = before(hostile::talks_nonsense()).await;

    let response = proxy.client().get("/").send().await;

    assert_eq!(response.status, 502);
    assert!(response.text().contains("upstream_protocol"), "{}", response.text());
    assert!(response.header("x-request-id").is_some());
    assert!(!response.text().contains("127.0.0.1"), "a client learns no addresses: {}", response.text());
    proxy.counts_local("upstream_protocol", 1).await;
    let log = proxy.access_log_with(1).await;
    assert_eq!((&log[0]["status"], &log[0]["reason"]), (&502.into(), &"upstream_protocol".into()), "{log:#?}");
}

#[tokio::test]
async fn heads_that_are_no_heads_are_a_502() {
    for head in [
        "HTTP/1.1 99 Odd\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\ngarbage\r\n\r\n",
        "\r\n\r\n\r\n\r\n",
    ] {
        let (proxy, _origin) = before(Script::new().reads_request().sends(head).closes()).await;
        let response = Wire::exchange(proxy.web(), GET).await;
        assert_eq!(response.status, 502, "{head:?}: {response:?}");
    }
}

#[tokio::test]
async fn an_endpoint_whose_head_never_ends_is_a_502() {
    let mut head = "HTTP/1.1 200 OK\r\n".to_owned();
    (0..100_000).for_each(|n| head.push_str(&format!("x{n}: y\r\n")));
    let (proxy, _origin) = before(Script::new().reads_request().sends(head).stalls()).await;

    assert_eq!(proxy.client().post("/", "x").status().await, 502);
}

#[tokio::test]
async fn an_endpoint_that_closes_or_resets_instead_of_an_answer_is_a_502() {
    for script in [hostile::closes_instead_of_an_answer(), hostile::resets_instead_of_an_answer()] {
        let (proxy, _origin) = before(script).await;

        let response = proxy.client().post("/", "x").send().await;

        assert_eq!(response.status, 502);
        assert!(response.text().contains("upstream_reset"), "{}", response.text());
        proxy.counts_local("upstream_reset", 1).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_dies_in_mid_body_aborts_the_clients_connection() {
    let (proxy, _origin) = before(hostile::promises_more_than_it_sends()).await;

    let response = Wire::exchange(proxy.web(), GET).await;

    assert!(response.status == 200 && !response.is_complete(), "{response:?}");
    proxy.counts_local("upstream_reset", 1).await;
    proxy.is_idle().await;
    let log = proxy.access_log_with(1).await;
    assert_eq!(log[0]["reason"], "upstream_reset", "{log:#?}");
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_a_502_that_says_so() {
    let dead = DeadEndpoint::refusing();
    let proxy = Proxy::with_upstream(&dead).start().await;

    let response = proxy.client().get("/").send().await;

    assert_eq!(response.status, 502);
    assert!(response.text().contains("connect_failed"), "{}", response.text());
    proxy.counts_local("connect_failed", 1).await;
    let metrics = proxy.metrics().await;
    assert!(metrics.sum("evenkeel_upstream_connects_total", &[("result", "failed")]) > 0.5, "{}", metrics.text());
}

#[tokio::test]
async fn the_clients_connection_survives_a_failure_of_the_endpoint() {
    let nonsense = RawOrigin::start(hostile::talks_nonsense()).await;
    let good = Origin::http1().start().await;
    let text = format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\n\
         [[routes]]\npath_prefix = \"/bad\"\nupstream = \"bad\"\n[[routes]]\nupstream = \"good\"\n\
         [upstreams.bad]\nendpoints = [\"{nonsense}\"]\n[upstreams.good]\nendpoints = [\"{good}\"]\n"
    );
    let proxy = Proxy::with_config(&text).start().await;
    let client = proxy.client();

    for _ in 0..3 {
        assert_eq!(client.get("/bad").status().await, 502);
        assert_eq!(client.get("/").status().await, 200);
    }

    assert_eq!(client.connections(), 1);
}

#[tokio::test]
async fn a_host_name_that_cannot_be_resolved_is_no_reason_not_to_start() {
    let good = Origin::http1().start().await;
    let text = format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\n\
         [[routes]]\npath_prefix = \"/lost\"\nupstream = \"lost\"\n[[routes]]\nupstream = \"good\"\n\
         [upstreams.lost]\nendpoints = [\"no-such-host.invalid:80\"]\n[upstreams.good]\nendpoints = [\"{good}\"]\n"
    );
    let proxy = Proxy::with_config(&text).start().await;

    assert_eq!(proxy.client().get("/").status().await, 200);
    assert_eq!(proxy.client().get("/lost").status().await, 503);
    proxy.counts_local("no_endpoint", 1).await;
    proxy.logs("no-such-host.invalid").await;
}

#[tokio::test]
async fn a_host_name_that_can_be_resolved_is_served() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(format!("localhost:{}", origin.place().port())).start().await;

    assert_eq!(proxy.client().get("/").status().await, 200);
}

#[tokio::test]
async fn in_a_full_outage_retries_stay_within_their_budget() {
    let first = RawOrigin::start(hostile::resets_instead_of_an_answer()).await;
    let second = RawOrigin::start(hostile::resets_instead_of_an_answer()).await;
    let proxy = Proxy::with_endpoints([&first, &second]).start().await;

    let statuses = proxy.client().get("/").repeat(300).statuses().await;

    assert_eq!(statuses, [502; 300]);
    let metrics = proxy.metrics().await;
    let attempts = metrics.sum("evenkeel_endpoint_requests_total", &[]);
    // A fifth of 300, and 6 that are free for an upstream without much traffic; never the double.
    assert!((301.0..=366.0).contains(&attempts), "{attempts} attempts for 300 requests");
    assert!(metrics.sum("evenkeel_retry_budget_exhausted_total", &[]) > 100.0);
}

#[tokio::test]
async fn an_endpoint_that_dies_with_requests_in_flight_costs_no_client_an_error() {
    let dying = RawOrigin::start(hostile::resets_instead_of_an_answer()).await;
    let living = Origin::http1().start().await;
    let proxy = Proxy::with_endpoints([dying.to_string(), living.to_string()])
        .upstream("balance = \"round_robin\"")
        .start()
        .await;

    // Few enough for the part of the budget that needs no traffic before it.
    let statuses = proxy.client().get("/").repeat(6).statuses().await;

    assert_eq!(statuses, [200; 6]);
    let retries = [("outcome", "answered")];
    proxy.metrics_show("retries were answered", |m| m.sum("evenkeel_retries_total", &retries) >= 1.0).await;
}

//! What an operator sees: readiness, the configuration that runs, each endpoint.

use evenkeel_testkit::{Answer, Origin, Proxy, eventually};
use std::time::Duration;

#[tokio::test]
async fn a_running_process_is_live_and_ready() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    for path in ["/livez", "/readyz"] {
        assert_eq!(proxy.asks_admin(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn metrics_say_which_format_they_are() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    let response = proxy.asks_admin("/metrics").await;

    assert!(
        response.header("content-type").is_some_and(|t| t.starts_with("text/plain; version=0.0.4")),
        "{response:?}"
    );
}

#[tokio::test]
async fn the_api_shows_the_configuration_that_runs() {
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin);
    let text = builder.text();
    let proxy = builder.start().await;

    let first = proxy.asks_admin("/api/config").await.json();
    assert_eq!(first["path"].as_str(), proxy.file().path().to_str());
    assert_eq!(first["hash"].as_str().map(str::len), Some(16), "{first}");
    assert!(first["last_reload"].is_null(), "{first}");

    proxy.reload_with(&format!("{text}# changed\n")).await;

    let second = proxy.asks_admin("/api/config").await.json();
    assert_ne!(first["hash"], second["hash"]);
    assert_eq!(second["hash"].as_str(), proxy.config_hash().await.as_deref());
    assert_eq!(second["last_reload"]["successful"], true, "{second}");
    assert!(second["generation"].as_u64() > first["generation"].as_u64(), "{second}");
}

#[tokio::test]
async fn the_api_shows_each_endpoint_with_its_state_and_load() {
    let busy = Origin::http1().answers(Answer::echo().after(Duration::from_mins(10))).start().await;
    let text = format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nupstream = \"site\"\n[upstreams.site]\nbalance = \"round_robin\"\n\
         endpoints = [\"{busy}\", {{ address = \"10.0.0.1:80\", weight = 3, drain = true }}]\n"
    );
    let proxy = Proxy::with_config(&text).start().await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("it is at the endpoint", || busy.in_flight() == 1).await;

    let view = proxy.asks_admin("/api/upstreams").await.json();

    let upstream = &view[0];
    assert_eq!((&upstream["name"], &upstream["balance"]), (&"site".into(), &"round_robin".into()), "{view}");
    let (first, second) = (&upstream["endpoints"][0], &upstream["endpoints"][1]);
    assert_eq!((&first["address"], &first["state"]), (&busy.to_string().into(), &"healthy".into()), "{view}");
    assert_eq!((&first["in_flight"], &first["weight"]), (&1.into(), &1.into()), "{view}");
    assert_eq!((&second["state"], &second["weight"]), (&"draining".into(), &3.into()), "{view}");
}

#[tokio::test]
async fn what_it_does_not_know_is_a_404_and_what_it_does_not_do_a_405() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    assert_eq!(proxy.asks_admin("/api/nothing").await.status, 404);
    assert_eq!(proxy.operator().post("/metrics", "").status().await, 405);
    assert_eq!(proxy.asks_admin("/api/reload").await.status, 405);
}

#[tokio::test]
async fn a_web_page_cannot_press_reload() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    let response = proxy.operator().post("/api/reload", "").header("origin", "http://evil.org").send().await;

    assert!(response.status == 403 || response.status == 421, "{response:?}");
}

#[tokio::test]
async fn the_admin_listener_is_not_a_route_and_a_route_is_not_the_admin_listener() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    assert_eq!(proxy.client().get("/metrics").send().await.origin(), "origin");
    assert_eq!(proxy.client().get("/readyz").send().await.origin(), "origin");
    assert_eq!(proxy.asks_admin("/hello").await.status, 404);
}

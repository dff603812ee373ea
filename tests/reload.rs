//! A changed file takes effect at once and as a whole, or not at all.

use evenkeel_testkit::{
    Answer, Client, Edit, Origin, Place, Proxy, Signal, eventually, eventually_within, until, unused_port,
};
use std::{net::TcpListener, os::unix::fs::symlink, time::Duration};

/// The smallest file, with something more.
fn file(endpoints: &[&Origin], more: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|origin| format!("\"{origin}\"")).collect();
    format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nupstream = \"site\"\n\
         [upstreams.site]\nendpoints = [{}]\n{more}",
        endpoints.join(", ")
    )
}

async fn named(name: &str) -> Origin {
    Origin::http1().named(name).start().await
}

/// The workers take a change up within moments of each other: wait until the answer is the new one for good.
async fn serves(proxy: &Proxy, name: &str) {
    until(&format!("{name} serves"), async || {
        let mut served = Vec::new();
        // One new connection each, so that every worker is asked.
        for _ in 0..8 {
            served.push(proxy.client().get("/").send().await.origin().to_owned());
        }
        served.iter().all(|origin| origin == name).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_way_to_save_a_file_is_noticed() {
    let (one, other) = (named("one").await, named("other").await);
    let proxy = Proxy::with_config(&file(&[&one], "")).start().await;
    for edit in [Edit::RenameOver, Edit::TruncateAndWrite, Edit::DeleteAndCreate] {
        for (origin, name) in [(&other, "other"), (&one, "one")] {
            proxy.reload_by(edit, &file(&[origin], "")).await;
            serves(&proxy, name).await;
        }
    }
    let metrics = proxy.metrics().await;
    assert_eq!(metrics.get("evenkeel_config_last_reload_successful", &[]), Some(1.0));
}

#[tokio::test]
async fn the_data_link_of_kubernetes_can_be_swapped_fifty_times() {
    let (one, other) = (named("one").await, named("other").await);
    let proxy = Proxy::with_config(&file(&[&one], "")).as_in_kubernetes().start().await;
    let load = proxy.load().kept(2).fresh(2).rate(200).start();

    for n in 0..50 {
        let (origin, name) = if n % 2 == 0 { (&other, "other") } else { (&one, "one") };
        proxy.reload_by(Edit::SwapData, &file(&[origin], &format!("# {n}\n"))).await;
        if n % 10 >= 8 {
            serves(&proxy, name).await;
        }
    }

    load.stop().await.assert_all_ok();
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_so_in_log_metric_and_api() {
    let origin = named("good").await;
    let good = file(&[&origin], "");
    let proxy = Proxy::with_config(&good).start().await;
    let hash = proxy.config_hash().await;

    proxy.edit(Edit::RenameOver, &good.replace("endpoints", "endpionts"));

    let metrics =
        proxy.metrics_show("the failure", |m| m.get("evenkeel_config_last_reload_successful", &[]) == Some(0.0)).await;
    assert!(metrics.sum("evenkeel_config_reloads_total", &[]) > 0.5, "{}", metrics.text());
    assert_eq!(proxy.config_hash().await, hash);
    proxy.logs("endpionts").await;
    let view = proxy.asks_admin("/api/config").await.json();
    assert_eq!(view["last_reload"]["successful"], false, "{view}");
    assert!(view["last_reload"]["problems"].to_string().contains("endpionts"), "{view}");
    assert_eq!(view["hash"].as_str(), hash.as_deref());
    assert_eq!(proxy.client().get("/").repeat(10).origins().await, ["good"; 10]);

    proxy.edit(Edit::RenameOver, &format!("{good}# mended\n"));

    proxy.metrics_show("success again", |m| m.get("evenkeel_config_last_reload_successful", &[]) == Some(1.0)).await;
    assert_eq!(proxy.asks_admin("/api/config").await.json()["last_reload"]["successful"], true);
}

#[tokio::test]
async fn a_file_that_is_gone_changes_nothing() {
    let origin = named("good").await;
    let proxy = Proxy::with_config(&file(&[&origin], "")).start().await;

    std::fs::remove_file(proxy.file().path()).unwrap();
    let reload = proxy.operator().post("/api/reload", "").send().await;

    assert!(reload.status >= 400, "{reload:?}");
    assert_eq!(proxy.client().get("/").status().await, 200);
    assert_eq!(proxy.metrics().await.get("evenkeel_config_last_reload_successful", &[]), Some(0.0));
}

#[tokio::test]
async fn hup_reads_the_file_again_where_watching_cannot_see_the_change() {
    let (one, other) = (named("one").await, named("other").await);
    let proxy = Proxy::with_config(&file(&[&one], "")).start().await;
    // A link to a folder that nobody watches.
    let elsewhere = tempfile::tempdir().unwrap();
    let real = elsewhere.path().join("real.toml");
    let text = proxy.file().text();
    std::fs::write(&real, &text).unwrap();
    std::fs::remove_file(proxy.file().path()).unwrap();
    symlink(&real, proxy.file().path()).unwrap();
    let before = proxy.config_hash().await;

    std::fs::write(&real, text.replace(&one.to_string(), &other.to_string())).unwrap();
    proxy.signal(Signal::Hup);

    // Well below the slow poll of 10 s.
    let bound = Duration::from_secs(5);
    evenkeel_testkit::until_within(bound, "the change takes effect", async || {
        (proxy.config_hash().await != before).then_some(())
    })
    .await;
    serves(&proxy, "other").await;
}

#[tokio::test]
async fn a_reload_by_api_says_what_came_of_it() {
    let (one, other) = (named("one").await, named("other").await);
    let proxy = Proxy::with_config(&file(&[&one], "")).start().await;

    let same = proxy.operator().post("/api/reload", "").send().await;
    assert_eq!((same.status, &same.json()["changed"]), (200, &false.into()), "{}", same.text());

    proxy.edit(Edit::RenameOver, &file(&[&other], ""));
    let changed = proxy.operator().post("/api/reload", "").send().await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(changed.json()["hash"].as_str(), proxy.config_hash().await.as_deref());
    serves(&proxy, "other").await;

    proxy.edit(Edit::RenameOver, &file(&[&other], "[nonsense]\n"));
    let refused = proxy.operator().post("/api/reload", "").send().await;
    assert!(refused.status >= 400 && refused.text().contains("nonsense"), "{refused:?}: {}", refused.text());
}

#[tokio::test]
async fn saving_the_same_text_is_no_reload() {
    let origin = named("good").await;
    let text = file(&[&origin], "");
    let proxy = Proxy::with_config(&text).start().await;
    let generation = async || proxy.asks_admin("/api/config").await.json()["generation"].clone();
    let before = generation().await;

    for edit in [Edit::RenameOver, Edit::DeleteAndCreate] {
        proxy.edit(edit, &text);
    }
    // What comes after it has come after it.
    proxy.reload_with(&format!("{text}# changed\n")).await;

    let after = generation().await;
    assert_eq!(after.as_u64(), before.as_u64().map(|n| n + 1), "{before} {after}");
}

#[tokio::test]
async fn a_busy_port_refuses_the_whole_change() {
    let (one, other) = (named("one").await, named("other").await);
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let proxy = Proxy::with_config(&file(&[&one], "")).start().await;
    let hash = proxy.config_hash().await;

    let more = format!("[listeners.new]\nlisten = \"127.0.0.1:{port}\"\n");
    proxy.edit(Edit::RenameOver, &file(&[&other], &more));

    proxy.metrics_show("the failure", |m| m.get("evenkeel_config_last_reload_successful", &[]) == Some(0.0)).await;
    proxy.logs(&format!("127.0.0.1:{port}")).await;
    assert_eq!(proxy.config_hash().await, hash);
    assert_eq!(proxy.client().get("/").repeat(10).origins().await, ["one"; 10]);

    drop(busy);
    let reload = proxy.operator().post("/api/reload", "").send().await;
    assert_eq!(reload.status, 200, "{}", reload.text());
    serves(&proxy, "other").await;
}

#[tokio::test]
async fn a_new_listener_serves_and_a_removed_one_lets_its_clients_finish() {
    let origin = named("good").await;
    let port = unused_port();
    let proxy = Proxy::with_config(&file(&[&origin], "")).start().await;
    let new = Place::parse(&format!("127.0.0.1:{port}"));

    proxy.reload_with(&file(&[&origin], &format!("[listeners.new]\nlisten = \"{new}\"\n"))).await;
    let client = Client::of(&new);
    assert_eq!(client.get("/").status().await, 200);

    proxy.reload_with(&file(&[&origin], "")).await;

    // A kept connection is told to close, at the latest with its next answer; a new one is refused.
    if let Ok(last) = client.get("/").try_send().await {
        assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    }
    until("new connections are refused", async || new.connect().await.is_err().then_some(())).await;
    assert_eq!(proxy.client().get("/").status().await, 200);
}

#[tokio::test]
async fn a_listener_can_move_to_another_port() {
    let origin = named("good").await;
    let ports = [unused_port(), unused_port()];
    let text = |port| file(&[&origin], "").replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let proxy = Proxy::with_config(&text(ports[0])).start().await;

    proxy.reload_with(&text(ports[1])).await;

    let moved = Place::parse(&format!("127.0.0.1:{}", ports[1]));
    assert_eq!(Client::of(&moved).get("/").status().await, 200);
    let left = proxy.web();
    until("the old port refuses", async || left.connect().await.is_err().then_some(())).await;
}

#[tokio::test]
async fn client_connections_idle_pools_and_counters_survive_a_reload() {
    let origin = named("good").await;
    let text = file(&[&origin], "");
    let proxy = Proxy::with_config(&text).workers(1).start().await;
    let client = proxy.client();
    assert_eq!(client.get("/").status().await, 200);

    for n in 0..5 {
        proxy.reload_with(&format!("{text}# {n}\n")).await;
        assert_eq!(client.get("/").status().await, 200);
    }

    assert_eq!((client.connections(), origin.connections()), (1, 1));
    proxy.metrics_show("all six are counted", |m| m.sum("evenkeel_requests_total", &[]) > 5.5).await;
}

#[tokio::test]
async fn a_request_under_way_ends_on_the_configuration_with_which_it_began() {
    let slow =
        Origin::http1().named("slow").answers(Answer::text("old").after(Duration::from_millis(800))).start().await;
    let other = named("other").await;
    let proxy = Proxy::with_config(&file(&[&slow], "")).start().await;
    let client = proxy.client();
    let change = async {
        eventually("the request is at the endpoint", || slow.in_flight() == 1).await;
        proxy.reload_with(&file(&[&other], "").replace("site", "renamed")).await;
    };

    let ask = client.get("/");
    let (answer, ()) = tokio::join!(ask.send(), change);

    assert_eq!((answer.status, answer.text().as_str()), (200, "old"));
    serves(&proxy, "other").await;
    eventually("the removed endpoint's connections are closed", || slow.open_connections() == 0).await;
}

#[tokio::test]
async fn idle_connections_to_a_removed_endpoint_close_also_while_an_answer_of_it_goes_on() {
    let slow = Answer::text("old").after(Duration::from_mins(10));
    let (gone, other) = (Origin::http1().at("/slow", slow).start().await, named("other").await);
    let proxy = Proxy::with_config(&file(&[&gone], "")).workers(1).start().await;
    let mut wire = proxy.wire().await;
    wire.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the long request is there", || gone.in_flight() == 1).await;
    assert_eq!(proxy.client().get("/").status().await, 200);
    assert_eq!(gone.open_connections(), 2);

    proxy.reload_with(&file(&[&other], "")).await;

    eventually("only the busy connection is left", || gone.open_connections() == 1).await;
    assert_eq!(gone.in_flight(), 1);
}

#[tokio::test]
async fn limits_and_timeouts_are_live() {
    let origin = named("good").await;
    let proxy = Proxy::with_config(&file(&[&origin], "")).start().await;
    assert_eq!(proxy.client().post("/", "x".repeat(100)).status().await, 200);

    let text =
        file(&[&origin], "[limits]\nbody_max = \"10B\"\n").replace(":0\"\n", ":0\"\ntimeouts.idle = \"200ms\"\n");
    proxy.reload_with(&text).await;

    until("the limit holds", async || (proxy.client().post("/", "x".repeat(100)).status().await == 413).then_some(()))
        .await;
    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    wire.response().await;
    wire.closed().await;
}

#[tokio::test]
async fn a_changed_number_of_workers_says_that_it_waits_for_a_restart() {
    let origin = named("good").await;
    let text = format!("workers = 2\n{}", file(&[&origin], ""));
    let proxy = Proxy::with_config(&text).start().await;

    proxy.reload_with(&text.replace("workers = 2", "workers = 3")).await;

    eventually_within(Duration::from_secs(5), "the log says so", || {
        proxy.log().lines().any(|line| line.contains("workers") && line.contains("restart"))
    })
    .await;
    assert_eq!(proxy.client().get("/").status().await, 200);
}

#[tokio::test]
async fn the_admin_listener_can_move_while_running() {
    let origin = named("good").await;
    let (port, text) = (unused_port(), file(&[&origin], ""));
    let proxy = Proxy::with_config(&text).start().await;
    let moved = Client::of(&Place::parse(&format!("127.0.0.1:{port}")));

    proxy.edit(Edit::RenameOver, &format!("admin.listen = \"127.0.0.1:{port}\"\n{text}"));

    until("the new one answers", async || {
        moved.get("/readyz").try_send().await.is_ok_and(|response| response.status == 200).then_some(())
    })
    .await;
    until("the old one is gone", async || proxy.admin().connect().await.is_err().then_some(())).await;
}

#[tokio::test]
async fn the_log_can_become_json_while_running() {
    let origin = named("good").await;
    let text = file(&[&origin], "");
    let proxy = Proxy::with_config(&text).start().await;

    proxy.reload_with(&format!("{text}[log]\nformat = \"json\"\n")).await;
    proxy.reload_with(&format!("{text}[log]\nformat = \"json\"\n# again\n")).await;

    eventually("the last line is JSON", || {
        let log = proxy.log();
        log.lines().last().is_some_and(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    })
    .await;
}

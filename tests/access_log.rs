//! One JSON object a line for each request, and nothing that a client sends can forge one.

use evenkeel_testkit::{Origin, Proxy, Signal, Wire, eventually, until};
use std::fs;

async fn logged() -> (Proxy, Origin) {
    let origin = Origin::http1().start().await;
    (Proxy::with_upstream(&origin).route("name = \"all\"").access_log().start().await, origin)
}

#[tokio::test]
async fn a_line_says_who_asked_for_what_and_what_came_of_it() {
    let (proxy, origin) = logged().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let client = proxy.client();

    let response = client.post("/a/b?c=d", "hello").host("shop.org").header("traceparent", trace).send().await;

    let log = proxy.access_log_with(1).await;
    let line = &log[0];
    for (field, value) in [
        ("listener", "web"),
        ("client", "127.0.0.1"),
        ("method", "POST"),
        ("host", "shop.org"),
        ("reason", ""),
        ("route", "all"),
        ("upstream", "site"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ] {
        assert_eq!(line[field], value, "{field} in {line}");
    }
    assert!(line["path"].as_str().is_some_and(|path| path.starts_with("/a/b")), "{line}");
    assert_eq!(line["endpoint"], origin.to_string());
    assert_eq!((&line["status"], &line["attempts"]), (&200.into(), &1.into()), "{line}");
    assert_eq!(
        (&line["bytes_in"], line["bytes_out"].as_u64()),
        (&5.into(), Some(response.body.len() as u64)),
        "{line}"
    );
    assert!(line["total"].as_f64().is_some_and(|seconds| seconds > 0.0 && seconds < 10.0), "{line}");
    assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
}

#[tokio::test]
async fn the_host_is_the_one_that_counts() {
    let (proxy, _origin) = logged().await;

    let response = Wire::exchange(proxy.web(), "GET http://shop.org/x HTTP/1.1\r\nHost: other.org\r\n\r\n").await;

    assert_eq!(response.status, 200);
    assert_eq!(proxy.access_log_with(1).await[0]["host"], "shop.org");
}

#[tokio::test]
async fn an_answer_of_our_own_is_found_by_its_id() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).route("hosts = [\"known.org\"]").access_log().start().await;

    let response = proxy.client().get("/").host("unknown.org").send().await;

    let log = proxy.access_log_with(1).await;
    assert_eq!(log[0]["request_id"].as_str(), response.header("x-request-id"), "{log:?}");
    assert_eq!((&log[0]["status"], &log[0]["reason"]), (&404.into(), &"no_route".into()), "{log:?}");
}

#[tokio::test]
async fn every_request_has_exactly_one_line() {
    let (proxy, _origin) = logged().await;

    let report = proxy.load().kept(4).fresh(4).rate(1_000).requests(1_000).run().await;

    report.assert_all_ok();
    proxy.access_log_with(1_000).await;
    assert_eq!(proxy.client().get("/last").status().await, 200);
    let log = proxy.access_log_with(1_001).await;
    assert_eq!(log.len(), 1_001);
    assert_eq!(log.iter().filter(|line| line["path"] == "/last").count(), 1);
    assert_eq!(proxy.metrics().await.sum("evenkeel_access_log_dropped_total", &[]).to_string(), "0");
}

#[tokio::test]
async fn nothing_that_a_client_sends_can_forge_a_line() {
    let (proxy, _origin) = logged().await;
    let mut sent = 0;
    for request in [
        "GET /\"},{\"forged\":\"yes HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a%0a{\"forged\":1} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: \"},{\"forged\":\"1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \"forged\"\r\n\r\n",
        "FORGED\",\" / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        Wire::exchange(proxy.web(), request).await;
        sent += 1;
    }

    // Each is read as JSON by the kit, and none has a field of the client's.
    let log = proxy.access_log_with(sent).await;

    assert_eq!(log.len(), sent);
    assert!(log.iter().all(|line| line.get("forged").is_none()), "{log:#?}");
}

#[tokio::test]
async fn the_file_is_opened_again_on_usr1() {
    let (proxy, _origin) = logged().await;
    let (path, rotated) = (proxy.folder().join("access.log"), proxy.folder().join("access.log.1"));
    proxy.client().get("/1").send().await;
    proxy.access_log_with(1).await;
    fs::rename(&path, &rotated).unwrap();

    proxy.signal(Signal::Usr1);
    eventually("the file is there again", || path.exists()).await;
    proxy.client().get("/2").send().await;

    let log = proxy.access_log_with(1).await;
    assert_eq!(log[0]["path"], "/2");
    assert_eq!(fs::read_to_string(&rotated).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn it_is_off_unless_the_file_asks_for_it_and_can_be_turned_on_while_running() {
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin);
    let text = builder.text();
    let proxy = builder.start().await;
    assert_eq!(proxy.client().get("/").status().await, 200);

    proxy.reload_with(&format!("{text}[access_log]\noutput = \"stdout\"\n")).await;
    until("lines come", async || {
        proxy.client().get("/on").send().await;
        (proxy.stdout().len() > 1).then_some(())
    })
    .await;

    for line in &proxy.stdout()[1..] {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["path"], "/on", "{line}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_a_refusal_with_its_name() {
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin).more("[access_log]\noutput = \"/nowhere/access.log\"");

    let exit = builder.refuses().await;

    assert_eq!(exit.code, Some(2), "{}", exit.stderr);
    assert!(exit.stderr.contains("/nowhere/access.log"), "{}", exit.stderr);
}

#[tokio::test]
async fn it_can_go_to_standard_output_behind_the_ready_line() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).more("[access_log]\noutput = \"stdout\"").start().await;

    assert_eq!(proxy.client().get("/x").status().await, 200);

    eventually("the line is there", || proxy.stdout().len() == 2).await;
    let line: serde_json::Value = serde_json::from_str(&proxy.stdout()[1]).unwrap();
    assert_eq!((&line["path"], &line["status"]), (&"/x".into(), &200.into()), "{line}");
}

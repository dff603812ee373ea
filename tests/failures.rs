//! What the log says of endpoints that fail, with or without an access log: little, and enough.

use evenkeel_testkit::{DeadEndpoint, Origin, Proxy, RawOrigin, Script, Wire, eventually};

const GET: &str = "GET /secret%20path HTTP/1.1\r\nHost: a\r\n\r\n";

/// The warnings of this reason.
fn warnings(proxy: &Proxy, reason: &str) -> Vec<String> {
    let mark = format!("reason=\"{reason}\"");
    proxy.log().lines().filter(|line| line.contains("WARN") && line.contains(&mark)).map(str::to_owned).collect()
}

/// Waits until they are so many.
async fn warned(proxy: &Proxy, reason: &str, lines: usize) -> Vec<String> {
    eventually(&format!("{lines} warnings of {reason}"), || warnings(proxy, reason).len() >= lines).await;
    warnings(proxy, reason)
}

/// What a field says.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name} in {line}"));
    rest.split(' ').next().unwrap_or_default().trim_matches('"')
}

#[tokio::test]
async fn each_way_in_which_an_endpoint_fails_leaves_a_warning_with_the_id_that_its_client_was_told() {
    for (script, status, reason) in [
        (Script::new().reads_request().closes(), 502, "upstream_reset"),
        (Script::answering("HTTP/1.1 200 OK\r\nContent Length: 0\r\n\r\n"), 502, "upstream_protocol"),
        (Script::new().reads_request().stalls(), 504, "upstream_timeout"),
    ] {
        let origin = RawOrigin::start(script).await;
        let upstream = "timeouts = { response_head = \"200ms\" }";
        let proxy = Proxy::with_upstream(&origin).upstream(upstream).start().await;

        let request = GET.replace("GET", "POST").replace("Host", "Content-Length: 0\r\nHost");
        let answer = Wire::exchange(proxy.web(), request).await;

        assert_eq!(answer.status, status, "{answer:?}");
        let line = warned(&proxy, reason, 1).await.remove(0);
        assert_eq!(field(&line, "request"), answer.header("x-request-id").expect("an id"), "{line}");
        assert_eq!((field(&line, "upstream"), field(&line, "left_out")), ("site", "0"), "{line}");
        assert_eq!(field(&line, "endpoint"), origin.place().to_string(), "{line}");
        assert!(!line.contains("secret"), "nothing of a client's: {line}");
    }
}

#[tokio::test]
async fn many_failures_are_one_warning_a_second_which_counts_the_others_and_names_the_last() {
    let dead = DeadEndpoint::refusing();
    let proxy = Proxy::with_upstream(&dead).start().await;

    let mut last = String::new();
    for _ in 0..50 {
        let answer = Wire::exchange(proxy.web(), GET).await;
        assert_eq!(answer.status, 502);
        last = answer.header("x-request-id").expect("an id").to_owned();
    }

    // All are told of, though nothing fails any more.
    let told = |lines: &[String]| {
        lines.iter().map(|line| 1 + field(line, "left_out").parse::<usize>().expect("a number")).sum::<usize>()
    };
    eventually("the last one is named", || {
        warnings(&proxy, "connect_failed").last().is_some_and(|line| field(line, "request") == last)
    })
    .await;
    let lines = warnings(&proxy, "connect_failed");
    assert!(lines.len() < 20, "{lines:#?}");
    // A line that only counts is of one of those that it counts.
    let summaries = lines.iter().filter(|line| line.contains("left out")).count();
    assert_eq!(told(&lines) - summaries, 50, "{lines:#?}");
}

#[tokio::test]
async fn an_upstream_of_which_no_endpoint_may_be_asked_leaves_a_warning() {
    let text = "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nupstream = \"site\"\n\
                [upstreams.site]\nendpoints = [{ address = \"127.0.0.1:1\", drain = true }]\n";
    let proxy = Proxy::with_config(text).start().await;

    let answer = Wire::exchange(proxy.web(), GET).await;

    let line = warned(&proxy, "no_endpoint", 1).await.remove(0);
    assert_eq!((answer.status, field(&line, "upstream"), field(&line, "endpoint")), (503, "site", ""), "{line}");
    assert_eq!(field(&line, "request"), answer.header("x-request-id").expect("an id"), "{line}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_leaves_a_warning() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let origin = RawOrigin::start(Script::new().reads_request().sends(cut).closes()).await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    assert!(!Wire::exchange(proxy.web(), GET).await.is_complete());

    warned(&proxy, "upstream_reset", 1).await;
}

#[tokio::test]
async fn a_failure_that_another_endpoint_makes_good_is_told_and_says_so() {
    let (dead, origin) = (DeadEndpoint::refusing(), Origin::http1().start().await);
    let upstream = "balance = \"round_robin\"";
    let endpoints = [dead.to_string(), origin.to_string()];
    let proxy = Proxy::with_endpoints(&endpoints).upstream(upstream).workers(1).start().await;

    assert_eq!(proxy.client().get("/").repeat(2).statuses().await, [200; 2]);

    let line = warned(&proxy, "connect_failed", 1).await.remove(0);
    assert!(line.contains("it is tried again"), "{line}");
    assert_eq!(field(&line, "endpoint"), dead.to_string());
}

#[tokio::test]
async fn what_clients_do_wrong_leaves_no_warning_nor_does_a_connection_that_an_endpoint_had_closed() {
    let origin = Origin::http1().closes_after_each_response().start().await;
    let proxy = Proxy::with_upstream(&origin).route("hosts = [\"a\"]").start().await;

    for request in [GET, "GET / HTTP/1.1\r\nHost: other\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "bad\r\n\r\n"]
    {
        Wire::exchange(proxy.web(), request).await;
    }
    let client = proxy.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").host("a").status().await, 200);
    }
    assert!(!proxy.log().contains("WARN"), "{}", proxy.log());
}

#[tokio::test]
async fn a_session_that_finds_no_endpoint_leaves_a_warning_too() {
    let dead = DeadEndpoint::refusing();
    let text = format!(
        "[listeners.db]\nlisten = \"127.0.0.1:0\"\nprotocol = \"tcp\"\nupstream = \"db\"\n[upstreams.db]\nendpoints = [\"{dead}\"]\n"
    );
    let proxy = Proxy::with_config(&text).start().await;

    Wire::to(proxy.at("db")).await.closed().await;

    let line = warned(&proxy, "connect_failed", 1).await.remove(0);
    assert_eq!((field(&line, "upstream"), field(&line, "request")), ("db", "-"), "{line}");
}

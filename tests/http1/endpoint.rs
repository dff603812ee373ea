//! Towards the endpoint: what leaves is one well-formed message with the whole body (U1 to U5, U8, U9, U15).

use evenkeel_testkit::{DeadEndpoint, Ending, Origin, Proxy, RawOrigin, Script, Wire, eventually};
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn recorded() -> (Proxy, RawOrigin) {
    let origin = RawOrigin::start(Script::answering(OK)).await;
    (Proxy::with_upstream(&origin).start().await, origin)
}

fn has_field(request: &str, field: &str) -> bool {
    request.to_ascii_lowercase().contains(&format!("\r\n{}\r\n", field.to_ascii_lowercase()))
}

/// The body of a request as the origin got it: its chunks joined.
fn body_of(request: &str) -> String {
    let (head, body) = request.split_once("\r\n\r\n").expect("a request has a head");
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut rest, mut joined) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        joined.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").expect("a chunk ends with CRLF");
    }
    joined
}

#[tokio::test]
async fn u1_a_post_of_an_http_1_0_client_keeps_its_body() {
    let (proxy, origin) = recorded().await;

    let response = Wire::exchange(proxy.web(), "POST /a HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;

    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    let request = origin.the_request();
    assert!(request.starts_with("POST /a HTTP/1.1\r\n"), "{request}");
    assert!(has_field(&request, "content-length: 5"), "{request}");
    assert_eq!(body_of(&request), "hello");
}

#[tokio::test]
async fn u2_a_get_with_a_chunked_body_keeps_its_body() {
    let (proxy, origin) = recorded().await;
    let request =
        "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";

    assert_eq!(Wire::exchange(proxy.web(), request).await.status, 200);

    let request = origin.the_request();
    assert!(has_field(&request, "transfer-encoding: chunked"), "{request}");
    assert!(!request.to_ascii_lowercase().contains("content-length"), "{request}");
    assert_eq!(body_of(&request), "hello world");
}

#[tokio::test]
async fn a_get_without_a_body_gets_none_on_the_way() {
    let (proxy, origin) = recorded().await;

    assert_eq!(Wire::exchange(proxy.web(), "GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);

    let request = origin.the_request().to_ascii_lowercase();
    assert!(!request.contains("transfer-encoding") && !request.contains("content-length"), "{request}");
}

#[tokio::test]
async fn u3_a_body_goes_whole_to_the_endpoint_that_is_tried_next() {
    let (dead, origin) = (DeadEndpoint::refusing(), RawOrigin::start(Script::answering(OK)).await);
    let endpoints = [dead.to_string(), origin.to_string()];
    let proxy = Proxy::with_endpoints(&endpoints).upstream("balance = \"round_robin\"").start().await;

    for framing in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        // Both places of the round.
        for _ in 0..2 {
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}");
            assert_eq!(Wire::exchange(proxy.web(), request).await.status, 200);
        }
    }

    let requests = origin.requests();
    assert_eq!(requests.iter().map(|request| body_of(request)).collect::<Vec<_>>(), ["hello"; 4]);
}

#[tokio::test]
async fn u4_a_request_body_shorter_than_its_length_never_looks_complete() {
    let (proxy, origin) = recorded().await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this").await;
    eventually("the endpoint has the head", || origin.received_text().contains("\r\n\r\n")).await;

    wire.finish().await;

    origin.is_left(0).await;
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
    proxy.is_idle().await;
}

#[tokio::test]
async fn u4_a_chunked_request_body_that_is_cut_never_gets_its_last_chunk() {
    let (proxy, origin) = recorded().await;
    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    eventually("the endpoint has the head", || origin.received_text().contains("\r\n\r\n")).await;

    wire.reset();

    origin.is_left(0).await;
    let received = origin.received_text();
    assert!(origin.requests().is_empty() && !received.contains("0\r\n\r\n"), "{received:?}");
}

#[tokio::test]
async fn u5_a_connection_that_answered_http_1_0_is_not_used_again() {
    let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
    let origin = RawOrigin::start(Script::answering(old)).await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    for _ in 0..3 {
        let response = proxy.client().post("/", "hello").send().await;
        assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    }

    assert_eq!(origin.connections(), 3);
    for request in origin.requests() {
        assert!(request.starts_with("POST / HTTP/1.1\r\n") && body_of(&request) == "hello", "{request}");
    }
}

#[tokio::test]
async fn u8_equal_lengths_become_one_or_are_refused() {
    for length in ["Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5, 5"] {
        let (proxy, origin) = recorded().await;

        let response =
            Wire::exchange(proxy.web(), format!("POST / HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\nhello")).await;

        if response.status == 200 {
            let request = origin.the_request().to_ascii_lowercase();
            assert_eq!(request.matches("content-length: 5\r\n").count(), 1, "{request}");
            assert_eq!(request.matches("content-length").count(), 1, "{request}");
        } else {
            assert_eq!(response.status, 400);
            assert!(origin.requests().is_empty());
        }
    }
}

#[tokio::test]
async fn u9_an_absolute_target_leaves_in_origin_form_with_its_authority_as_host() {
    let (proxy, origin) = recorded().await;
    let request = "GET http://real.org:81/a?b=c HTTP/1.1\r\nHost: other.org\r\n\r\n";

    assert_eq!(Wire::exchange(proxy.web(), request).await.status, 200);

    let request = origin.the_request();
    assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{request}");
    assert!(has_field(&request, "host: real.org:81"), "{request}");
    assert_eq!(request.to_ascii_lowercase().matches("\r\nhost:").count(), 1, "{request}");
}

#[tokio::test]
async fn u9_an_absolute_target_without_a_path_is_the_root() {
    let (proxy, origin) = recorded().await;

    let response = Wire::exchange(proxy.web(), "GET http://real.org HTTP/1.1\r\nHost: real.org\r\n\r\n").await;

    assert_eq!(response.status, 200);
    assert!(origin.the_request().starts_with("GET / HTTP/1.1\r\n"), "{}", origin.the_request());
}

#[tokio::test]
async fn u9_options_for_the_whole_server_keeps_its_star() {
    let (proxy, origin) = recorded().await;

    assert_eq!(Wire::exchange(proxy.web(), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);

    assert!(origin.the_request().starts_with("OPTIONS * HTTP/1.1\r\n"), "{}", origin.the_request());
}

#[tokio::test]
async fn u15_an_idle_connection_closed_by_the_endpoint_costs_the_client_nothing() {
    let origin = Origin::http1().closes_after_each_response().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    let statuses = proxy.client().get("/").repeat(100).statuses().await;

    assert_eq!(statuses, [200; 100]);
    assert_eq!(origin.connections(), 100);
}

#[tokio::test]
async fn u15_a_post_that_was_never_written_is_sent_on_another_connection() {
    let origin = Origin::http1().closes_after_each_response().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let client = proxy.client();

    for n in 0..100 {
        let response = client.post("/", format!("body {n}")).send().await;
        assert_eq!(response.json()["body"], format!("body {n}"));
    }

    assert_eq!((origin.requests(), origin.connections()), (100, 100));
}

#[tokio::test]
async fn a_post_that_may_have_arrived_is_not_sent_again() {
    let origin = RawOrigin::start(Script::new().reads_request().resets()).await;
    let proxy = Proxy::with_endpoints([&origin.to_string()]).start().await;

    let response = proxy.client().post("/", "pay").send().await;

    assert_eq!(response.status, 502);
    assert_eq!(origin.requests().len(), 1, "{:?}", origin.requests());
    proxy.counts_local("upstream_reset", 1).await;
}

#[tokio::test]
async fn a_get_without_an_answer_is_sent_once_more_to_another_endpoint() {
    let breaking = RawOrigin::start(Script::new().reads_request().resets()).await;
    let good = Origin::http1().named("good").start().await;
    let proxy = Proxy::with_endpoints([breaking.to_string(), good.to_string()])
        .workers(1)
        .upstream("balance = \"round_robin\"")
        .start()
        .await;

    assert_eq!(proxy.client().get("/").repeat(4).origins().await, ["good"; 4]);
    assert!(!breaking.requests().is_empty());
}

#[tokio::test]
async fn connections_to_an_endpoint_are_kept_and_used_again() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;

    for _ in 0..20 {
        assert_eq!(proxy.client().get("/").repeat(5).statuses().await, [200; 5]);
    }

    assert_eq!(origin.connections(), 1);
    let metrics = proxy.metrics().await;
    assert_eq!(metrics.get("evenkeel_pool_reuse_total", &[("hit", "true")]), Some(99.0));
    assert_eq!(metrics.get("evenkeel_pool_reuse_total", &[("hit", "false")]), Some(1.0));
}

#[tokio::test]
async fn a_pool_can_be_turned_off() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).upstream("pool = { idle_connections_max = 0 }").start().await;

    assert_eq!(proxy.client().get("/").repeat(10).statuses().await, [200; 10]);

    assert_eq!(origin.connections(), 10);
    eventually("they are closed", || origin.open_connections() == 0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let origin = RawOrigin::start(Script::answering(OK)).await;
    let proxy = Proxy::with_upstream(&origin).upstream("pool = { idle = \"200ms\" }").start().await;

    assert_eq!(proxy.client().get("/").status().await, 200);

    assert_eq!(origin.is_left(0).await, Ending::Fin);
}

#[tokio::test]
async fn bytes_after_an_answer_make_the_connection_unusable() {
    let origin = RawOrigin::start(evenkeel_testkit::hostile::sends_more_than_it_promised()).await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;

    let client = proxy.client();
    for response in client.get("/").repeat(3).responses().await {
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    }

    assert_eq!(origin.connections(), 3);
}

#[tokio::test]
async fn requests_without_a_body_stay_without_one_whatever_their_method() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for length in ["", "Content-Length: 0\r\n"] {
            let (proxy, origin) = recorded().await;
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n{length}\r\n");

            assert_eq!(Wire::exchange(proxy.web(), request).await.status, 200, "{method} {length}");

            let request = origin.the_request().to_ascii_lowercase();
            assert!(!request.contains("transfer-encoding"), "{request}");
            assert!(!request.contains("content-length") || request.contains("content-length: 0\r\n"), "{request}");
        }
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_before_the_endpoint_said_that_it_would() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=2\r\n\r\nok";
    let origin = RawOrigin::start(Script::answering(answer)).await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let begun = Instant::now();

    assert_eq!(proxy.client().get("/").status().await, 200);

    origin.is_left(0).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn connections_are_used_again_after_an_endpoint_was_restarted_once() {
    let (both, restart) = (tokio::sync::watch::Sender::new(false), tokio::sync::watch::Sender::new(false));
    let before = Script::new().reads_request().waits_for(&both).sends(OK).waits_for(&restart).closes();
    let origin = RawOrigin::start_each(vec![before.clone(), before, Script::answering(OK)]).await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;
    let asked = [(); 2].map(|()| {
        let client = proxy.client();
        tokio::spawn(async move { client.get("/").status().await })
    });
    eventually("both are there", || origin.requests().len() == 2).await;
    both.send_replace(true);
    for answer in asked {
        assert_eq!(answer.await.unwrap(), 200);
    }
    // Two connections of the same age are closed at once.
    tokio::time::sleep(Duration::from_millis(700)).await;
    restart.send_replace(true);
    proxy.metrics_show("no connection", |m| m.sum("evenkeel_upstream_connections", &[]) < 0.5).await;

    assert_eq!(proxy.client().get("/").status().await, 200);
    // For longer than those had been idle.
    tokio::time::sleep(Duration::from_millis(1400)).await;
    assert_eq!(proxy.client().get("/").status().await, 200);

    assert_eq!(origin.connections(), 3);
}

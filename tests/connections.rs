//! Connections to endpoints: kept, closed at the worst moment, and answered on before the request was sent.

use evenkeel_testkit::{Chance, Ending, Origin, Proxy, RawOrigin, Script, Wire};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An endpoint that closes a connection when it has been idle for this long, to the millisecond and without a word.
async fn impatient(idle: Duration) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a free port");
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            tokio::spawn(answer_until_idle(stream, idle));
        }
    });
    (address, accepted)
}

async fn answer_until_idle(mut stream: TcpStream, idle: Duration) {
    let mut buffer = vec![0; 4096];
    while let Ok(Ok(read)) = timeout(idle, stream.read(&mut buffer)).await {
        // A head and its two bytes of body come in one piece or end with the two bytes.
        if read == 0 {
            return;
        }
        if buffer[..read].ends_with(b"hi")
            && stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err()
        {
            return;
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_closes_idle_connections_at_the_worst_moment_costs_no_post_a_502() {
    let (endpoint, accepted) = impatient(Duration::from_secs(1)).await;
    let proxy = Proxy::with_upstream(endpoint).start().await;
    let mut chance = Chance::printed();

    let mut all = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let mut chance = Chance::from_seed(chance.next_u64());
        let client = proxy.client();
        all.spawn(async move {
            let mut statuses = Vec::new();
            for _ in 0..8 {
                statuses.push(client.post("/", "hi").status().await);
                // What is under test happens at random moments, most of all at the endpoint's own; there is no condition to wait for.
                let pause = if chance.below(4) == 0 { 100 + chance.below(1900) } else { 996 + chance.below(6) };
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            // Until the proxy has seen two closes it can only look before it sends, and the endpoint may close in between.
            statuses.split_off(3)
        });
    }
    let statuses: Vec<u16> = all.join_all().await.into_iter().flatten().collect();

    assert_eq!(statuses, [200; 32 * 5]);
    let metrics = proxy.metrics().await;
    assert!(metrics.sum("evenkeel_pool_reuse_total", &[("hit", "true")]) > 0.0, "connections are kept all the same");
    assert!(accepted.load(SeqCst) < 256);
}

#[tokio::test]
async fn an_announced_idle_time_is_kept_with_a_margin() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=1\r\n\r\nok";
    let origin = RawOrigin::start(Script::answering(answer)).await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;

    assert_eq!(proxy.client().get("/").repeat(3).statuses().await, [200; 3]);

    // One second less the margin of one second: not kept at all.
    assert_eq!(origin.connections(), 3);
}

#[tokio::test]
async fn an_early_answer_reaches_the_client_although_the_endpoint_takes_no_more_of_the_upload() {
    let refuses = Script::new()
        .reads_head()
        .sends("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 9\r\nconnection: close\r\n\r\ntoo large")
        .closes();
    let origin = RawOrigin::start(refuses).await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    for _ in 0..5 {
        let mut wire = proxy.wire().await;
        wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n").await;
        // A client that goes on sending until it is told to stop.
        for _ in 0..20 {
            wire.send(vec![b'x'; 100_000]).await;
        }
        let response = wire.response().await;
        assert_eq!((response.status, response.text().as_str()), (413, "too large"));
        assert_eq!(wire.closed().await, Ending::Fin);
    }
}

#[tokio::test]
async fn a_small_body_that_nobody_wants_costs_its_client_no_connection() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin)
        .listener("timeouts = { request_head = \"500ms\", idle = \"1h\" }")
        .route("hosts = [\"a\"]")
        .start()
        .await;
    let mut wire = proxy.wire().await;
    for _ in 0..3 {
        // The answer is there before the body is.
        wire.send("POST / HTTP/1.1\r\nHost: other\r\nContent-Length: 20000\r\n\r\n").await;
        let refused = wire.response().await;
        assert_eq!((refused.status, refused.header("connection")), (404, None));
        wire.send(vec![b'x'; 20_000]).await;

        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(wire.response().await.status, 200);
    }
    // What was thrown away is not the begin of a head.
    wire.send("POST / HTTP/1.1\r\nHost: other\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(wire.response().await.status, 404);
    wire.send("hello").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(wire.response().await.status, 200);

    // One that never comes has the time of a head, and no second answer.
    wire.send("POST / HTTP/1.1\r\nHost: other\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(wire.response().await.status, 404);
    wire.send("he").await;
    assert_eq!(wire.rest().await.0, b"");

    for late in [
        "Content-Length: 100000\r\n",
        "Expect: 100-continue\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let mut wire = proxy.wire().await;
        wire.send(format!("POST / HTTP/1.1\r\nHost: other\r\n{late}\r\n")).await;
        let refused = wire.response().await;
        assert_eq!((refused.status, refused.header("connection")), (404, Some("close")), "{late}");
        assert_eq!(wire.closed().await, Ending::Fin);
    }
}

/// An endpoint that answers the first request on each connection, and closes it as soon as it has read a second one.
async fn closes_what_is_used_again() -> RawOrigin {
    RawOrigin::start(Script::new().reads_request().sends(OK).reads_request().closes()).await
}

#[tokio::test]
async fn a_request_lost_on_an_idle_connection_is_sent_again_over_a_new_one_to_the_only_endpoint() {
    let origin = closes_what_is_used_again().await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;
    let client = proxy.client();

    // No more than the retry budget of an upstream with little traffic: three in any second.
    assert_eq!(client.get("/").repeat(4).statuses().await, [200; 4]);

    assert_eq!(origin.connections(), 4);
    let answered = [("outcome", "answered")];
    proxy.metrics_show("each was sent twice", |m| (m.sum("evenkeel_retries_total", &answered) - 3.0).abs() < 0.5).await;
}

#[tokio::test]
async fn a_post_lost_on_an_idle_connection_is_not_sent_again() {
    let origin = closes_what_is_used_again().await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;
    let client = proxy.client();

    assert_eq!(client.post("/", "1").repeat(2).statuses().await, [200, 502]);

    assert_eq!(origin.requests().len(), 2, "the second was sent once");
    proxy.counts_local("upstream_reset", 1).await;
}

/// A POST of this body, whole or in chunks, with a promise that doing it twice does it once.
fn keyed(body: &str, chunked: bool) -> String {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \"8e03978e\"\r\n";
    match chunked {
        true => format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
        false => format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
    }
}

#[tokio::test]
async fn a_post_with_an_idempotency_key_is_sent_again_where_its_route_says_so() {
    for chunked in [false, true] {
        let origin = closes_what_is_used_again().await;
        let route = "retry_idempotency_key = true";
        let proxy = Proxy::with_upstream(&origin).route(route).workers(1).start().await;

        for _ in 0..3 {
            assert_eq!(Wire::exchange(proxy.web(), keyed("pay 5", chunked)).await.status, 200);
        }
        assert_eq!(proxy.client().post("/", "no key").status().await, 502);

        let requests = origin.requests();
        assert_eq!(requests.len(), 3 + 2 + 1, "two of the three were lost, and sent again");
        assert!(
            requests[..5].iter().all(|request| request.contains("pay 5") && *request == requests[0]),
            "{requests:#?}"
        );
    }
}

#[tokio::test]
async fn a_post_with_an_idempotency_key_is_sent_once_by_default_or_when_its_body_is_long() {
    for (route, length) in [("", 5), ("retry_idempotency_key = true", 65 * 1024)] {
        let origin = closes_what_is_used_again().await;
        let proxy = Proxy::with_upstream(&origin).route(route).workers(1).start().await;
        let body = "x".repeat(length);

        let mut statuses = Vec::new();
        for _ in 0..2 {
            statuses.push(Wire::exchange(proxy.web(), keyed(&body, false)).await.status);
        }

        assert_eq!(statuses, [200, 502], "{route}");
        assert_eq!(origin.requests().len(), 2, "{route}");
    }
}

/// An endpoint that accepts one connection, answers one request on it, and closes when it has the next.
async fn dies_with_its_only_connection() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a free port");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the proxy connects");
        drop(listener);
        let mut buffer = vec![0; 4096];
        assert_ne!(stream.read(&mut buffer).await.expect("a request"), 0);
        stream.write_all(OK.as_bytes()).await.expect("it is taken");
        assert_ne!(stream.read(&mut buffer).await.expect("another request"), 0);
    });
    address
}

#[tokio::test]
async fn a_request_whose_endpoint_dies_with_its_idle_connection_goes_to_another_one() {
    let (dying, living) = (dies_with_its_only_connection().await, Origin::http1().start().await);
    let endpoints = [dying.to_string(), living.to_string()];
    let proxy = Proxy::with_endpoints(endpoints).upstream("balance = \"round_robin\"").workers(1).start().await;

    assert_eq!(proxy.client().get("/").repeat(6).statuses().await, [200; 6]);

    assert_eq!(living.requests(), 5);
}

/// While a killed process goes down, its system may still accept for it.
#[tokio::test]
async fn a_request_whose_endpoint_still_accepts_while_it_dies_goes_to_another_one() {
    let once = Script::new().reads_request().sends(OK).reads_request().closes();
    let never = Script::new().reads_request().closes();
    let dying = RawOrigin::start_each(vec![once, never]).await;
    let living = Origin::http1().start().await;
    let endpoints = [dying.to_string(), living.to_string()];
    let proxy = Proxy::with_endpoints(endpoints).upstream("balance = \"round_robin\"").workers(1).start().await;

    // The first is answered; others are lost with the connection that was kept, and with new ones.
    assert_eq!(proxy.client().get("/").repeat(6).statuses().await, [200; 6]);

    assert!(dying.requests().len() >= 3, "{:?}", dying.requests());
    assert_eq!(living.requests(), 5);
}

#[tokio::test]
async fn every_line_of_a_field_is_there_when_a_request_is_sent_again() {
    let dying = RawOrigin::start(evenkeel_testkit::hostile::resets_instead_of_an_answer()).await;
    let living = RawOrigin::start(Script::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    let proxy = Proxy::with_endpoints([&dying, &living]).upstream("balance = \"round_robin\"").workers(1).start().await;

    for _ in 0..2 {
        let request = "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3\r\n\r\n";
        assert_eq!(Wire::exchange(proxy.web(), request).await.status, 200);
    }

    assert!(dying.connections() >= 1, "one of the two went there first");
    for request in living.requests() {
        let lower = request.to_lowercase();
        assert!(lower.contains("x-a: 1\r\n") && lower.contains("x-a: 3\r\n"), "{request}");
    }
}

#[tokio::test]
async fn idle_connections_of_an_endpoint_that_restarts_are_not_used_again() {
    let mut origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    assert_eq!(proxy.client().post("/", "x").repeat(4).statuses().await, [200; 4]);

    origin.stop().await;
    origin.restart();

    assert_eq!(proxy.client().post("/", "x").repeat(4).statuses().await, [200; 4]);
}

const UPLOAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";

#[tokio::test]
async fn a_client_is_told_to_continue_when_its_endpoint_agrees() {
    let (gate, _) = tokio::sync::watch::channel(false);
    let (arrived, _) = tokio::sync::watch::channel(false);
    let agrees = Script::new()
        .reads_head()
        .waits_for(&gate)
        .sends("HTTP/1.1 100 Continue\r\n\r\n")
        .waits_for(&arrived)
        .sends("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let origin = RawOrigin::start(agrees).await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let mut wire = proxy.wire().await;

    wire.send(UPLOAD).await;
    origin.has_received(0, 1).await;
    assert!(origin.received_text().to_lowercase().contains("expect: 100-continue"));
    gate.send_replace(true);

    assert_eq!(wire.response().await.status, 100);
    wire.send("hi").await;
    arrived.send_replace(true);
    assert_eq!(wire.response().await.status, 200);
}

#[tokio::test]
async fn an_endpoint_that_refuses_an_expected_body_costs_no_upload() {
    let refuses = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";
    let origin = RawOrigin::start(Script::new().reads_head().sends(refuses).stalls()).await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let mut wire = proxy.wire().await;

    wire.send(UPLOAD).await;

    // The first answer is the final one: no 100 was sent, so the client keeps its body.
    assert_eq!(wire.response().await.status, 401);
}

#[tokio::test]
async fn an_endpoint_that_knows_no_100_gets_the_body_after_a_short_wait() {
    let origin = Origin::http1().start().await;
    let silent = RawOrigin::start(Script::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    for endpoint in [origin.to_string(), silent.to_string()] {
        let proxy = Proxy::with_upstream(endpoint).start().await;
        let mut wire = proxy.wire().await;
        wire.send(UPLOAD).await;
        assert_eq!(wire.response().await.status, 100);
        wire.send("hi").await;
        assert_eq!(wire.response().await.status, 200);
    }
}

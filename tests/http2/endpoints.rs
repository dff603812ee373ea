//! Endpoints that speak HTTP/2: clients of both kinds, streams that share a connection, and what becomes of them when it ends.

use super::{
    origin::{H2Origin, echo},
    talk::{Talk, request, whole},
};
use bytes::Bytes;
use evenkeel_testkit::{
    Builder, DeadEndpoint, Frame, FrameWire, Origin, Proxy, RawOrigin, Script, Socket, Wire, eventually, in_time,
};
use h2::Reason;
use http::{HeaderMap, Response};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::Semaphore};

/// A proxy before an endpoint that speaks HTTP/2.
fn before(origin: &H2Origin) -> Builder {
    h2c_endpoint(&origin.place)
}

fn h2c_endpoint(endpoint: impl std::fmt::Display) -> Builder {
    Proxy::with_upstream(endpoint).upstream("protocol = \"h2c\"").workers(1)
}

fn text(head: &http::request::Parts, name: &str) -> Option<String> {
    head.headers.get(name).map(|value| value.to_str().expect("text").to_owned())
}

#[tokio::test]
async fn a_client_of_http_1_is_served_over_http_2() {
    let origin = H2Origin::echo().await;
    let proxy = before(&origin).start().await;

    let answer = proxy.client().post("/there?a=b", "hello").send().await;

    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let head = origin.head();
    assert_eq!(head.uri.to_string(), format!("http://{}/there?a=b", proxy.web()));
    assert_eq!((head.method.as_str(), head.version), ("POST", http::Version::HTTP_2));
    assert_eq!((text(&head, "host"), text(&head, "connection"), text(&head, "transfer-encoding")), (None, None, None));
    assert_eq!(
        (text(&head, "content-length").as_deref(), text(&head, "via").as_deref()),
        (Some("5"), Some("1.1 evenkeel"))
    );
    proxy.is_idle().await;
}

#[tokio::test]
async fn trailers_pass_in_both_directions_from_a_client_of_http_1() {
    let origin = H2Origin::echo().await;
    let proxy = before(&origin).start().await;
    let mut wire = proxy.wire().await;

    wire.send("POST / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")
        .await;

    let answer = wire.response().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{answer:?}");
    let head = origin.head();
    assert_eq!((text(&head, "te").as_deref(), text(&head, "content-length")), (Some("trailers"), None));
}

#[tokio::test]
async fn a_client_of_http_2_reaches_the_endpoint_with_all_that_it_sent() {
    let origin = H2Origin::echo().await;
    let proxy = before(&origin).listener("protocol = \"h2c\"").start().await;
    let asked = request("POST", "/x?y").header("te", "trailers").header("cookie", "a=1").header("cookie", "b=2");
    let trailers: HeaderMap = [("x-sum".parse().unwrap(), "7".parse().unwrap())].into_iter().collect();

    let answer = Talk::to(proxy.web()).await.post(asked, "hello", Some(trailers)).await.unwrap();

    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(answer.trailers.expect("trailers")["x-sum"], "7");
    let head = origin.head();
    assert_eq!(head.uri.to_string(), "http://a.test/x?y");
    assert_eq!((text(&head, "te").as_deref(), text(&head, "cookie").as_deref()), (Some("trailers"), Some("a=1; b=2")));
    assert_eq!((text(&head, "host"), text(&head, "connection")), (None, None));
    proxy.is_idle().await;
}

#[tokio::test]
async fn large_bodies_pass_whole() {
    let origin = H2Origin::echo().await;
    let proxy = before(&origin).start().await;
    let body = Bytes::from((0..8 << 20).map(|n: u32| n.to_le_bytes()[n as usize % 3]).collect::<Vec<u8>>());

    let answer = proxy.client().post("/", body.clone()).send().await;

    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "the same bytes");
}

#[tokio::test]
async fn requests_share_a_connection_from_the_first_moment() {
    let origin = H2Origin::echo().await;
    let proxy = before(&origin).listener("protocol = \"h2c\"").start().await;
    let talk = Talk::to(proxy.web()).await;

    let asked = (0..50).map(|_| {
        let talk = talk.clone();
        tokio::spawn(async move { talk.ask(request("GET", "/")).await.unwrap().status })
    });
    for answer in asked.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), 200);
    }

    assert_eq!(origin.connections(), 1);
    let metrics = proxy
        .metrics_show("one idle connection", |m| m.sum("evenkeel_upstream_connections", &[("state", "idle")]) == 1.0)
        .await;
    assert_eq!(metrics.sum("evenkeel_upstream_connections", &[("state", "active")]), 0.0);
    assert_eq!(metrics.sum("evenkeel_pool_reuse_total", &[("hit", "false")]), 1.0);
    assert_eq!(metrics.sum("evenkeel_pool_reuse_total", &[("hit", "true")]), 49.0);
}

#[tokio::test]
async fn an_endpoint_never_gets_more_streams_than_it_takes() {
    let gate = Arc::new(Semaphore::new(0));
    let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let (at, seen, counted) = (Arc::clone(&gate), Arc::clone(&most), Arc::clone(&now));
    let origin = H2Origin::with(builder, move |stream| {
        let (gate, most, now) = (Arc::clone(&at), Arc::clone(&seen), Arc::clone(&counted));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            gate.acquire().await.expect("open").forget();
            echo(stream).await
        }
    })
    .await;
    let proxy = before(&origin).start().await;

    let asked: Vec<_> = (0..6)
        .map(|_| {
            let client = proxy.client();
            tokio::spawn(async move { client.get("/").send().await.status })
        })
        .collect();
    eventually("all are there at once", || now.load(Ordering::Relaxed) == 6).await;
    assert_eq!(origin.connections(), 3);
    gate.add_permits(6);

    for answer in asked {
        assert_eq!(answer.await.unwrap(), 200, "none was refused");
    }
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_and_nothing_else() {
    let reset = Arc::<AtomicUsize>::default();
    let seen = Arc::clone(&reset);
    let origin = H2Origin::start(move |(request, mut respond)| {
        let reset = Arc::clone(&seen);
        async move {
            match request.uri().path() {
                "/before" => {
                    let code = std::future::poll_fn(|cx| respond.poll_reset(cx)).await?;
                    reset.fetch_add(usize::from(code == Reason::CANCEL), Ordering::Relaxed);
                    Ok(())
                }
                "/within" => {
                    let mut send = respond.send_response(Response::new(()), false)?;
                    send.send_data("a begin".into(), false)?;
                    let code = std::future::poll_fn(|cx| send.poll_reset(cx)).await?;
                    reset.fetch_add(usize::from(code == Reason::CANCEL), Ordering::Relaxed);
                    Ok(())
                }
                _ => echo((request, respond)).await,
            }
        }
    })
    .await;
    let proxy = before(&origin).start().await;

    for path in ["/before", "/within"] {
        let mut wire = proxy.wire().await;
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        eventually("it is at the endpoint", || origin.heads().iter().any(|head| head.uri.path() == path)).await;
        if path == "/within" {
            wire.bytes(20).await;
        }
        drop(wire);
    }
    eventually("both streams are reset", || reset.load(Ordering::Relaxed) == 2).await;

    assert_eq!(proxy.client().get("/").send().await.status, 200);
    assert_eq!(origin.connections(), 1);
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_whatever_its_method() {
    let calls = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&calls);
    let origin = H2Origin::start(move |(request, mut respond)| {
        let first = count.fetch_add(1, Ordering::Relaxed) == 1;
        async move {
            if first {
                respond.send_reset(Reason::REFUSED_STREAM);
                return Ok(());
            }
            echo((request, respond)).await
        }
    })
    .await;
    let proxy = before(&origin).start().await;
    assert_eq!(proxy.client().get("/").send().await.status, 200);

    let answer = proxy.client().post("/", "hello").send().await;

    assert_eq!((answer.status, answer.text().as_str(), calls.load(Ordering::Relaxed)), (200, "hello", 3));
}

#[tokio::test]
async fn a_reset_after_the_begin_is_not_sent_again_unless_that_does_no_harm() {
    let calls = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&calls);
    let origin = H2Origin::start(move |(_, mut respond)| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
    })
    .await;
    let proxy = before(&origin).start().await;

    assert_eq!(proxy.client().post("/", "hello").send().await.status, 502);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    proxy.counts_local("upstream_reset", 1).await;
}

async fn accepted(listener: &TcpListener) -> Socket {
    Socket::Tcp(in_time("a connection", listener.accept()).await.expect("a connection").0)
}

#[tokio::test]
async fn what_a_goaway_leaves_out_goes_over_another_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = h2c_endpoint(listener.local_addr().unwrap()).start().await;
    let client = proxy.client();
    let asked = tokio::spawn(async move { client.post("/", "hello").send().await });

    let mut first = FrameWire::accepted(accepted(&listener).await, &[]).await;
    first.frame_of(Frame::HEADERS, 1).await.expect("a request");
    // The last stream that was looked at is 0, and this is no fault.
    first.send(Frame::new(Frame::GOAWAY, 0, 0, [0; 8])).await;
    let mut second = FrameWire::accepted(accepted(&listener).await, &[]).await;
    second.frame_of(Frame::HEADERS, 1).await.expect("the same request");
    let body = second.frame_of(Frame::DATA, 1).await.expect("its body");
    second.send(Frame::headers(1, &[(":status", "204")], true)).await;

    assert_eq!(body.payload, b"hello");
    assert_eq!(asked.await.unwrap().status, 204);
    assert_eq!(
        proxy.metrics().await.sum("evenkeel_retries_total", &[]),
        0.0,
        "nothing had been sent as far as HTTP goes"
    );
}

#[tokio::test]
async fn an_answer_that_comes_early_and_whole_reaches_the_client() {
    let origin = H2Origin::start(|(_, mut respond)| async move {
        let answer = Response::builder().status(413).body(()).expect("an answer");
        // Nobody reads the request, so h2 asks the client to stop: RST_STREAM with NO_ERROR (RFC 9113, section 8.1).
        respond.send_response(answer, false)?.send_data("too large".into(), true)
    })
    .await;
    let proxy = before(&origin).start().await;

    let mut wire = proxy.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nthe begin of it").await;

    let answer = wire.response().await;
    assert_eq!((answer.status, answer.text().as_str()), (413, "too large"));
}

#[tokio::test]
async fn an_endpoint_that_speaks_something_else_is_a_502() {
    let origin = Origin::http1().start().await;
    let proxy = h2c_endpoint(&origin).start().await;
    assert_eq!(proxy.client().get("/").send().await.status, 502);
    assert_eq!(origin.requests(), 0);
    proxy.counts_local("upstream_reset", 1).await;

    let origin = RawOrigin::start(Script::answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")).await;
    let proxy = h2c_endpoint(&origin).start().await;
    assert_eq!(proxy.client().get("/").send().await.status, 502);
    proxy.counts_local("upstream_protocol", 1).await;
}

#[tokio::test]
async fn an_endpoint_without_settings_is_left_for_another() {
    let origin = H2Origin::echo().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoints = [silent.local_addr().unwrap().to_string(), origin.place.to_string()];
    let upstream = "protocol = \"h2c\"\nbalance = \"round_robin\"\ntimeouts.connect = \"200ms\"";
    let proxy = Proxy::with_endpoints(endpoints).upstream(upstream).workers(1).start().await;

    for _ in 0..2 {
        assert_eq!(proxy.client().post("/", "hello").send().await.status, 200);
    }

    let dead = h2c_endpoint(DeadEndpoint::refusing()).start().await;
    assert_eq!(dead.client().get("/").send().await.status, 502);
}

#[tokio::test]
async fn a_silent_endpoint_is_asked_whether_it_is_there_while_a_request_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = h2c_endpoint(listener.local_addr().unwrap()).upstream("pool.ping_interval = \"100ms\"").start().await;
    let client = proxy.client();
    let asked = tokio::spawn(async move { client.get("/").send().await });

    let mut wire = FrameWire::accepted(accepted(&listener).await, &[]).await;
    wire.frame_of(Frame::HEADERS, 1).await.expect("a request");
    for _ in 0..3 {
        let ping = wire.frame_of(Frame::PING, 0).await.expect("a question");
        wire.send(Frame::new(Frame::PING, Frame::ACK, 0, ping.payload)).await;
    }
    wire.send(Frame::headers(1, &[(":status", "204")], true)).await;

    assert_eq!(asked.await.unwrap().status, 204);
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_answered_gets_no_more_requests() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let timeouts = "timeouts = { connect = \"200ms\", response_head = \"300ms\" }";
    let proxy = h2c_endpoint(listener.local_addr().unwrap()).upstream(timeouts).start().await;
    let ask = || {
        let client = proxy.client();
        tokio::spawn(async move { client.get("/").send().await })
    };

    let lost = ask();
    let mut dead = FrameWire::accepted(accepted(&listener).await, &[]).await;
    dead.frame_of(Frame::HEADERS, 1).await.expect("a request");
    assert_eq!(lost.await.unwrap().status, 504);

    let asked = ask();
    let mut second = FrameWire::accepted(accepted(&listener).await, &[]).await;
    second.frame_of(Frame::HEADERS, 1).await.expect("the next request");
    second.send(Frame::headers(1, &[(":status", "204")], true)).await;
    assert_eq!(asked.await.unwrap().status, 204);
}

#[tokio::test]
async fn an_upgrade_is_an_ordinary_request_there() {
    let origin = H2Origin::echo().await;
    let proxy = before(&origin).start().await;
    let asked = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

    let answer = Wire::exchange(proxy.web(), asked).await;

    assert_eq!(answer.status, 200);
    assert_eq!((text(&origin.head(), "upgrade"), text(&origin.head(), "connection")), (None, None));
}

#[tokio::test]
async fn clients_that_do_not_read_do_not_hold_up_the_others() {
    let origin = H2Origin::start(|(request, mut respond)| async move {
        let size = if request.uri().path() == "/large" { 1 << 20 } else { 2 };
        let mut send = respond.send_response(Response::new(()), false)?;
        send.send_data(vec![b'x'; size].into(), true)?;
        std::future::poll_fn(|cx| send.poll_reset(cx)).await.map(|_| ())
    })
    .await;
    let proxy = before(&origin).listener("protocol = \"h2c\"").start().await;
    let stuck = Talk::to(proxy.web()).await;
    let mut answers = Vec::new();
    for _ in 0..60 {
        let (answer, _) = stuck.begin(request("GET", "/large"), true).await.unwrap();
        answers.push(in_time("a head", answer).await.unwrap());
    }

    let answer = Talk::to(proxy.web()).await.ask(request("GET", "/small")).await.unwrap();

    assert_eq!((answer.text(), origin.connections()), ("xx", 1));
    for answer in answers {
        drop(answer);
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time_and_a_new_setting_makes_new_ones() {
    let origin = H2Origin::echo().await;
    let proxy = before(&origin).upstream("pool.idle = \"300ms\"").start().await;
    assert_eq!(proxy.client().get("/").send().await.status, 200);
    proxy.metrics_show("no connection", |m| m.sum("evenkeel_upstream_connections", &[]) == 0.0).await;

    let text = before(&origin).text();
    proxy.reload_with(&text.replace("protocol = \"h2c\"", "")).await;
    assert_eq!(proxy.client().get("/").send().await.status, 502, "HTTP/1.1 is not understood there");
    proxy.reload_with(&text).await;
    assert_eq!(proxy.client().get("/").send().await.status, 200);
}

#[tokio::test]
async fn its_answer_is_cut_visibly_when_the_endpoint_resets_it() {
    let origin = H2Origin::start(|(_, mut respond)| async move {
        let mut send = respond.send_response(Response::new(()), false)?;
        send.send_data("half".into(), false)?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        send.send_reset(Reason::INTERNAL_ERROR);
        Ok(())
    })
    .await;
    let proxy = before(&origin).listener("protocol = \"h2c\"").start().await;
    let talk = Talk::to(proxy.web()).await;

    let (answer, _) = talk.begin(request("GET", "/"), true).await.unwrap();
    let error = whole(in_time("a head", answer).await.unwrap()).await.unwrap_err();

    assert!(error.is_reset(), "{error}");
    proxy.counts_local("upstream_reset", 1).await;
}

#[tokio::test]
async fn clients_that_do_not_read_small_messages_do_not_end_the_requests_of_others() {
    const STUCK: usize = 12;
    let full = Arc::<AtomicUsize>::default();
    let streams = Arc::clone(&full);
    let origin = H2Origin::start(move |(request, mut respond)| {
        let streams = Arc::clone(&streams);
        async move {
            let mut send = respond.send_response(Response::new(()), false)?;
            if request.uri().path() == "/small" {
                return send.send_data("xx".into(), true);
            }
            // Nearly all that the window of a stream takes, in messages of 30 bytes.
            for _ in 0..8_700 {
                send.send_data(Bytes::from_static(&[b'x'; 30]), false)?;
            }
            send.reserve_capacity(1);
            std::future::poll_fn(|cx| send.poll_capacity(cx)).await.transpose()?;
            streams.fetch_add(1, Ordering::Relaxed);
            std::future::poll_fn(|cx| send.poll_reset(cx)).await.map(|_| ())
        }
    })
    .await;
    let proxy = before(&origin).listener("protocol = \"h2c\"").start().await;
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        let talk = Talk::to(proxy.web()).await;
        let (answer, _) = talk.begin(request("GET", "/messages"), true).await.unwrap();
        stuck.push((in_time("a head", answer).await.unwrap(), talk));
    }
    eventually("all of it is sent", || full.load(Ordering::Relaxed) == STUCK).await;

    for _ in 0..20 {
        let answer = Talk::to(proxy.web()).await.ask(request("GET", "/small")).await.unwrap();
        assert_eq!(answer.text(), "xx");
    }
    assert_eq!(origin.connections(), 1);
    drop(stuck);
    proxy.is_idle().await;
}

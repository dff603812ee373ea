//! Streams and connections that end: by their client, by time, by a drain. Everything is given back, and somebody writes it down.

use super::talk::{Talk, h2c, request, whole};
use bytes::Bytes;
use evenkeel_testkit::{
    Answer, Frame, FrameWire, Origin, Proxy, RawOrigin, Script, Signal, eventually, hostile, in_time, until,
};
use std::time::Duration;

async fn slow() -> Origin {
    Origin::http1().at("/hold", Answer::text("done").after(Duration::from_mins(10))).start().await
}

async fn is_written_down(proxy: &Proxy, origin: &Origin, lines: usize) {
    eventually("the endpoint's request is cancelled", || origin.in_flight() == 0 && origin.cancelled() == lines).await;
    proxy.is_idle().await;
    proxy.counts_local("client_closed", u32::try_from(lines).expect("a few lines")).await;
    let log = proxy.access_log_with(lines).await;
    assert!(log.iter().all(|line| line["status"] == 499 && line["reason"] == "client_closed"), "{log:#?}");
}

#[tokio::test]
async fn a_reset_cancels_the_endpoints_request_and_no_other() {
    let origin = slow().await;
    let proxy = h2c(&origin).access_log().start().await;
    let talk = Talk::to(proxy.web()).await;
    let (_answer, mut stream) = talk.begin(request("GET", "/hold"), true).await.unwrap();
    let (_other, _upload) = talk.begin(request("GET", "/hold"), true).await.unwrap();
    eventually("the endpoint has both", || origin.in_flight() == 2).await;

    stream.send_reset(h2::Reason::CANCEL);

    eventually("one is cancelled", || origin.in_flight() == 1 && origin.cancelled() == 1).await;
    let log = proxy.access_log_with(1).await;
    assert_eq!((&log[0]["status"], &log[0]["reason"]), (&499.into(), &"client_closed".into()));
    assert_eq!(talk.ask(request("GET", "/")).await.unwrap().status, 200, "the connection goes on");
    assert_eq!(origin.in_flight(), 1);
}

#[tokio::test]
async fn a_client_that_is_gone_cancels_all_of_its_requests() {
    let origin = slow().await;
    let proxy = h2c(&origin).access_log().start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    for stream in [1, 3, 5] {
        wire.send(Frame::get(stream, "/hold")).await;
    }
    eventually("the endpoint has them", || origin.in_flight() == 3).await;

    drop(wire);

    is_written_down(&proxy, &origin, 3).await;
}

#[tokio::test]
async fn an_upload_that_is_reset_is_never_complete_at_its_endpoint() {
    let origin = RawOrigin::start(hostile::never_answers()).await;
    let proxy = h2c(&origin).start().await;
    let talk = Talk::to(proxy.web()).await;
    let (_answer, mut upload) = talk.begin(request("POST", "/"), false).await.unwrap();
    upload.send_data(Bytes::from_static(b"some of it"), false).unwrap();
    until("some of it is there", async || origin.received_text().contains("some of it").then_some(())).await;

    upload.send_reset(h2::Reason::CANCEL);

    origin.is_left(0).await;
    proxy.is_idle().await;
    assert!(!origin.received_text().contains("0\r\n\r\n"), "{}", origin.received_text());
}

#[tokio::test]
async fn a_stuck_upload_does_not_stop_another_stream() {
    // It reads a head and then nothing more.
    let (gate, _) = tokio::sync::watch::channel(false);
    let stuck = RawOrigin::start(Script::new().reads_head().waits_for(&gate).stalls()).await;
    let good = Origin::http1().start().await;
    let text = format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\nprotocol = \"h2c\"\n\
         [[routes]]\npath = \"/stuck\"\nupstream = \"stuck\"\n[[routes]]\nupstream = \"good\"\n\
         [upstreams.stuck]\nendpoints = [\"{stuck}\"]\n[upstreams.good]\nendpoints = [\"{good}\"]\n"
    );
    let proxy = Proxy::with_config(&text).start().await;
    let talk = Talk::to(proxy.web()).await;
    let (_answer, mut upload) = talk.begin(request("POST", "/stuck"), false).await.unwrap();
    let large = Bytes::from(vec![b'x'; 16 << 20]);
    upload.send_data(large.clone(), false).unwrap();
    until("the upload is stuck", async || (upload.capacity() == 0).then_some(())).await;

    let answer = talk.post(request("POST", "/"), large.slice(..300_000), None).await.unwrap();

    assert_eq!((answer.status, good.last_seen().body.len()), (200, 300_000));
}

#[tokio::test]
async fn a_body_that_stops_coming_is_a_408_and_the_connection_goes_on() {
    let origin = RawOrigin::start(hostile::never_answers()).await;
    let proxy = h2c(&origin).listener("timeouts.body_stall = \"300ms\"").start().await;
    let talk = Talk::to(proxy.web()).await;
    let (answer, mut upload) = talk.begin(request("POST", "/"), false).await.unwrap();
    upload.send_data(Bytes::from_static(b"x"), false).unwrap();

    let answer = whole(in_time("an answer", answer).await.unwrap()).await.unwrap();

    assert_eq!(answer.status, 408);
    proxy.counts_local("request_stalled", 1).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_loses_the_stream_and_nothing_else() {
    let body = Bytes::from(vec![b'x'; 8 << 20]);
    let origin = Origin::http1().at("/large", Answer::text(body)).start().await;
    let proxy = h2c(&origin).listener("timeouts.body_stall = \"300ms\"").access_log().start().await;
    // A window of nothing for each stream.
    let mut wire = FrameWire::to(proxy.web(), &[(4, 0)]).await;

    wire.send(Frame::get(1, "/large")).await;

    wire.frame_of(Frame::RST_STREAM, 1).await.expect("the stream is given up");
    assert_eq!(proxy.access_log_with(1).await[0]["reason"], "response_stalled");
    wire.send(Frame::get(3, "/small")).await;
    wire.frame_of(Frame::HEADERS, 3).await.expect("the connection goes on");
}

#[tokio::test]
async fn clients_that_say_nothing_or_too_little_are_gone_in_time() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).listener("timeouts.request_head = \"300ms\"").start().await;
    let mut silent = proxy.wire().await;
    let mut half = proxy.wire().await;
    half.send("PRI * HTTP/2.0\r\n\r\nSM").await;

    silent.rest().await;
    half.rest().await;

    proxy.counts_local("request_timeout", 1).await;
    proxy.metrics_show("no connection is left", |m| m.sum("evenkeel_connections", &[]) < 0.5).await;
}

#[tokio::test]
async fn a_client_of_http_1_gets_an_end_and_is_counted() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let mut wire = proxy.wire().await;

    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    wire.rest().await;
    counts_fault(&proxy, "preface").await;
    assert_eq!(origin.connections(), 0);
}

/// Waits until a connection was ended for this.
async fn counts_fault(proxy: &Proxy, kind: &str) {
    let labels = [("kind", kind)];
    proxy.metrics_show(kind, |m| (m.sum("evenkeel_http2_faults_total", &labels) - 1.0).abs() < 0.5).await;
}

#[tokio::test]
async fn a_connection_without_streams_is_told_and_ended() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).listener("timeouts.idle = \"300ms\"").start().await;
    let mut used = FrameWire::to(proxy.web(), &[]).await;
    used.send(Frame::get(1, "/")).await;

    assert_eq!(used.goaway().await, Some(0));
    assert_eq!(FrameWire::to(proxy.web(), &[]).await.goaway().await, Some(0), "also one that never asked");
}

#[tokio::test]
async fn a_client_may_ping_as_clients_do_with_a_request_and_without() {
    let origin = slow().await;
    let proxy = h2c(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    // Without a request, then with one that waits: each time as many as a client sends in five minutes that asks every second.
    for stream in [1, 3] {
        for n in 0..300_u64 {
            wire.send(Frame::new(Frame::PING, 0, 0, n.to_be_bytes())).await;
        }
        for n in 0..300_u64 {
            let answer = wire.frame_of(Frame::PING, 0).await.expect("every one is answered");
            assert_eq!((answer.flags, &answer.payload[..]), (Frame::ACK, &n.to_be_bytes()[..]));
        }
        wire.send(Frame::get(stream, "/hold")).await;
        eventually("the endpoint has it", || origin.in_flight() == stream.div_ceil(2) as usize).await;
    }
    wire.send(Frame::get(5, "/")).await;
    wire.frame_of(Frame::HEADERS, 5).await.expect("the connection goes on");
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_told_and_its_streams_go_on() {
    let origin = Origin::http1().at("/slow", Answer::text("done").after(Duration::from_millis(1500))).start().await;
    let proxy = h2c(&origin).listener("connection_age_max = \"300ms\"").start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;

    wire.send(Frame::get(1, "/slow")).await;

    let first = wire.frame_of(Frame::GOAWAY, 0).await.expect("the first step");
    assert_eq!((&first.payload[..4], first.goaway_code()), (&[0x7f, 0xff, 0xff, 0xff][..], Some(0)));
    let ping = wire.frame_of(Frame::PING, 0).await.expect("a question whether it was heard");
    wire.send(Frame::get(3, "/late")).await;
    wire.send(Frame::new(Frame::PING, Frame::ACK, 0, ping.payload)).await;
    let mut ended = Vec::new();
    let mut last = 0;
    while let Some(frame) = wire.frame().await {
        if frame.kind == Frame::DATA && frame.flags & Frame::END_STREAM != 0 {
            ended.push(frame.stream);
        }
        if frame.kind == Frame::GOAWAY {
            last = u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
        }
    }
    assert_eq!((ended, last), (vec![3, 1], 3), "both were served, then the connection ended");
}

#[tokio::test]
async fn an_old_connection_of_http_1_is_closed_with_its_next_answer() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).listener("connection_age_max = \"300ms\"").start().await;
    let mut wire = proxy.wire().await;
    until("the connection is too old", async || {
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        (wire.response().await.header("connection") == Some("close")).then_some(())
    })
    .await;
    wire.closed().await;
}

#[tokio::test]
async fn a_drain_lets_streams_end_and_takes_no_more() {
    let origin = Origin::http1().at("/slow", Answer::text("done").after(Duration::from_millis(700))).start().await;
    let mut proxy = h2c(&origin).start().await;
    let talk = Talk::to(proxy.web()).await;
    assert_eq!(talk.ask(request("GET", "/")).await.unwrap().status, 200);
    let (answer, _) = talk.begin(request("GET", "/slow"), true).await.unwrap();
    eventually("the request is at the endpoint", || origin.in_flight() == 1).await;

    proxy.signal(Signal::Term);

    let answer = whole(in_time("an answer", answer).await.unwrap()).await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, "done"));
    assert_eq!(proxy.exit().await.code, Some(0));
    assert!(talk.ask(request("GET", "/")).await.is_err());
}

#[tokio::test]
async fn what_a_drain_cannot_wait_for_is_cut_at_its_deadline() {
    let origin = slow().await;
    let mut proxy = h2c(&origin).top("drain.grace = \"0s\"\ndrain.deadline = \"500ms\"").access_log().start().await;
    let talk = Talk::to(proxy.web()).await;
    let (answer, _) = talk.begin(request("GET", "/hold"), true).await.unwrap();
    eventually("the request is at the endpoint", || origin.in_flight() == 1).await;

    proxy.signal(Signal::Term);

    assert!(in_time("the end", answer).await.is_err());
    assert_eq!(proxy.exit().await.code, Some(0));
    assert_eq!(proxy.access_log()[0]["reason"], "stopped");
}

#[tokio::test]
async fn streams_of_a_listener_that_is_taken_away_go_on() {
    let origin = Origin::http1().at("/slow", Answer::text("done").after(Duration::from_millis(900))).start().await;
    let upstream = format!("[[routes]]\nupstream = \"site\"\n[upstreams.site]\nendpoints = [\"{origin}\"]\n");
    let listener = |name: &str, more: &str| format!("[listeners.{name}]\nlisten = \"127.0.0.1:0\"\n{more}\n");
    let both = listener("web", "protocol = \"h2c\"") + &listener("other", "") + &upstream;
    let proxy = Proxy::with_config(&both).start().await;
    let talk = Talk::to(proxy.at("web")).await;
    let (answer, _) = talk.begin(request("GET", "/slow"), true).await.unwrap();
    eventually("the request is at the endpoint", || origin.in_flight() == 1).await;

    proxy.reload_with(&(listener("other", "") + &upstream)).await;

    let answer = whole(in_time("an answer", answer).await.unwrap()).await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, "done"));
    proxy.metrics_show("the connection ends", |m| m.sum("evenkeel_connections", &[]) < 0.5).await;
}

#[tokio::test]
async fn half_a_head_is_waited_for_no_longer_than_in_http_1_whatever_else_goes_on() {
    let origin = slow().await;
    let whole = Frame::get(3, "/");
    let begin = |payload: &[u8]| Frame::new(Frame::HEADERS, Frame::END_STREAM, 3, payload).bytes();
    let (front, back) = whole.payload.split_at(9);
    let halves = [
        begin(&whole.payload),
        [begin(front), Frame::new(Frame::CONTINUATION, 0, 3, back).bytes()].concat(),
        whole.bytes()[..20].to_vec(),
    ];
    for half in halves {
        let proxy = h2c(&origin).listener("timeouts.request_head = \"300ms\"").start().await;
        let mut wire = FrameWire::to(proxy.web(), &[]).await;
        wire.send(Frame::get(1, "/hold")).await;
        eventually("the endpoint has it", || origin.in_flight() == 1).await;

        wire.try_send(&half).await.unwrap();

        wire.ended().await;
        proxy.counts_local("request_timeout", 1).await;
        proxy.is_idle().await;
    }
}

//! Calls of all four kinds, and every way in which they end.

use super::{
    client::{Client, all, between, counts, next},
    server::{CHAT, COUNT, ECHO, FAIL, HOLD, Note, SUM, Server},
};
use evenkeel_testkit::{Authority, Proxy, TlsClient, eventually, in_time};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, IntoRequest, Request, metadata::MetadataValue};

/// One call of each kind, message by message where messages go both ways.
async fn calls_of_all_kinds(client: &Client) {
    let mut request = Note::new("hello", 7).into_request();
    request.metadata_mut().insert("x-words", "some words".parse().expect("text"));
    request.metadata_mut().insert_bin("x-bytes-bin", MetadataValue::from_bytes(&[0, 10, 255]));
    let answer = client.unary(ECHO, request).await.expect("an answer");
    assert_eq!(answer.metadata().get("x-words").expect("text"), "some words");
    let bytes = answer.metadata().get_bin("x-bytes-bin").and_then(|value| value.to_bytes().ok()).expect("bytes");
    assert_eq!(bytes[..], [0, 10, 255]);
    assert_eq!(answer.into_inner(), Note::new("hello", 7));

    let mut down = client.down(COUNT, Note::new("", 1_000)).await.expect("a head").into_inner();
    let (notes, end) = all(&mut down).await;
    assert!(notes.iter().map(|note| note.number).eq(0..1_000) && end.is_none(), "{end:?}");

    let up = tokio_stream::iter((0..1_000).map(|n| Note::new("", n)));
    assert_eq!(client.up(SUM, up).await.expect("an answer").into_inner(), Note::new("1000", 499_500));

    let (say, said) = mpsc::channel(1);
    let mut heard = client.both(CHAT, ReceiverStream::new(said)).await.expect("a head").into_inner();
    for n in 0..50 {
        say.send(Note::new("turn", n)).await.expect("the call goes on");
        assert_eq!(next(&mut heard).await.expect("a whole answer"), Some(Note::new("turn", n)), "nothing is held back");
    }
    drop(say);
    assert_eq!(next(&mut heard).await.expect("a whole answer"), None);
}

#[tokio::test]
async fn calls_of_all_four_kinds_pass_without_tls() {
    let server = Server::start();
    let proxy = between([&server.place]).start().await;

    calls_of_all_kinds(&Client::to(proxy.web()).await).await;

    counts(&proxy, "ok", 4).await;
    proxy.is_idle().await;
}

#[tokio::test]
async fn calls_of_all_four_kinds_pass_within_tls() {
    let authority = Authority::new("Test Authority");
    let server = Server::start();
    let proxy = Proxy::with_upstream(&server.place).upstream("protocol = \"h2c\"");
    let proxy = proxy.listener("tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]");
    authority.server(&["a.test"]).make().write(proxy.folder(), "a");
    let proxy = proxy.start().await;
    let tls = TlsClient::new(&authority, "a.test").but(|config| config.alpn_protocols = vec![b"h2".to_vec()]);

    calls_of_all_kinds(&Client::within_tls(proxy.web(), tls).await).await;

    counts(&proxy, "ok", 4).await;
}

#[tokio::test]
async fn a_large_message_crosses_every_window_both_ways() {
    let server = Server::start();
    let proxy = between([&server.place]).start().await;
    let client = Client::to(proxy.web()).await;
    let large = Note::new("x".repeat(12 << 20), 1);

    // With others beside it, so that they share the windows of their connections.
    let (first, second, small) = tokio::join!(
        client.unary(ECHO, large.clone()),
        client.unary(ECHO, large.clone()),
        client.unary(ECHO, Note::new("small", 2)),
    );

    assert!(first.unwrap().into_inner() == large && second.unwrap().into_inner() == large);
    assert_eq!(small.unwrap().into_inner().number, 2);
}

#[tokio::test]
async fn an_error_of_the_server_keeps_its_code_its_message_and_its_details() {
    let server = Server::start();
    let proxy = between([&server.place]).access_log().start().await;
    let client = Client::to(proxy.web()).await;

    for (code, class) in [(5, "client_error"), (13, "server_error")] {
        let status = client.unary(FAIL, Note::new("why: 100 % so", code)).await.unwrap_err();
        assert_eq!(status.code(), Code::from(i32::try_from(code).unwrap()));
        assert_eq!((status.message(), status.details()), ("why: 100 % so", &[0, 1, 255][..]));
        counts(&proxy, class, 1).await;
    }

    let log = proxy.access_log_with(2).await;
    assert_eq!((&log[0]["status"], &log[0]["grpc_status"]), (&200.into(), &5.into()));
    assert_eq!((&log[1]["grpc_status"], &log[1]["reason"]), (&13.into(), &"".into()));
}

#[tokio::test]
async fn an_error_behind_messages_comes_behind_them() {
    let server = Server::start();
    let proxy = between([&server.place]).access_log().start().await;
    let client = Client::to(proxy.web()).await;

    let mut notes = client.down(COUNT, Note::new("that is all", 100)).await.unwrap().into_inner();
    let (seen, end) = all(&mut notes).await;

    let end = end.unwrap();
    assert_eq!((seen.len(), end.code(), end.message()), (100, Code::Aborted, "that is all"));
    counts(&proxy, "client_error", 1).await;
    assert_eq!(proxy.access_log_with(1).await[0]["grpc_status"], 10);
}

#[tokio::test]
async fn a_deadline_ends_a_call_at_the_client_and_at_the_server() {
    let server = Server::start();
    let proxy = between([&server.place]).start().await;
    let client = Client::to(proxy.web()).await;
    let mut request = Request::new(Note::new("", 0));
    request.set_timeout(Duration::from_millis(400));
    let begun = Instant::now();

    // Once its head is there, tonic keeps no time: that is left to whoever answers.
    let mut notes = client.down(HOLD, request).await.unwrap().into_inner();
    let (seen, end) = all(&mut notes).await;

    assert!(seen.len() == 1 && end.is_some(), "{end:?}");
    assert!(begun.elapsed() >= Duration::from_millis(400) && begun.elapsed() < Duration::from_secs(9));
    eventually("the server's call is cancelled", || server.held() == 0).await;
    counts(&proxy, "none", 1).await;
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_client_that_cancels_ends_its_call_and_no_other() {
    let server = Server::start();
    let proxy = between([&server.place]).workers(1).access_log().start().await;
    let client = Client::to(proxy.web()).await;
    let mut held = client.down(HOLD, Note::new("", 0)).await.unwrap().into_inner();
    let mut other = client.down(HOLD, Note::new("", 0)).await.unwrap().into_inner();
    assert!(next(&mut held).await.unwrap().is_some() && next(&mut other).await.unwrap().is_some());
    assert_eq!(server.held(), 2);

    drop(held);

    eventually("one call is cancelled", || server.held() == 1).await;
    counts(&proxy, "none", 1).await;
    let log = proxy.access_log_with(1).await;
    assert_eq!((&log[0]["reason"], &log[0]["grpc_status"]), (&"client_closed".into(), &serde_json::Value::Null));
    assert_eq!(client.unary(ECHO, Note::new("still here", 1)).await.unwrap().into_inner().number, 1);
    assert_eq!((server.held(), server.connections()), (1, 1));
}

#[tokio::test]
async fn a_server_that_dies_in_a_stream_is_an_error_and_never_an_end() {
    let (mut dying, living) = (Server::start(), Server::start());
    let proxy = between([&dying.place, &living.place]).upstream("balance = \"round_robin\"").workers(1).start().await;
    let client = Client::to(proxy.web()).await;
    let mut first = client.down(HOLD, Note::new("", 0)).await.unwrap().into_inner();
    let mut second = client.down(HOLD, Note::new("", 0)).await.unwrap().into_inner();
    assert!(next(&mut first).await.unwrap().is_some() && next(&mut second).await.unwrap().is_some());
    assert_eq!((dying.held(), living.held()), (1, 1));

    dying.kill();

    let broken = async {
        tokio::select! {
            end = first.message() => end,
            end = second.message() => end,
        }
    };
    let status = in_time("what broke the call off", broken).await.unwrap_err();
    assert_ne!(status.code(), Code::Ok, "{status:?}");
    counts(&proxy, "none", 1).await;
    for n in 0..10 {
        assert_eq!(client.unary(ECHO, Note::new("", n)).await.unwrap().into_inner().number, n);
    }
    assert_eq!(living.held(), 1, "its stream goes on");
}

//! Answers without a body: to HEAD, and 204, whoever gives them. In both versions the head is that of a GET, and it is the end.

use super::{
    origin::H2Origin,
    talk::{Talk, h2c, request},
};
use bytes::Bytes;
use evenkeel_testkit::{DeadEndpoint, Proxy, RawOrigin, RawResponse, Script, Wire};
use http::Response;

/// What we answer ourselves: its path, its status and its reason.
const OURS: [(&str, u16, &str); 5] = [
    ("/nowhere", 404, "no_route"),
    ("/dead", 502, "connect_failed"),
    ("/none", 503, "no_endpoint"),
    ("/fixed", 200, "filter"),
    ("/moved", 301, "filter"),
];

/// A proxy that answers all of those, by a listener of each version.
async fn answering(dead: &DeadEndpoint) -> Proxy {
    let text = format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[listeners.h2c]\nlisten = \"127.0.0.1:0\"\nprotocol = \"h2c\"\n\
         [[routes]]\npath = \"/dead\"\nupstream = \"dead\"\n[[routes]]\npath = \"/none\"\nupstream = \"none\"\n\
         [[routes]]\npath = \"/fixed\"\nfilters = [{{ fixed_response = {{ body = \"hello\" }} }}]\n\
         [[routes]]\npath = \"/moved\"\nfilters = [{{ redirect = {{ scheme = \"https\", status = 301 }} }}]\n\
         [upstreams.dead]\nendpoints = [\"{dead}\"]\n\
         [upstreams.none]\nendpoints = [{{ address = \"127.0.0.1:1\", drain = true }}]\n\
         [access_log]\noutput = \"access.log\"\n"
    );
    Proxy::with_config(&text).start().await
}

/// The fields of an answer that are the same each time.
fn fields(answer: &RawResponse) -> Vec<(String, String)> {
    let changing = ["date", "x-request-id"];
    answer.headers.iter().filter(|(name, _)| !changing.contains(&name.as_str())).cloned().collect()
}

/// The reasons of the last lines of the access log.
async fn reasons(proxy: &Proxy, lines: usize) -> Vec<String> {
    let log = proxy.access_log_with(lines).await;
    log.iter().map(|line| line["reason"].as_str().expect("a reason").to_owned()).collect()
}

#[tokio::test]
async fn an_answer_of_our_own_to_head_is_the_head_of_that_to_get_and_keeps_its_reason() {
    let dead = DeadEndpoint::refusing();
    let proxy = answering(&dead).await;
    // On one connection: what follows an answer is the next one.
    let mut wire = Wire::to(proxy.at("web")).await;

    for (path, status, _) in OURS {
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        let got = wire.response_to("GET").await;
        wire.send(format!("HEAD {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        let head = wire.response_to("HEAD").await;

        assert_eq!((got.status, head.status), (status, status), "{path}");
        assert_eq!(fields(&got), fields(&head), "{path}");
        assert_eq!(head.header("content-length"), Some(got.body.len().to_string().as_str()), "{path}");
    }

    let expected: Vec<_> = OURS.iter().flat_map(|(_, _, reason)| [*reason, *reason]).collect();
    assert_eq!(reasons(&proxy, 10).await, expected);
    proxy.counts_local("client_closed", 0).await;
    proxy.counts_local("filter", 4).await;
}

#[tokio::test]
async fn over_http_2_an_answer_of_our_own_to_head_ends_with_its_head() {
    let dead = DeadEndpoint::refusing();
    let proxy = answering(&dead).await;
    let talk = Talk::to(proxy.at("h2c")).await;

    for (path, status, _) in OURS {
        let got = talk.ask(request("GET", path)).await.unwrap();
        let (answer, _) = talk.begin(request("HEAD", path), true).await.unwrap();
        let head = answer.await.unwrap();

        assert_eq!((got.status, head.status().as_u16()), (status, status), "{path}");
        assert!(head.body().is_end_stream(), "{path}: END_STREAM is on the head");
        assert_eq!(head.headers()["content-length"], got.body.len().to_string(), "{path}");
    }

    let expected: Vec<_> = OURS.iter().flat_map(|(_, _, reason)| [*reason, *reason]).collect();
    assert_eq!(reasons(&proxy, 10).await, expected);
    proxy.counts_local("client_closed", 0).await;
}

/// An endpoint that ends its stream with an empty frame of its own, behind the head.
async fn late_end(status: u16, length: &'static str) -> H2Origin {
    H2Origin::start(move |(_, mut respond)| async move {
        let head = Response::builder().status(status).header("content-length", length).body(()).expect("a head");
        respond.send_response(head, false)?.send_data(Bytes::new(), true)
    })
    .await
}

#[tokio::test]
async fn an_endpoint_that_ends_its_stream_behind_the_head_has_answered_a_head_in_full() {
    let origin = late_end(200, "5").await;
    let proxy = Proxy::with_upstream(&origin.place).upstream("protocol = \"h2c\"").access_log().start().await;
    let mut wire = proxy.wire().await;

    for _ in 0..2 {
        wire.send("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        let answer = wire.response_to("HEAD").await;
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("5")), "{answer:?}");
    }

    assert_eq!(reasons(&proxy, 2).await, ["", ""]);
    proxy.is_idle().await;
}

#[tokio::test]
async fn over_http_2_too_a_late_end_of_the_endpoints_stream_is_none_that_was_cut() {
    for (method, status, length) in [("HEAD", 200, "5"), ("GET", 304, "5"), ("GET", 204, "0")] {
        let origin = late_end(status, length).await;
        let proxy = h2c(&origin.place).upstream("protocol = \"h2c\"").access_log().start().await;

        let (answer, _) = Talk::to(proxy.web()).await.begin(request(method, "/"), true).await.unwrap();
        let answer = answer.await.unwrap();

        assert!(answer.status() == status && answer.body().is_end_stream(), "{method} {status}: {answer:?}");
        assert_eq!(reasons(&proxy, 1).await, [""], "{method} {status}");
        proxy.is_idle().await;
    }
}

#[tokio::test]
async fn what_was_never_parsed_is_refused_without_a_body_when_it_is_a_head() {
    let dead = DeadEndpoint::refusing();
    let proxy = answering(&dead).await;

    for method in ["GET", "HEAD"] {
        let bad = format!("{method} / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +1\r\n\r\n");
        let answer = Wire::exchange(proxy.at("web"), bad).await;
        let length = answer.header("content-length").expect("a length").parse::<usize>().expect("a number");
        assert_eq!((answer.status, length > 0), (400, true), "{answer:?}");
        assert_eq!(answer.body.len(), if method == "HEAD" { 0 } else { length }, "{answer:?}");
    }
}

#[tokio::test]
async fn over_http_2_a_426_has_no_upgrade() {
    let script = "HTTP/1.1 426 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nno";
    let origin = RawOrigin::start(Script::answering(script)).await;
    let proxy = h2c(&origin).start().await;

    let answer = Talk::to(proxy.web()).await.ask(request("GET", "/")).await.unwrap();

    assert_eq!((answer.status, answer.text()), (426, "no"));
    assert!(answer.headers.get("upgrade").is_none() && answer.headers.get("connection").is_none(), "{answer:?}");
}

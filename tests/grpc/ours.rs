//! What a client of gRPC gets when the answer is ours.

use super::{
    client::{Client, between, calls, counts},
    server::{ECHO, Note, SUM, Server},
};
use evenkeel_testkit::DeadEndpoint;
use tonic::{Code, Status};

fn assert_ours(status: &Status, code: Code, reason: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.message().starts_with(reason), "{status:?}");
}

#[tokio::test]
async fn no_route_is_unimplemented() {
    let server = Server::start();
    let proxy = between([&server.place]).route("path_prefix = \"/elsewhere\"").access_log().start().await;

    let status = Client::to(proxy.web()).await.unary(ECHO, Note::new("", 0)).await.unwrap_err();

    assert_ours(&status, Code::Unimplemented, "no_route");
    counts(&proxy, "server_error", 1).await;
    assert_eq!(proxy.access_log_with(1).await[0]["grpc_status"], 12);
}

#[tokio::test]
async fn no_endpoint_and_none_that_answers_are_unavailable() {
    let proxy = between([DeadEndpoint::refusing()]).start().await;
    let status = Client::to(proxy.web()).await.unary(ECHO, Note::new("", 0)).await.unwrap_err();
    assert_ours(&status, Code::Unavailable, "connect_failed");

    let health = "health = { tcp = true, interval = \"100ms\", unhealthy_after = 1 }";
    let dead = DeadEndpoint::refusing();
    let proxy = between([&dead]).upstream(health).start().await;
    proxy.sees(&dead, false).await;
    let status = Client::to(proxy.web()).await.unary(ECHO, Note::new("", 0)).await.unwrap_err();
    assert_ours(&status, Code::Unavailable, "no_endpoint");
    counts(&proxy, "server_error", 1).await;
}

#[tokio::test]
async fn a_message_above_body_max_is_refused_and_the_connection_goes_on() {
    let server = Server::start();
    let proxy = between([&server.place]).route("body_max = \"64KiB\"").start().await;
    let client = Client::to(proxy.web()).await;

    let status = client.unary(ECHO, Note::new("x".repeat(1 << 20), 0)).await.unwrap_err();
    assert_ours(&status, Code::Unknown, "request_too_large");

    let many = tokio_stream::iter((0..1_000).map(|n| Note::new("x".repeat(1_000), n)));
    let status = client.up(SUM, many).await.unwrap_err();
    assert_ours(&status, Code::Unknown, "request_too_large");
    assert_eq!(client.unary(ECHO, Note::new("", 3)).await.unwrap().into_inner().number, 3);
    counts(&proxy, "server_error", 2).await;
    assert!(calls(&proxy.metrics().await, "ok") > 0.5);
}

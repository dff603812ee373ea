//! Probes that ask a server of gRPC what it says of itself.

use super::{
    client::{Client, between},
    server::{ECHO, Note, Server},
};
use tonic_health::ServingStatus;

#[tokio::test]
async fn what_a_server_says_of_itself_moves_traffic() {
    let (a, b) = (Server::start(), Server::start());
    for server in [&a, &b] {
        server.health.set_service_status("test.Notes", ServingStatus::Serving).await;
    }
    let health = "health = { grpc = \"test.Notes\", interval = \"100ms\", unhealthy_after = 1, healthy_after = 1 }";
    let proxy = between([&a.place, &b.place]).upstream(health).upstream("balance = \"round_robin\"").start().await;
    proxy.sees(&a.place, true).await;
    proxy.sees(&b.place, true).await;
    let client = Client::to(proxy.web()).await;
    // How many of ten calls each server has got.
    let ten_calls = async || {
        let before = (a.calls(), b.calls());
        for n in 0..10 {
            client.unary(ECHO, Note::new("", n)).await.unwrap();
        }
        (a.calls() - before.0, b.calls() - before.1)
    };
    assert_eq!(ten_calls().await, (5, 5));

    a.health.set_service_status("test.Notes", ServingStatus::NotServing).await;
    proxy.sees(&a.place, false).await;
    assert_eq!(ten_calls().await, (0, 10));

    a.health.set_service_status("test.Notes", ServingStatus::Serving).await;
    proxy.sees(&a.place, true).await;
    assert_eq!(ten_calls().await, (5, 5));
}

#[tokio::test]
async fn a_service_that_a_server_does_not_know_is_down() {
    let server = Server::start();
    let health = "health = { grpc = \"test.Other\", interval = \"100ms\", unhealthy_after = 1 }";
    let proxy = between([&server.place]).upstream(health).start().await;
    proxy.sees(&server.place, false).await;
}

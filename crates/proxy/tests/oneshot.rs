//! The proxy as a tower `Service`, asked without a socket: from within a worker, where it lives.

use crate::support::{Running, builder, config, text};
use evenkeel_proxy::{Body, ProxyService};
use evenkeel_testkit::{DeadEndpoint, Origin, in_time};
use http::{Request, Version};
use http_body_util::BodyExt;
use std::sync::{Arc, Mutex};
use tokio::{sync::oneshot, task::spawn_local};
use tower::ServiceExt;

/// What came back. The answer itself cannot leave its worker.
#[derive(Debug)]
struct Told {
    status: u16,
    origin: String,
    body: String,
}

async fn ask(service: ProxyService, request: Request<Body>) -> Told {
    let response = service.oneshot(request).await.unwrap_or_else(|never| match never {});
    let status = response.status().as_u16();
    let origin = response.headers().get("x-origin").map_or("", |name| name.to_str().unwrap_or("")).to_owned();
    let body = response.into_body().collect().await.expect("the body comes to its end").to_bytes();
    Told { status, origin, body: String::from_utf8_lossy(&body).into_owned() }
}

/// Starts a proxy with this text, whose one worker asks its own service, one request after the other.
async fn asked<const N: usize>(text: &str, requests: [Request<()>; N]) -> (Running, [Told; N]) {
    let (settings, (tell, told)) = (config(text), oneshot::channel());
    let running = Running::start(move || {
        let once = Arc::new(Mutex::new(Some((requests, tell))));
        let layer = move |service: ProxyService| {
            let (requests, tell) = once.lock().ok().and_then(|mut once| once.take()).expect("there is one worker");
            let asking = service.clone();
            spawn_local(async move {
                let mut all = Vec::new();
                for request in requests {
                    all.push(ask(asking.clone(), request.map(|()| Body::empty())).await);
                }
                tell.send(all)
            });
            service
        };
        builder(settings, 1).layer(layer).run()
    })
    .await;
    let told = in_time("the service answers", told).await.expect("the worker lives");
    (running, told.try_into().expect("one answer for each request"))
}

fn get(target: &str) -> Request<()> {
    Request::get(target).header("host", "a.b").body(()).expect("a request")
}

#[tokio::test]
async fn a_request_without_a_connection_goes_the_same_way() {
    let origin = Origin::http1().named("one").start().await;

    let (proxy, [first, second]) = asked(&text(&origin), [get("/x?y"), get("http://c.d/./z")]).await;

    for told in [&first, &second] {
        assert_eq!((told.status, told.origin.as_str()), (200, "one"), "{told:?}");
    }
    let seen = origin.seen();
    assert_eq!((seen[0].target.as_str(), seen[0].header("host")), ("/x?y", Some("a.b")));
    assert_eq!((seen[1].target.as_str(), seen[1].header("host")), ("/z", Some("c.d")));
    assert_eq!(origin.connections(), 1, "the second one goes over the connection of the first");
    proxy.is_idle().await;
}

#[tokio::test]
async fn whatever_goes_wrong_is_an_answer_and_never_an_error() {
    let dead = DeadEndpoint::refusing();
    let text = text(dead.place()).replace("[[routes]]", "[[routes]]\npath_prefix = \"/site\"");
    let without_host = Request::get("/site").body(()).expect("a request");
    let connect = Request::connect("a.b:80").header("host", "a.b").body(()).expect("a request");
    let old = Request::get("/site").version(Version::HTTP_10).body(()).expect("a request");

    let (proxy, told) = asked(&text, [get("/"), without_host, connect, get("/site"), get("/site/%00"), old]).await;

    assert_eq!(told.each_ref().map(|told| told.status), [404, 400, 405, 502, 400, 502]);
    assert!(told.iter().all(|told| told.origin.is_empty() && !told.body.is_empty()), "{told:?}");
    proxy.is_idle().await;
}

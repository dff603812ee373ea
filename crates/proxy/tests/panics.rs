//! A bug in an embedding program's filter or layer costs the connection that met it, and nobody else anything.

use crate::support::{Running, alone, builder, filtered, text};
use evenkeel_proxy::{Body, CustomFilter, Flow, ProxyService};
use evenkeel_telemetry::panics;
use evenkeel_testkit::{Answer, Chance, Origin, Wire, eventually};
use http::{Request, Response};
use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::task::JoinSet;
use tower::Service;

/// Where a request meets the bug.
const TRAPS: [&str; 5] = ["/at-once", "/after-a-wait", "/in-the-answer", "/in-the-layer", "/in-the-layers-future"];

/// Panics where the path says so.
struct Trap;

impl CustomFilter for Trap {
    fn on_request<'a>(
        &'a self,
        request: &'a mut Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Flow, String>> + 'a>> {
        Box::pin(async move {
            match request.uri().path() {
                "/at-once" => panic!("a filter's bug"),
                "/after-a-wait" => {
                    tokio::task::yield_now().await;
                    panic!("a filter's bug after a wait");
                }
                _ => Ok(Flow::Continue),
            }
        })
    }

    fn on_response(&self, response: &mut Response<Body>) {
        assert!(!response.headers().contains_key("x-trap"), "a filter's bug, with an endpoint's answer in its hands");
    }
}

/// A layer that panics where the path says so.
#[derive(Clone)]
struct TrapLayer(ProxyService);

impl Service<Request<Body>> for TrapLayer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        assert_ne!(path, "/in-the-layer", "a layer's bug");
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await;
            assert_ne!(path, "/in-the-layers-future", "a layer's bug, with our answer in its hands");
            answer
        })
    }
}

async fn origin() -> Origin {
    let slow = Answer::echo().after(Duration::from_millis(100));
    let trap = Answer::echo().header("x-trap", "yes");
    Origin::http1().at("/slow", slow).at("/in-the-answer", trap).start().await
}

async fn proxy(origin: &Origin, workers: usize) -> Running {
    let config = filtered(&text(origin), "trap");
    Running::start(move || builder(config, workers).filter("trap", || Rc::new(Trap)).layer(TrapLayer).run()).await
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[tokio::test]
async fn a_panicking_filter_ends_only_its_own_connection() {
    let _alone = alone().await;
    // With one worker, all of them are on one thread.
    for workers in [1, 2] {
        let origin = origin().await;
        let proxy = proxy(&origin, workers).await;
        let kept = proxy.client();
        assert_eq!(kept.get("/").status().await, 200);
        for path in TRAPS {
            let before = panics::count();
            let mut slow = proxy.wire().await;
            slow.send(get("/slow")).await;
            eventually("the slow request is at its endpoint", || origin.in_flight() == 1).await;

            let mut trapped = proxy.wire().await;
            trapped.send(get(path)).await;
            trapped.closed().await;

            assert_eq!(panics::count() - before, 1, "{path}");
            assert_eq!(slow.response().await.status, 200, "{path}");
            slow.send(get("/")).await;
            assert_eq!(slow.response().await.status, 200, "{path}");
            assert_eq!(kept.get("/").status().await, 200, "{path}");
        }
        assert_eq!(kept.connections(), 1);
        proxy.is_idle().await;
        eventually("the kept connection is the only one", || proxy.connections() == 1).await;
    }
}

#[tokio::test]
async fn a_request_that_met_a_panic_is_counted_once_and_as_our_fault() {
    let _alone = alone().await;
    let origin = origin().await;
    let proxy = proxy(&origin, 1).await;

    let mut trapped = proxy.wire().await;
    trapped.send(get("/after-a-wait")).await;
    trapped.closed().await;

    proxy.is_idle().await;
    let metrics = proxy.metrics();
    for name in ["evenkeel_requests_total", "evenkeel_request_duration_seconds_count"] {
        assert!((metrics.sum(name, &[]) - 1.0).abs() < 0.5, "{}", metrics.text());
    }
    for (name, label) in
        [("evenkeel_requests_total", ("code", "500")), ("evenkeel_responses_local_total", ("reason", "internal"))]
    {
        assert!((metrics.sum(name, &[label]) - 1.0).abs() < 0.5, "{}", metrics.text());
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_panic_while_a_client_sends_gives_everything_back() {
    let _alone = alone().await;
    let origin = origin().await;
    let proxy = proxy(&origin, 1).await;

    for path in TRAPS {
        let mut trapped = proxy.wire().await;
        trapped.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nand so")).await;
        if path == "/in-the-answer" || path == "/in-the-layers-future" {
            // These come to their bug when the endpoint has the whole body.
            trapped.send("x".repeat(100_000 - "and so".len())).await;
        }
        trapped.closed().await;
    }

    proxy.is_idle().await;
    eventually("no connection is left", || proxy.connections() == 0).await;
    assert_eq!(proxy.client().get("/").status().await, 200);
}

#[tokio::test]
async fn among_hundreds_of_panics_every_other_request_is_answered() {
    const CLIENTS: usize = 8;
    const EACH: usize = 100;
    let _alone = alone().await;
    let origin = origin().await;
    let proxy = proxy(&origin, 2).await;
    let (before, mut chance) = (panics::count(), Chance::printed());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (place, mut chance) = (proxy.at("web"), Chance::from_seed(chance.next_u64()));
        clients.spawn(async move {
            let (mut wire, mut trapped) = (Wire::to(&place).await, 0);
            for _ in 0..EACH {
                let trap = usize::try_from(chance.below(10)).ok().and_then(|n| TRAPS.get(n));
                wire.send(get(trap.copied().unwrap_or("/"))).await;
                if trap.is_some() {
                    trapped += 1;
                    wire.closed().await;
                    wire = Wire::to(&place).await;
                } else {
                    assert_eq!(wire.response().await.status, 200);
                }
            }
            trapped
        });
    }

    let trapped: u64 = clients.join_all().await.into_iter().sum();

    assert_eq!(panics::count() - before, trapped);
    proxy.is_idle().await;
    eventually("no connection is left", || proxy.connections() == 0).await;
    assert!(proxy.metrics().all("evenkeel_connections", &[]).all(|sample| sample.value.abs() < 0.5));
}

//! What an embedding program puts around the proxy and into it is made once in each worker.

use crate::support::{Running, alone, builder, config, filtered, text};
use evenkeel_proxy::{Body, CustomFilter, Flow, ProxyService};
use evenkeel_testkit::{Origin, RawOrigin, Script};
use http::{HeaderValue, Request, Response, StatusCode};
use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::task::spawn_blocking;
use tower::{ServiceExt, service_fn};

/// Who was where: the names of threads, in no order.
#[derive(Clone, Default)]
struct Guests(Arc<Mutex<Vec<String>>>);

impl Guests {
    fn sign(&self) {
        let name = thread::current().name().unwrap_or_default().to_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    }

    fn sorted(&self) -> Vec<String> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        names.sort();
        names
    }
}

/// Numbers the requests that it sees, in a cell without a lock.
struct Numbering(Cell<u32>);

impl CustomFilter for Numbering {
    fn on_request<'a>(
        &'a self,
        request: &'a mut Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Flow, String>> + 'a>> {
        Box::pin(async move {
            if request.uri().path() == "/fails" {
                return Err("the filter's own reason".to_owned());
            }
            self.0.set(self.0.get() + 1);
            request.headers_mut().insert("x-number", HeaderValue::from(self.0.get()));
            Ok(Flow::Continue)
        })
    }
}

#[tokio::test]
async fn a_layer_runs_once_in_each_worker_and_not_again_for_a_change() {
    let origin = Origin::http1().start().await;
    let (settings, guests) = (config(&text(&origin)), Guests::default());
    let (first, signing) = (settings.clone(), guests.clone());
    let proxy = Running::start(move || {
        let layer = move |service| {
            signing.sign();
            service
        };
        builder(first, 3).layer(layer).run()
    })
    .await;
    assert_eq!(guests.sorted(), ["worker-0", "worker-1", "worker-2"]);

    assert_eq!(proxy.client().get("/").repeat(10).statuses().await, [200; 10]);
    proxy.publish(settings).await.unwrap();
    assert_eq!(proxy.client().get("/").status().await, 200);

    assert_eq!(guests.sorted().len(), 3);
}

#[tokio::test]
async fn a_filter_is_made_once_in_each_worker_and_remembers_over_a_change() {
    let origin = Origin::http1().start().await;
    let (settings, guests) = (filtered(&text(&origin), "numbering"), Guests::default());
    let (first, signing) = (settings.clone(), guests.clone());
    let make = move || {
        signing.sign();
        Rc::new(Numbering(Cell::new(0))) as Rc<dyn CustomFilter>
    };
    let proxy = Running::start(move || builder(first, 2).filter("numbering", make).run()).await;
    assert_eq!(guests.sorted(), ["worker-0", "worker-1"]);

    // One connection, so one worker.
    let client = proxy.client();
    for (number, change) in [("1", false), ("2", true), ("3", true)] {
        if change {
            proxy.publish(settings.clone()).await.unwrap();
        }
        assert_eq!(client.get("/").status().await, 200);
        assert_eq!(origin.last_seen().header("x-number"), Some(number));
    }

    assert_eq!(client.connections(), 1);
    assert_eq!(guests.sorted().len(), 2);
}

#[tokio::test]
async fn a_failing_filter_costs_its_request_a_500_and_says_nothing_to_the_client() {
    let origin = Origin::http1().start().await;
    let settings = filtered(&text(&origin), "numbering");
    let make = || Rc::new(Numbering(Cell::new(0))) as Rc<dyn CustomFilter>;
    let proxy = Running::start(move || builder(settings, 1).filter("numbering", make).run()).await;
    let client = proxy.client();

    let failed = client.get("/fails").send().await;

    assert_eq!(failed.status, 500);
    assert!(!failed.text().contains("own reason"), "{}", failed.text());
    assert_eq!(client.get("/").status().await, 200);
    assert_eq!((client.connections(), origin.requests()), (1, 1));
}

#[tokio::test]
async fn a_layer_may_answer_itself_and_may_change_what_passes() {
    let origin = Origin::http1().start().await;
    let settings = config(&text(&origin));
    let proxy = Running::start(move || {
        let layer = |inner: ProxyService| {
            service_fn(move |mut request: Request<Body>| {
                let inner = inner.clone();
                async move {
                    if request.uri().path() == "/own" {
                        let mut own = Response::new(Body::from("from the layer".to_owned()));
                        *own.status_mut() = StatusCode::IM_A_TEAPOT;
                        return Ok(own);
                    }
                    request.headers_mut().insert("x-layer", HeaderValue::from_static("was here"));
                    inner.oneshot(request).await
                }
            })
        };
        builder(settings, 1).layer(layer).run()
    })
    .await;
    let client = proxy.client();

    for _ in 0..2 {
        let own = client.get("/own").send().await;
        assert_eq!((own.status, own.text().as_str()), (418, "from the layer"));
        assert_eq!(client.post("/", "a body").status().await, 200);
        assert_eq!(origin.last_seen().header("x-layer"), Some("was here"));
        assert_eq!(origin.last_seen().body, "a body");
    }
    assert_eq!(client.connections(), 1);
}

#[tokio::test]
async fn an_answer_of_a_layer_to_head_says_the_length_of_that_to_get_and_a_204_has_none() {
    let origin = Origin::http1().start().await;
    let settings = config(&text(&origin));
    let proxy = Running::start(move || {
        let own = |_: ProxyService| {
            service_fn(async |request: Request<Body>| {
                let mut own = Response::new(Body::from("from the layer".to_owned()));
                if request.uri().path() == "/204" {
                    *own.status_mut() = StatusCode::NO_CONTENT;
                    own.headers_mut().insert("content-length", HeaderValue::from(14));
                }
                Ok(own)
            })
        };
        builder(settings, 1).layer(own).run()
    })
    .await;
    let mut wire = proxy.wire().await;

    for (method, path, length) in [("GET", "/", Some("14")), ("HEAD", "/", Some("14")), ("GET", "/204", None)] {
        wire.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let answer = wire.response_to(method).await;
        assert_eq!(answer.header("content-length"), length, "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_layer_that_takes_a_101_away_opens_no_tunnel() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let origin = RawOrigin::start(Script::new().reads_head().sends(switch).stalls()).await;
    let settings = config(&text(&origin));
    let proxy = Running::start(move || {
        let layer = |inner: evenkeel_proxy::ProxyService| {
            inner.map_response(|mut response: Response<Body>| {
                assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
                *response.status_mut() = StatusCode::FORBIDDEN;
                response
            })
        };
        builder(settings, 1).layer(layer).run()
    })
    .await;
    let mut wire = proxy.wire().await;

    for n in 0..2 {
        wire.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        assert_eq!(wire.response().await.status, 403);
        origin.is_left(n).await;
    }

    proxy.is_idle().await;
}

#[tokio::test]
async fn a_worker_whose_layer_panics_keeps_the_proxy_from_starting() {
    let _alone = alone().await;
    let origin = Origin::http1().start().await;
    for workers in [1, 2] {
        let settings = config(&text(&origin));
        let start = move || {
            let layer = |service| {
                assert_ne!(thread::current().name(), Some("worker-0"), "the layer's bug");
                service
            };
            builder(settings, workers).layer(layer).run()
        };

        let refused = spawn_blocking(start).await.expect("it does not panic").expect_err("it does not start");

        assert_eq!(refused.to_string(), "worker 0 panicked before it could serve");
    }
}

#[tokio::test]
async fn a_layer_may_take_longer_than_a_client_for_its_head() {
    let origin = Origin::http1().start().await;
    let mut settings = config(&text(&origin));
    settings.listeners[0].timeouts.request_head = Duration::from_millis(200);
    let proxy = Running::start(move || {
        let layer = |inner: ProxyService| {
            service_fn(move |request: Request<Body>| {
                let inner = inner.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    if request.uri().path() == "/own" {
                        return Ok(Response::new(Body::from("from the layer".to_owned())));
                    }
                    inner.oneshot(request).await
                }
            })
        };
        builder(settings, 1).layer(layer).run()
    })
    .await;

    let client = proxy.client();
    for path in ["/own", "/", "/own"] {
        assert_eq!(client.get(path).status().await, 200, "{path}");
    }
    assert_eq!(client.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_only_a_layer_answers_is_closed_when_idle() {
    let origin = Origin::http1().start().await;
    let mut settings = config(&text(&origin));
    settings.listeners[0].timeouts.idle = Duration::from_millis(200);
    let proxy = Running::start(move || {
        let own = |_: ProxyService| {
            service_fn(async |_: Request<Body>| Ok(Response::new(Body::from("from the layer".to_owned()))))
        };
        builder(settings, 1).layer(own).run()
    })
    .await;
    let mut wire = proxy.wire().await;

    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    assert_eq!(wire.response().await.status, 200);
    wire.closed().await;
}

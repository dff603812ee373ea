//! Evenkeel inside a program of your own: the proxy is a tower `Service`, here behind a layer that counts requests and signs answers.
//!
//!     cargo run --example fleet &                 # three services to balance over
//!     cargo run --example embed -- --for 1m
//!     curl -i http://127.0.0.1:8080/              # from one of the three, signed
//!     curl -i http://127.0.0.1:8080/hello         # from nobody but the proxy, signed as well
//!
//! A text in the language of `config/full.toml` becomes a `Config` (or you fill one by hand), that becomes a `Snapshot`, and that is
//! served by workers. A worker is a thread of its own and nothing on the way of a request is `Send`, so a layer is given as a function
//! that runs once in each worker. `Proxy::publish` takes another `Config` at any time and loses no request.
//!
//! What the binary does besides, and you do if you want it: probes (`evenkeel_health::Checker`), resolving host names
//! (`Target::resolve`), the admin listener (`evenkeel_admin::serve`), watching a file (`evenkeel_config::Watch`), signals.

use anyhow::Context as _;
use clap::Parser;
use evenkeel_config::parse;
use evenkeel_model::parse_duration;
use evenkeel_proxy::{Body, Proxy, Snapshot};
use http::{HeaderValue, Request, Response};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};
use tower::{Layer, Service};

/// What is served. The endpoints are those of `examples/fleet.rs`.
pub(crate) const FILE: &str = r#"
    [listeners.web]
    listen = "127.0.0.1:8080"

    [[routes]]
    path = "/hello"
    filters = [{ fixed_response = { body = "hello from inside\n" } }]

    [[routes]]
    upstream = "fleet"

    [upstreams.fleet]
    endpoints = ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"]
"#;

/// Threads that serve.
const WORKERS: usize = 2;

/// How long requests may still take when the program ends.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Parser)]
struct Options {
    /// End after this time, such as 2s.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, default_value = "1m")]
    time: Duration,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let served = Arc::new(AtomicU64::new(0));
    let proxy = serve(FILE, &served)?;
    for (listener, address) in proxy.addresses() {
        println!("'{listener}' listens on {address} for {:?}", options.time);
    }
    thread::sleep(options.time);
    end(&proxy);
    println!("{} requests", served.load(Relaxed));
    Ok(())
}

/// Serves what the text says, behind our layer.
pub(crate) fn serve(text: &str, served: &Arc<AtomicU64>) -> anyhow::Result<Proxy> {
    let (config, problems) = parse(text, "embed.toml");
    let config = config.with_context(|| problems.render(false))?;
    let snapshot = Snapshot::build(config, WORKERS, None)?;
    let sign = Sign { served: Arc::clone(served) };
    Ok(Proxy::builder(snapshot).layer(move |service| sign.layer(service)).run()?)
}

/// Accepts no more, lets every request come to its end, and stops.
pub(crate) fn end(proxy: &Proxy) {
    let begun = Instant::now();
    proxy.end();
    while proxy.connections() > 0 && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(10));
    }
    proxy.stop();
}

/// A layer like any other.
#[derive(Clone)]
struct Sign {
    served: Arc<AtomicU64>,
}

impl<S> Layer<S> for Sign {
    type Service = Signing<S>;

    fn layer(&self, inner: S) -> Signing<S> {
        Signing { inner, served: Arc::clone(&self.served) }
    }
}

/// Counts what it passes on, and signs what comes back. Cloned for each request: keep it small.
#[derive(Clone)]
struct Signing<S> {
    inner: S,
    served: Arc<AtomicU64>,
}

impl<S> Service<Request<Body>> for Signing<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    // Not `Send`: it never leaves its worker.
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.served.fetch_add(1, Relaxed);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            response.headers_mut().insert("x-signed-by", HeaderValue::from_static("embed"));
            Ok(response)
        })
    }
}

//! A filter of your own: a route that answers nobody without an API key.
//!
//!     cargo run --example fleet &                                          # three services to balance over
//!     cargo run --example custom_filter -- --key secret --for 1m
//!     curl -i http://127.0.0.1:8080/                                       # open to all
//!     curl -i http://127.0.0.1:8080/api                                    # 401
//!     curl -i http://127.0.0.1:8080/api -H "X-Api-Key: secret"             # from one of the three
//!
//! The proxy's builder is given a function that makes the filter, under a name; a route names it by `Filter::Custom`. The function runs
//! once in each worker, so that a filter needs neither locks nor `Send`, and may keep a `RefCell`. It must not block: a worker is one
//! thread. Should it panic, the connection that it worked for ends, and no other.

use anyhow::Context as _;
use clap::Parser;
use evenkeel_config::parse;
use evenkeel_model::{Filter, parse_duration};
use evenkeel_proxy::{Body, CustomFilter, Flow, Proxy, Snapshot};
use http::{HeaderValue, Request, Response, StatusCode, header};
use std::{pin::Pin, rc::Rc, sync::Arc, thread, time::Duration};

/// What is served. The endpoints are those of `examples/fleet.rs`.
pub(crate) const FILE: &str = r#"
    [listeners.web]
    listen = "127.0.0.1:8080"

    [[routes]]
    name = "api"
    path_prefix = "/api"
    upstream = "fleet"

    [[routes]]
    name = "open"
    upstream = "fleet"

    [upstreams.fleet]
    endpoints = ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"]
"#;

/// The name by which routes and the builder know the filter.
const API_KEY: &str = "api_key";

/// Threads that serve.
const WORKERS: usize = 2;

#[derive(Parser)]
struct Options {
    /// A key that opens the route; may be given several times.
    #[arg(long = "key", required = true)]
    keys: Vec<Arc<str>>,
    /// End after this time, such as 2s.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, default_value = "1m")]
    time: Duration,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let proxy = serve(FILE, options.keys)?;
    for (listener, address) in proxy.addresses() {
        println!("'{listener}' listens on {address} for {:?}", options.time);
    }
    thread::sleep(options.time);
    // Dropping the proxy stops it at once; `examples/embed.rs` shows how to end in peace.
    Ok(())
}

/// Serves what the text says; its route `api` takes one of these keys.
pub(crate) fn serve(text: &str, keys: Vec<Arc<str>>) -> anyhow::Result<Proxy> {
    let (config, problems) = parse(text, "custom_filter.toml");
    let mut config = config.with_context(|| problems.render(false))?;
    let api = config.routes.iter_mut().find(|route| route.name.as_str() == "api");
    // First in its order: what is refused should cost nothing more.
    api.context("there is a route 'api'")?.filters.insert(0, Filter::Custom(API_KEY.into()));

    let snapshot = Snapshot::build(config, WORKERS, None)?;
    let keys: Arc<[_]> = keys.into();
    let make = move || Rc::new(ApiKey { keys: Arc::clone(&keys) }) as Rc<dyn CustomFilter>;
    Ok(Proxy::builder(snapshot).filter(API_KEY, make).run()?)
}

/// Lets nobody pass who does not show a key.
struct ApiKey {
    keys: Arc<[Arc<str>]>,
}

impl ApiKey {
    fn decide(&self, request: &mut Request<Body>) -> Flow {
        // Taken off the request: the endpoints have no use for it, and their logs even less.
        let shown = request.headers_mut().remove("x-api-key");
        if shown.is_some_and(|shown| self.keys.iter().any(|key| same(key.as_bytes(), shown.as_bytes()))) {
            return Flow::Continue;
        }
        let mut refusal = Response::new(Body::from("an API key is needed\n".to_owned()));
        *refusal.status_mut() = StatusCode::UNAUTHORIZED;
        // RFC 9110, section 15.5.2: a 401 says what would help.
        refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
        Flow::Answer(refusal)
    }
}

/// Takes as long for a guess that is nearly right as for any other of its length.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

impl CustomFilter for ApiKey {
    fn on_request<'a>(
        &'a self,
        request: &'a mut Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Flow, String>> + 'a>> {
        Box::pin(async move { Ok(self.decide(request)) })
    }

    fn on_response(&self, response: &mut Response<Body>) {
        // What one key has opened is not for a cache to give to another (RFC 9111, section 5.2.2.7).
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}

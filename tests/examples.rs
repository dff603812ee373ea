//! The examples do what their first lines say. `cargo test` builds them as programs; here their parts run.

#[path = "../examples/custom_filter.rs"]
#[expect(dead_code, reason = "its `main` is for those who try it")]
mod custom_filter;
#[path = "../examples/embed.rs"]
#[expect(dead_code, reason = "its `main` is for those who try it")]
mod embed;
#[path = "../examples/fleet.rs"]
#[expect(dead_code, reason = "its `main` is for those who try it")]
mod fleet;

use evenkeel_proxy::{Proxy, Snapshot};
use evenkeel_testkit::{Client, Origin, Place, in_time};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::task::spawn_blocking;

/// An example's text, listening on any port, with one endpoint of ours.
fn with_endpoint(text: &str, origin: &Origin) -> String {
    let text = text.replace("127.0.0.1:8080", "127.0.0.1:0");
    let (before, endpoints) = text.split_once("endpoints = [").expect("the example has endpoints");
    let (_, after) = endpoints.split_once(']').expect("the list ends");
    format!("{before}endpoints = [\"{origin}\"]{after}")
}

/// Starting waits for the workers, and this thread has endpoints to run.
async fn started(start: impl FnOnce() -> anyhow::Result<Proxy> + Send + 'static) -> (Arc<Proxy>, Client) {
    let started = in_time("the proxy starts", spawn_blocking(start)).await.expect("it does not panic");
    let proxy = started.expect("it starts");
    let (_, address) = proxy.addresses().remove(0);
    (Arc::new(proxy), Client::of(&Place::parse(&address.to_string())))
}

#[tokio::test]
async fn an_embedded_proxy_serves_behind_a_layer_of_the_program() {
    let origin = Origin::http1().named("one").start().await;
    let text = with_endpoint(embed::FILE, &origin);
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    let (proxy, client) = started(move || embed::serve(&text, &count)).await;

    let forwarded = client.get("/").send().await;
    let own = client.get("/hello").send().await;

    assert_eq!((forwarded.status, forwarded.origin()), (200, "one"));
    assert_eq!((own.status, own.text().as_str()), (200, "hello from inside\n"));
    for response in [&forwarded, &own] {
        assert_eq!(response.header("x-signed-by"), Some("embed"));
    }
    assert_eq!(served.load(Relaxed), 2);
    let ending = Arc::clone(&proxy);
    in_time("it ends in peace", spawn_blocking(move || embed::end(&ending))).await.unwrap();
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn an_embedded_proxy_refuses_a_text_with_mistakes_and_names_them() {
    let refused = embed::serve("[listeners.web]\nlisten = 80\n", &Arc::default()).unwrap_err();
    assert!(refused.to_string().contains("embed.toml:2:10"), "{refused}");
}

#[tokio::test]
async fn a_custom_filter_lets_nobody_pass_without_a_key() {
    let origin = Origin::http1().start().await;
    let text = with_endpoint(custom_filter::FILE, &origin);
    let (_proxy, client) = started(move || custom_filter::serve(&text, vec!["one".into(), "two".into()])).await;

    assert_eq!(client.get("/open").status().await, 200);
    for shown in ["", "on", "onee", "three"] {
        let refused = client.get("/api/x").header("x-api-key", shown).send().await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("ApiKey")), "{shown:?}");
    }
    assert_eq!(client.get("/api").status().await, 401);
    assert_eq!(origin.requests(), 1);

    for shown in ["one", "two"] {
        let passed = client.get("/api/x").header("x-api-key", shown).send().await;
        assert_eq!((passed.status, passed.header("cache-control")), (200, Some("private")));
        assert_eq!(origin.last_seen().header("x-api-key"), None);
    }
}

#[tokio::test]
async fn the_toy_fleet_is_balanced_over_by_the_file_that_it_prints() {
    let addresses = fleet::start(0).unwrap();
    let text = fleet::file("127.0.0.1:0", &addresses);
    let start = move || {
        let (config, problems) = evenkeel_config::parse(&text, "fleet.toml");
        let config = config.ok_or_else(|| anyhow::anyhow!(problems.render(false)))?;
        Ok(Proxy::builder(Snapshot::build(config, 1, None)?).run()?)
    };
    let (_proxy, client) = started(start).await;

    let mut names = BTreeSet::new();
    for response in client.post("/x", "a body").repeat(60).responses().await {
        assert_eq!(response.status, 200);
        let text = response.text();
        let (name, rest) = text.split_once(' ').unwrap();
        assert!(rest.starts_with("answers /x, its request number "), "{text}");
        names.insert(name.to_owned());
    }
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["quick", "slow", "steady"]);
    for address in addresses {
        assert_eq!(Client::of(&Place::Tcp(address)).get("/health").send().await.text(), "ok\n");
    }
}

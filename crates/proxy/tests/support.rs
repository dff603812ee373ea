//! A proxy in this process, and how it is looked at.

use evenkeel_config::parse;
use evenkeel_model::{Config, Filter};
use evenkeel_proxy::{Builder, Proxy, PublishError, Snapshot};
use evenkeel_telemetry::{Exposition, panics};
use evenkeel_testkit::{Client, Metrics, Place, Wire, in_time, until};
use std::{fmt::Display, ops::Deref, sync::Arc};
use tokio::{
    sync::{Mutex, MutexGuard},
    task::spawn_blocking,
};

/// The count of panics belongs to the process: one test at a time makes some. The hook is the binary's.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    let alone = ALONE.lock().await;
    panics::install_hook();
    alone
}

/// Every request goes to this endpoint; a change takes no grace.
pub(crate) fn text(endpoint: impl Display) -> String {
    format!(
        r#"
        [listeners.web]
        listen = "127.0.0.1:0"

        [[routes]]
        upstream = "site"

        [upstreams.site]
        endpoints = ["{endpoint}"]

        [drain]
        grace = "0s"
        "#
    )
}

/// The configuration that a text says.
pub(crate) fn config(text: &str) -> Config {
    let (config, problems) = parse(text, "test.toml");
    config.unwrap_or_else(|| panic!("{}", problems.render(false)))
}

/// The same, with a filter of this name on every route.
pub(crate) fn filtered(text: &str, filter: &str) -> Config {
    let mut config = config(text);
    for route in &mut config.routes {
        route.filters.push(Filter::Custom(filter.into()));
    }
    config
}

/// A builder for this configuration.
pub(crate) fn builder(config: Config, workers: usize) -> Builder {
    Proxy::builder(Snapshot::build(config, workers, None).expect("the configuration is sound"))
}

/// A running proxy; dropping it stops it.
pub(crate) struct Running(Arc<Proxy>);

impl Deref for Running {
    type Target = Arc<Proxy>;

    fn deref(&self) -> &Arc<Proxy> {
        &self.0
    }
}

impl Running {
    /// Starts it in a thread of its own: it waits for its workers, and this thread has endpoints to run.
    pub(crate) async fn start(run: impl FnOnce() -> Result<Proxy, PublishError> + Send + 'static) -> Self {
        let started = in_time("the proxy starts", spawn_blocking(run)).await.expect("it does not panic");
        Self(Arc::new(started.expect("it starts")))
    }

    /// Where a listener is.
    pub(crate) fn at(&self, listener: &str) -> Place {
        let addresses = self.addresses();
        let found = addresses.iter().find(|(name, _)| name.as_str() == listener);
        Place::parse(&found.expect("a listener of this name").1.to_string())
    }

    pub(crate) fn client(&self) -> Client {
        Client::of(&self.at("web"))
    }

    pub(crate) async fn wire(&self) -> Wire {
        Wire::to(&self.at("web")).await
    }

    /// Makes this the configuration in force, and waits until every worker serves it.
    pub(crate) async fn publish(&self, config: Config) -> Result<u64, PublishError> {
        let proxy = Arc::clone(&self.0);
        // Built in a blocking task, as any program would.
        let published = spawn_blocking(move || proxy.publish(config)).await.expect("it does not panic");
        let (generation, served) = published?;
        in_time("every worker serves it", served.wait()).await;
        Ok(generation)
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let mut page = Exposition::new();
        self.scrape(&mut page);
        Metrics::parse(&page.finish())
    }

    /// Waits until nothing is in flight anywhere: on routes, at endpoints, over connections.
    pub(crate) async fn is_idle(&self) {
        until("nothing is in flight", async || {
            let metrics = self.metrics();
            let gauges = [
                ("evenkeel_requests_in_flight", &[][..]),
                ("evenkeel_endpoint_requests_in_flight", &[]),
                ("evenkeel_upstream_connections", &[("state", "active")]),
            ];
            gauges.iter().all(|(name, labels)| metrics.all(name, labels).all(|s| s.value.abs() < 0.5)).then_some(())
        })
        .await;
    }
}

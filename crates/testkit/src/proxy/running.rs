//! A running proxy: where it listens, what it says about itself, and what an operator does to it.

use super::{
    builder::{Builder, with_preamble},
    file::{ConfigFile, Edit},
    metrics::Metrics,
    process::{Exit, Process, Signal},
};
use crate::{
    client::{Client, Response},
    eventually::until,
    load::Load,
    place::Place,
    wire::Wire,
};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Display, fs, path::Path, time::Duration};
use tempfile::TempDir;

/// A running proxy. Dropping it kills it.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    file: ConfigFile,
    workers: usize,
    listeners: BTreeMap<String, Place>,
    admin: Option<Place>,
    // Last, so that it is removed after the process is gone.
    folder: TempDir,
}

impl Proxy {
    /// With this file, before which `Builder` puts what every test wants.
    pub fn with_config(text: &str) -> Builder {
        Builder::whole(text)
    }

    /// With exactly this file.
    pub fn with_exactly(text: &str) -> Builder {
        Builder::exact(text)
    }

    /// With the smallest file for this endpoint.
    pub fn with_upstream(endpoint: impl Display) -> Builder {
        Builder::with_endpoints([endpoint])
    }

    /// With the smallest file for these endpoints.
    pub fn with_endpoints(endpoints: impl IntoIterator<Item = impl Display>) -> Builder {
        Builder::with_endpoints(endpoints)
    }

    pub(super) fn new(process: Process, file: ConfigFile, folder: TempDir, workers: usize, line: &str) -> Self {
        let ready: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("no ready line ({e}): {line}"));
        assert_eq!(ready["ready"], Value::Bool(true), "{line}");
        let place = |value: &Value| value.as_str().map(Place::parse);
        let listeners = ready["listeners"].as_object().expect("the ready line names the listeners");
        let listeners = listeners.iter().filter_map(|(name, at)| Some((name.clone(), place(at)?))).collect();
        Self { process, file, workers, listeners, admin: place(&ready["admin"]), folder }
    }

    /// Where a listener is.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn at(&self, listener: &str) -> &Place {
        self.listeners.get(listener).unwrap_or_else(|| panic!("no listener '{listener}' in {:?}", self.listeners))
    }

    /// Where the only listener is, or the one called `web`.
    ///
    /// # Panics
    /// When there is neither.
    #[must_use]
    pub fn web(&self) -> &Place {
        match self.listeners.values().next() {
            Some(only) if self.listeners.len() == 1 => only,
            _ => self.at("web"),
        }
    }

    /// Where the admin listener is.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn admin(&self) -> &Place {
        self.admin.as_ref().expect("the proxy has an admin listener")
    }

    /// A client of `web`.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::of(self.web())
    }

    /// A client of another listener.
    #[must_use]
    pub fn client_of(&self, listener: &str) -> Client {
        Client::of(self.at(listener))
    }

    /// A bare socket to `web`.
    pub async fn wire(&self) -> Wire {
        Wire::to(self.web()).await
    }

    /// A load on `web`.
    pub fn load(&self) -> Load {
        Load::on(self.web())
    }

    /// A client of the admin listener.
    #[must_use]
    pub fn operator(&self) -> Client {
        Client::of(self.admin())
    }

    /// Asks the admin listener.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn asks_admin(&self, path: &str) -> Response {
        self.operator().get(path).send().await
    }

    /// A scrape of `/metrics`.
    ///
    /// # Panics
    /// When there is none.
    pub async fn metrics(&self) -> Metrics {
        let response = self.asks_admin("/metrics").await;
        assert_eq!(response.status, 200, "{}", response.text());
        Metrics::parse(&response.text())
    }

    /// Scrapes until the condition holds, and gives that scrape.
    ///
    /// # Panics
    /// When it does not come to hold; the message names `what`.
    pub async fn metrics_show(&self, what: &str, mut condition: impl FnMut(&Metrics) -> bool) -> Metrics {
        until(what, async || Some(self.metrics().await).filter(&mut condition)).await
    }

    /// Waits until so many requests, exactly, were answered by the proxy itself for this reason.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn counts_local(&self, reason: &str, requests: u32) {
        let what = format!("{requests} answers of our own with the reason {reason}");
        let labels = [("reason", reason)];
        let goal = f64::from(requests);
        self.metrics_show(&what, |m| (m.sum("evenkeel_responses_local_total", &labels) - goal).abs() < 0.5).await;
    }

    /// Waits until no request is in flight, on routes and at endpoints.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn is_idle(&self) {
        self.metrics_show("no request is in flight", |metrics| {
            ["evenkeel_requests_in_flight", "evenkeel_endpoint_requests_in_flight"]
                .iter()
                .all(|name| metrics.all(name, &[]).all(|sample| sample.value.abs() < 0.5))
        })
        .await;
    }

    /// Waits until this endpoint of the upstream `site` is seen as healthy, or not.
    pub async fn sees(&self, endpoint: impl Display, healthy: bool) {
        let endpoint = endpoint.to_string();
        let (what, value) = (format!("{endpoint} is seen as healthy: {healthy}"), f64::from(u8::from(healthy)));
        let labels = [("endpoint", endpoint.as_str())];
        self.metrics_show(&what, |metrics| {
            metrics.all("evenkeel_endpoint_healthy", &labels).any(|sample| (sample.value - value).abs() < 0.5)
        })
        .await;
    }

    /// The configuration file.
    #[must_use]
    pub fn file(&self) -> &ConfigFile {
        &self.file
    }

    /// A folder of its own, for sockets and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Changes the file so, and does not wait. What every test wants is put before the text as at the start.
    pub fn edit(&self, edit: Edit, text: &str) {
        self.file.change(edit, &with_preamble(text, self.workers));
    }

    /// Changes the file by a rename and waits until the proxy runs with it.
    ///
    /// # Panics
    /// When it does not come to that, or when the text is what the file says already.
    pub async fn reload_with(&self, text: &str) {
        self.reload_by(Edit::RenameOver, text).await;
    }

    /// Changes the file so and waits until the proxy runs with it.
    ///
    /// # Panics
    /// When it does not come to that, or when the text is what the file says already.
    pub async fn reload_by(&self, edit: Edit, text: &str) {
        assert_ne!(self.file.text(), with_preamble(text, self.workers), "a reload needs a change");
        let before = self.config_hash().await;
        self.edit(edit, text);
        until(&format!("the change by {edit:?} takes effect"), async || {
            let now = self.config_hash().await;
            (now.is_some() && now != before).then_some(())
        })
        .await;
    }

    /// The hash of the configuration that runs, from `evenkeel_config_info`.
    pub async fn config_hash(&self) -> Option<String> {
        self.metrics().await.label_values("evenkeel_config_info", "hash").into_iter().next()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Everything it has written to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// Every line it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.process.stdout()
    }

    /// Waits until the log contains this.
    pub async fn logs(&self, text: &str) {
        crate::eventually(&format!("the log says '{text}'"), || self.log().contains(text)).await;
    }

    /// The lines of the access log so far (see `Builder::access_log`).
    ///
    /// # Panics
    /// When a line is not JSON.
    #[must_use]
    pub fn access_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder().join("access.log")).unwrap_or_default();
        // What follows the last end of line is still being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("no JSON ({e}): {line}")))
            .collect()
    }

    /// Waits until the access log has so many lines, and gives them.
    pub async fn access_log_with(&self, lines: usize) -> Vec<Value> {
        let what = format!("{lines} lines in the access log");
        until(&what, async || Some(self.access_log()).filter(|log| log.len() >= lines)).await
    }

    /// Whether the process has ended.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// Waits until the process has ended.
    pub async fn exit(&mut self) -> Exit {
        self.process.exit().await
    }

    /// Waits until the process has ended, at most so long.
    pub async fn exit_within(&mut self, bound: Duration) -> Exit {
        self.process.exit_within(bound).await
    }
}

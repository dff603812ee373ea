//! What the API shows, as plain data. Field names are the API: they are kept.

use serde::{Serialize, Serializer};
use std::{path::PathBuf, time::SystemTime};

/// One upstream of `GET /api/upstreams`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamView {
    /// Its name in the file.
    pub name: String,
    /// The algorithm's name in the file.
    pub balance: String,
    /// In the order of the file.
    pub endpoints: Vec<EndpointView>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointView {
    /// As written in the file.
    pub address: String,
    /// Its share, 1 to 65535.
    pub weight: u16,
    /// Whether it gets requests, and why not.
    pub state: EndpointState,
    /// Since when a probe has said so; `None` when none has.
    #[serde(serialize_with = "maybe_time")]
    pub since: Option<SystemTime>,
    /// Requests that it is working on now, over all workers.
    pub in_flight: usize,
    /// What was wrong with the last probe; `None` after a good one, or without probes.
    pub last_error: Option<String>,
}

/// Whether an endpoint gets requests. Of several reasons why not, the one that a person gave comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Gets requests.
    Healthy,
    /// Its probes fail.
    Unhealthy,
    /// No verdict yet: gets requests only while no other endpoint is healthy.
    Unknown,
    /// Its answers to real requests were too bad.
    Ejected,
    /// Told to rest.
    Draining,
    /// Its host name has never been resolved.
    Unresolved,
}

/// The answer of `GET /api/config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigView {
    /// Of the file's content, 16 hex digits.
    pub hash: String,
    /// Counts the swaps since the start.
    pub generation: u64,
    /// The file.
    pub path: PathBuf,
    /// When what runs was read.
    #[serde(serialize_with = "time")]
    pub loaded_at: SystemTime,
    /// The last attempt to change it; `None` before the first.
    pub last_reload: Option<LastReload>,
}

/// How the last reload went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastReload {
    /// Whether it took effect. If not, the configuration before it still runs.
    pub successful: bool,
    /// When.
    #[serde(serialize_with = "time")]
    pub at: SystemTime,
    /// What was wrong, or worth a warning: one text for each problem.
    pub problems: Vec<String>,
}

/// The answer of `POST /api/reload`, when the file was good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReloadView {
    /// False when the file is what already runs.
    pub changed: bool,
    /// Of the file's content, 16 hex digits.
    pub hash: String,
    /// The generation that runs now.
    pub generation: u64,
}

/// The answer of `GET /debug/last-errors`: newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LastErrorsView {
    /// What clients sent.
    pub requests: Vec<MalformedView>,
    /// What endpoints sent.
    pub responses: Vec<MalformedView>,
    /// Messages that were not kept because somebody was reading just then.
    pub missed: u64,
}

/// A message that broke HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MalformedView {
    /// When.
    #[serde(serialize_with = "time")]
    pub time: SystemTime,
    /// By which listener its client came.
    pub listener: String,
    /// The client's address; `None` over a unix socket.
    pub client: Option<String>,
    /// The upstream that sent it; `None`: a client did.
    pub upstream: Option<String>,
    /// And its endpoint.
    pub endpoint: Option<String>,
    /// As in metrics and log.
    pub reason: String,
    /// What is wrong.
    pub cause: String,
    /// What is there of its head; `None` when a body is malformed.
    pub head: Option<HeadView>,
}

/// A head, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeadView {
    /// Its bytes: printable ASCII as it is, all else escaped as in a Rust string.
    pub bytes: String,
    /// Bytes of the head before these.
    pub skipped: usize,
    /// Of the first byte that is wrong, from the begin of the head; `None`: it is not known.
    pub offset: Option<usize>,
    /// Byte by byte what came; otherwise made of what was understood.
    pub as_received: bool,
}

/// RFC 3339 in UTC, to the millisecond.
fn time<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

fn maybe_time<S: Serializer>(at: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}

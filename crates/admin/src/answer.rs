//! From a request to its answer.
//!
//! Called from `serve` once for each connection. A failure inside becomes a 500 here; nothing reaches the connection as an error.

use crate::{Operations, browser};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use serde::Serialize;
use std::sync::Arc;
use tokio::task::JoinError;

/// Bytes of a request body that we read and ignore. No question has a body; a client that sends one all the same
/// should see its answer rather than a reset connection, up to here.
const BODY_MAX: usize = 64 * 1024;

/// The text format of Prometheus (exposition formats, section "Text-based format").
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

const INDEX: &str = "\
evenkeel

GET  /metrics         counters and gauges, for Prometheus
GET  /livez           200 while the process runs
GET  /readyz          200 while new traffic is welcome, else 503
GET  /api/upstreams   every endpoint with its state and its last probe's error
GET  /api/config      what runs, since when, and how the last reload went
POST /api/reload      read the file again
GET  /debug/last-errors
                      the last messages that broke HTTP, and where they do
";

/// From where the admin listener can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A unix socket: its permissions guard it, and no browser reaches it.
    File,
    /// Loopback: this machine only, its browsers included.
    Machine,
    /// Any other address: metrics and readiness only.
    Network,
}

/// The questions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Index,
    Metrics,
    Live,
    Ready,
    Upstreams,
    Config,
    Reload,
    LastErrors,
}

impl Question {
    fn find(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Index,
            "/metrics" => Self::Metrics,
            "/livez" => Self::Live,
            "/readyz" => Self::Ready,
            "/api/upstreams" => Self::Upstreams,
            "/api/config" => Self::Config,
            "/api/reload" => Self::Reload,
            "/debug/last-errors" => Self::LastErrors,
            _ => return None,
        })
    }

    /// The methods of the `Allow` field.
    fn methods(self) -> &'static [Method] {
        match self {
            Self::Reload => &[Method::POST],
            Self::Index
            | Self::Metrics
            | Self::Live
            | Self::Ready
            | Self::Upstreams
            | Self::Config
            | Self::LastErrors => &[Method::GET, Method::HEAD],
        }
    }

    /// Whether it may be asked from another machine.
    fn is_public(self) -> bool {
        matches!(self, Self::Metrics | Self::Live | Self::Ready)
    }

    /// Whether it tells or changes what a web page should not.
    fn is_api(self) -> bool {
        matches!(self, Self::Upstreams | Self::Config | Self::Reload | Self::LastErrors)
    }
}

type Answer = Response<Full<Bytes>>;

/// The answer to one request.
pub(crate) async fn answer(request: Request<Incoming>, reach: Reach, operations: Arc<dyn Operations>) -> Answer {
    let question = match admit(&request, reach) {
        Ok(question) => question,
        Err(refusal) => return refuse(&refusal),
    };
    if !skip(request.into_body()).await {
        return say(StatusCode::PAYLOAD_TOO_LARGE, "no question here has a body");
    }
    act(question, operations).await.unwrap_or_else(|error| {
        tracing::error!(%error, ?question, "the admin listener could not answer");
        say(StatusCode::INTERNAL_SERVER_ERROR, "this answer failed: the log says why")
    })
}

/// Reads a body and forgets it; false when it is, or says that it will be, longer than [`BODY_MAX`].
async fn skip(body: Incoming) -> bool {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    announced <= BODY_MAX && Limited::new(body, BODY_MAX).collect().await.is_ok()
}

/// Why a question is not answered.
enum Refusal {
    Unknown,
    OffLoopback,
    Method(&'static [Method]),
    Browser(&'static str),
}

/// Whether this may be asked: is there such a question, from there, with that method, by a program?
fn admit<B>(request: &Request<B>, reach: Reach) -> Result<Question, Refusal> {
    let question = Question::find(request.uri().path()).ok_or(Refusal::Unknown)?;
    if reach == Reach::Network && !question.is_public() {
        return Err(Refusal::OffLoopback);
    }
    if !question.methods().contains(request.method()) {
        return Err(Refusal::Method(question.methods()));
    }
    if reach == Reach::Machine && question.is_api() {
        browser::allows(request).map_err(Refusal::Browser)?;
    }
    Ok(question)
}

fn refuse(refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::Unknown => say(StatusCode::NOT_FOUND, "not found: GET / lists what there is"),
        Refusal::OffLoopback => {
            say(StatusCode::FORBIDDEN, "off loopback the admin listener serves /metrics, /livez and /readyz only")
        }
        Refusal::Browser(reason) => say(StatusCode::FORBIDDEN, reason),
        Refusal::Method(allowed) => {
            let allow = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let mut answer = say(StatusCode::METHOD_NOT_ALLOWED, &format!("method not allowed: use {allow}"));
            let allow = HeaderValue::try_from(allow).expect("method names are field values");
            answer.headers_mut().insert(header::ALLOW, allow);
            answer
        }
    }
}

/// Does what was asked. What may take long runs on a blocking thread, so that probe timers on the control thread do not lag.
async fn act(question: Question, operations: Arc<dyn Operations>) -> Result<Answer, JoinError> {
    Ok(match question {
        Question::Index => content(StatusCode::OK, TEXT, INDEX),
        Question::Live => say(StatusCode::OK, "alive"),
        Question::Ready => match operations.ready() {
            Ok(()) => say(StatusCode::OK, "ready"),
            Err(reason) => say(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {reason}")),
        },
        Question::Metrics => apart(move || content(StatusCode::OK, PROMETHEUS, operations.metrics())).await?,
        Question::Upstreams => apart(move || json(&operations.upstreams())).await?,
        Question::Config => apart(move || json(&operations.config())).await?,
        Question::LastErrors => apart(move || json(&operations.last_errors())).await?,
        Question::Reload => {
            tracing::info!("reload asked over the admin API");
            // A task of its own: hyper drops this future when the client goes away, and a reload is never left half done.
            match tokio::spawn(operations.reload()).await? {
                Ok(view) => json(&view),
                Err(problems) => say(StatusCode::UNPROCESSABLE_ENTITY, problems.trim_end()),
            }
        }
    })
}

async fn apart(work: impl FnOnce() -> Answer + Send + 'static) -> Result<Answer, JoinError> {
    tokio::task::spawn_blocking(work).await
}

fn json(view: &impl Serialize) -> Answer {
    let mut text = serde_json::to_vec_pretty(view).expect("views have string keys and no fallible field");
    text.push(b'\n');
    content(StatusCode::OK, JSON, text)
}

/// A text for people, ended by a line break.
fn say(status: StatusCode, text: &str) -> Answer {
    content(status, TEXT, format!("{text}\n"))
}

fn content(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

//! What is counted, what is written down, and how we speak of ourselves.
//!
//! `proxy` and `health` write into the cells and the access log; `admin` reads the cells as one page of text; `server`
//! installs logging and the process metrics. Nothing here decides anything about a request, and nothing here makes a
//! worker wait: cells have one writer and no lock, a full access log drops lines and counts them.
//!
//! This is the only crate that knows `metrics` and `tracing-subscriber`. It never installs anything global by itself.

pub mod access_log;
mod cells;
pub mod check;
mod exposition;
pub mod logging;
pub mod names;
pub mod panics;
pub mod process;
pub mod scrape;

pub use cells::{
    BUCKETS, CodeClass, ConnectResult, Counter, EndpointCells, Fault, Gauge, GrpcClass, Histogram, HistogramSnapshot,
    Http2Fault, ListenerCells, MethodLabel, PerWorker, ProxyHeaderError, Reason, RequestCount, RequestTable,
    RetryOutcome, RouteCells, SessionCells, SessionResult, TlsFault, TlsHandshake, UpstreamCells, WorkerCells,
};
pub use exposition::{Exposition, Value};

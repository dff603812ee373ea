//! Counts of the hot path: plain per-worker cells, merged when somebody looks.
//!
//! A cell has one writer, its worker, so an update is a relaxed load and a relaxed store: no locked instruction, no
//! cache line that travels. Any thread may read. The exporter of `metrics` is not used here because it keeps every
//! sample of a histogram and cannot forget a series; these cells live and die with the thing that they count.

mod cell;
mod groups;
mod histogram;
mod labels;
mod per_worker;
mod reason;
mod request_table;

pub use cell::{Counter, Gauge};
pub use groups::{EndpointCells, ListenerCells, RouteCells, SessionCells, UpstreamCells, WorkerCells};
pub use histogram::{BUCKETS, Histogram, HistogramSnapshot};
pub use labels::{
    CodeClass, ConnectResult, GrpcClass, Http2Fault, MethodLabel, ProxyHeaderError, RetryOutcome, SessionResult,
    TlsFault, TlsHandshake,
};
pub use per_worker::PerWorker;
pub use reason::{Fault, Reason};
pub use request_table::{RequestCount, RequestTable};

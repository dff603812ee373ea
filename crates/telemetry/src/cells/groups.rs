//! The cells of one route, upstream, endpoint, listener or worker, as each worker keeps them in a [`PerWorker`].
//!
//! [`PerWorker`]: super::PerWorker

use super::{
    CodeClass, ConnectResult, Counter, Gauge, GrpcClass, Histogram, Http2Fault, ProxyHeaderError, Reason, RequestTable,
    RetryOutcome, SessionResult, TlsFault, TlsHandshake,
};

/// What is counted for a route.
#[derive(Debug, Default)]
pub struct RouteCells {
    /// Requests that ended, by listener, method and the code that the client saw.
    pub requests: RequestTable,
    /// From a request's first byte to the last byte of its answer.
    pub duration: Histogram,
    /// Requests that have begun and not ended.
    pub in_flight: Gauge,
    local: [Counter; Reason::COUNT],
    grpc: [Counter; GrpcClass::COUNT],
}

impl RouteCells {
    /// Answers that we made ourselves for this reason.
    #[inline]
    #[must_use]
    pub fn local(&self, reason: Reason) -> &Counter {
        &self.local[reason.index()]
    }

    /// Calls of gRPC that ended so.
    #[inline]
    #[must_use]
    pub fn grpc(&self, class: GrpcClass) -> &Counter {
        &self.grpc[class.index()]
    }
}

/// What is counted for an upstream.
#[derive(Debug, Default)]
pub struct UpstreamCells {
    /// From the start of an attempt to the head of its answer.
    pub duration: Histogram,
    /// Connections that carry a request.
    pub connections_active: Gauge,
    /// Connections that wait in a pool.
    pub connections_idle: Gauge,
    /// Attempts that found an idle connection.
    pub pool_hits: Counter,
    /// Attempts that had to connect.
    pub pool_misses: Counter,
    /// Retries that were not made because the budget was spent.
    pub retry_budget_exhausted: Counter,
    connects: [Counter; ConnectResult::COUNT],
    retries: [Counter; RetryOutcome::COUNT],
}

impl UpstreamCells {
    /// Attempts to connect that ended so.
    #[inline]
    #[must_use]
    pub fn connects(&self, result: ConnectResult) -> &Counter {
        &self.connects[result.index()]
    }

    /// Attempts after the first that ended so.
    #[inline]
    #[must_use]
    pub fn retries(&self, outcome: RetryOutcome) -> &Counter {
        &self.retries[outcome.index()]
    }
}

/// What is counted for an endpoint. No histogram: there may be ten thousand of them.
#[derive(Debug, Default)]
pub struct EndpointCells {
    requests: [Counter; CodeClass::COUNT],
}

impl EndpointCells {
    /// Attempts that ended so.
    #[inline]
    #[must_use]
    pub fn requests(&self, class: CodeClass) -> &Counter {
        &self.requests[class.index()]
    }
}

/// What is counted for a listener.
#[derive(Debug, Default)]
pub struct ListenerCells {
    /// Open client connections.
    pub connections: Gauge,
    /// Open client connections that have become tunnels.
    pub tunnels: Gauge,
    /// Client connections accepted.
    pub connections_total: Counter,
    /// Client connections that had to wait because `limits.connections_max` was reached.
    pub connections_queued: Counter,
    /// Idle client connections that gave their place to another client.
    pub connections_reclaimed: Counter,
    /// Client connections on which nothing was asked for `timeouts.idle`.
    pub idle_timeouts: Counter,
    /// Times that the system would not give us a connection, such as for want of descriptors.
    pub accept_errors: Counter,
    /// Bytes received from clients.
    pub bytes_in: Counter,
    /// Bytes sent to clients.
    pub bytes_out: Counter,
    proxy_header_errors: [Counter; ProxyHeaderError::COUNT],
    http2_faults: [Counter; Http2Fault::COUNT],
    handshakes: [Counter; TlsHandshake::COUNT],
    tls_faults: [Counter; TlsFault::COUNT],
}

impl ListenerCells {
    /// Connections that were closed for want of a good PROXY header.
    #[inline]
    #[must_use]
    pub fn proxy_header_errors(&self, error: ProxyHeaderError) -> &Counter {
        &self.proxy_header_errors[error.index()]
    }

    /// Connections that ended because their client did this to HTTP/2.
    #[inline]
    #[must_use]
    pub fn http2_faults(&self, fault: Http2Fault) -> &Counter {
        &self.http2_faults[fault.index()]
    }

    /// TLS handshakes that ended so.
    #[inline]
    #[must_use]
    pub fn handshakes(&self, result: TlsHandshake) -> &Counter {
        &self.handshakes[result.index()]
    }

    /// Connections whose client did this to TLS after its handshake.
    #[inline]
    #[must_use]
    pub fn tls_faults(&self, fault: TlsFault) -> &Counter {
        &self.tls_faults[fault.index()]
    }
}

/// What is counted of the sessions that go from one tcp listener to one upstream.
#[derive(Debug, Default)]
pub struct SessionCells {
    results: [Counter; SessionResult::COUNT],
}

impl SessionCells {
    /// Sessions that ended so.
    #[inline]
    #[must_use]
    pub fn results(&self, result: SessionResult) -> &Counter {
        &self.results[result.index()]
    }
}

/// What a worker says of itself.
#[derive(Debug, Default)]
pub struct WorkerCells {
    /// By how many nanoseconds its last timer was late: how long a ready task waits for its turn.
    pub loop_lag_nanos: Gauge,
}

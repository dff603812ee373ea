//! Every metric that we export: name, kind and help, in one file. Dashboards and alerts are written against these.
//!
//! A name is `evenkeel_<noun>_<unit>[_total]` in base units. No raw path, host, address of a client or user agent is a
//! label. Each family is written by one place only. `process_*` come from `metrics-process` and are named there.

/// A metric family: all series of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// The name.
    pub name: &'static str,
    /// What it counts, as one sentence.
    pub help: &'static str,
    /// How it moves.
    pub kind: Kind,
}

/// How the numbers of a family move (the types of the Prometheus text format 0.0.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, but for restarts.
    Counter,
    /// Up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
}

impl Kind {
    /// As the `# TYPE` line says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal $help:literal;)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub const $constant: Family = Family { name: $name, help: $help, kind: Kind::$kind };
        )+

        /// All of them.
        pub const ALL: &[Family] = &[$($constant),+];
    };
}

families! {
    REQUESTS = Counter "evenkeel_requests_total"
        "Requests that ended, by the status code that the client saw.";
    REQUEST_DURATION = Histogram "evenkeel_request_duration_seconds"
        "From the first byte of a request to the last byte of its answer, as the client saw it.";
    REQUESTS_IN_FLIGHT = Gauge "evenkeel_requests_in_flight"
        "Requests that have begun and not ended.";
    GRPC_CALLS = Counter "evenkeel_grpc_calls_total"
        "Calls of gRPC that ended, by the class of their grpc-status.";
    RESPONSES_LOCAL = Counter "evenkeel_responses_local_total"
        "Requests that got their answer from the proxy and not from an endpoint, by reason and whose fault it was.";

    UPSTREAM_DURATION = Histogram "evenkeel_upstream_duration_seconds"
        "From the start of an attempt to the head of the endpoint's answer.";
    UPSTREAM_CONNECTIONS = Gauge "evenkeel_upstream_connections"
        "Open connections to endpoints: active ones carry a request, idle ones wait in a pool.";
    UPSTREAM_CONNECTS = Counter "evenkeel_upstream_connects_total"
        "Attempts to connect to an endpoint.";
    POOL_REUSE = Counter "evenkeel_pool_reuse_total"
        "Attempts that found an idle connection (hit true) or had to connect (hit false).";
    RETRIES = Counter "evenkeel_retries_total"
        "Attempts after the first one of a request.";
    RETRY_BUDGET_EXHAUSTED = Counter "evenkeel_retry_budget_exhausted_total"
        "Retries that were not made because the retry budget was spent.";

    ENDPOINT_REQUESTS = Counter "evenkeel_endpoint_requests_total"
        "Attempts at an endpoint, by the class of its answer; none when there was no answer.";
    ENDPOINT_REQUESTS_IN_FLIGHT = Gauge "evenkeel_endpoint_requests_in_flight"
        "Requests at an endpoint now.";
    ENDPOINT_HEALTHY = Gauge "evenkeel_endpoint_healthy"
        "1 while the endpoint's probes succeed or it has none, else 0.";
    ENDPOINT_EJECTED = Gauge "evenkeel_endpoint_ejected"
        "1 while the endpoint is ejected for what it did to traffic, else 0.";
    ENDPOINT_DRAINING = Gauge "evenkeel_endpoint_draining"
        "1 while the endpoint gets no new requests by an operator's will, else 0.";

    HEALTH_PROBES = Counter "evenkeel_health_probes_total"
        "Health probes that ended, by result.";
    HEALTH_TRANSITIONS = Counter "evenkeel_health_transitions_total"
        "Changes of an endpoint's health verdict.";

    CONNECTIONS = Gauge "evenkeel_connections"
        "Open client connections.";
    TUNNELS = Gauge "evenkeel_tunnels"
        "Open client connections that were upgraded to another protocol, such as WebSocket.";
    CONNECTIONS_TOTAL = Counter "evenkeel_connections_total"
        "Client connections accepted.";
    CONNECTIONS_QUEUED = Counter "evenkeel_connections_queued_total"
        "Client connections that had to wait because connections_max was reached.";
    CONNECTIONS_RECLAIMED = Counter "evenkeel_connections_reclaimed_total"
        "Idle client connections that were closed to make room for new ones because connections_max was reached.";
    CONNECTIONS_IDLE_TIMEOUTS = Counter "evenkeel_connections_idle_timeouts_total"
        "Client connections that were closed because nothing was asked for timeouts.idle.";
    ACCEPT_ERRORS = Counter "evenkeel_accept_errors_total"
        "Failures of the system to accept a client connection.";
    PROXY_PROTOCOL_ERRORS = Counter "evenkeel_proxy_protocol_errors_total"
        "Client connections that were closed because they did not begin with a good PROXY header, by reason.";
    HTTP2_FAULTS = Counter "evenkeel_http2_faults_total"
        "HTTP/2 connections that were ended for what their client did, by kind.";
    TCP_SESSIONS = Counter "evenkeel_tcp_sessions_total"
        "Connections of tcp listeners that ended, by where they went and how they ended.";
    BYTES = Counter "evenkeel_bytes_total"
        "Bytes received from clients (in) and sent to them (out).";

    TLS_HANDSHAKES = Counter "evenkeel_tls_handshakes_total"
        "TLS handshakes with clients that ended, by result.";
    TLS_FAULTS = Counter "evenkeel_tls_faults_total"
        "Connections that ended for what their client did to TLS after the handshake, by kind.";
    TLS_CERTIFICATE_NOT_AFTER = Gauge "evenkeel_tls_certificate_not_after_timestamp_seconds"
        "When the first certificate in use for a name expires, in seconds since 1970.";
    TLS_CRL_NEXT_UPDATE = Gauge "evenkeel_tls_crl_next_update_timestamp_seconds"
        "By when there should be another list of an authority's revocations, in seconds since 1970.";
    TLS_CERTIFICATE_RELOADS = Counter "evenkeel_tls_certificate_reloads_total"
        "Readings of certificates after their files changed, by result; a failure keeps the old ones.";
    TLS_CERTIFICATE_LAST_RELOAD_SUCCESSFUL = Gauge "evenkeel_tls_certificate_last_reload_successful"
        "1 when all files of certificates were good when last read, 0 when an old one is in use instead.";

    WORKER_LOOP_LAG = Gauge "evenkeel_worker_loop_lag_seconds"
        "How late the worker's last timer was: how long a ready task waits for its turn.";

    CONFIG_LAST_RELOAD_SUCCESSFUL = Gauge "evenkeel_config_last_reload_successful"
        "1 when the last load of the configuration succeeded, 0 when the one before it still runs.";
    CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP = Gauge "evenkeel_config_last_reload_success_timestamp_seconds"
        "When the running configuration was loaded, in seconds since 1970.";
    CONFIG_RELOADS = Counter "evenkeel_config_reloads_total"
        "Attempts to reload the configuration, by result.";
    CONFIG_INFO = Gauge "evenkeel_config_info"
        "Always 1; its label is the hash of the running configuration file.";
    BUILD_INFO = Gauge "evenkeel_build_info"
        "Always 1; its labels are the version and revision of this program.";
    PANICS = Counter "evenkeel_panics_total"
        "Panics, each of which ended no more than its connection or task.";
    ACCESS_LOG_DROPPED = Counter "evenkeel_access_log_dropped_total"
        "Lines of the access log that were lost because they could not be written fast enough, or at all.";
}

//! Cells into series: adds the workers up and gives each cell its name and labels.
//!
//! Called by whoever holds the things that are counted (`proxy` for its snapshot), in a blocking task off the workers:
//! ten thousand endpoints are some hundred thousand lines. Series follow what is passed in, so a removed endpoint ends
//! with its removal. What can occur is shown from the start as 0, so that a first failure is an increase and not a new
//! series; only status codes come as they occur, they are too many.

use crate::{
    CodeClass, ConnectResult, EndpointCells, Exposition, GrpcClass, HistogramSnapshot, Http2Fault, ListenerCells,
    MethodLabel, PerWorker, ProxyHeaderError, Reason, RetryOutcome, RouteCells, SessionCells, SessionResult, TlsFault,
    TlsHandshake, UpstreamCells, WorkerCells,
    names::{self, Family},
};
use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

/// The name of a thing and what is counted for it.
pub type Named<'a, T> = (&'a str, &'a PerWorker<T>);

/// An endpoint now: what is counted for it here, and what its owners say of it.
#[derive(Clone, Copy, Debug)]
pub struct EndpointSeries<'a> {
    /// The name of its upstream.
    pub upstream: &'a str,
    /// Its address as written.
    pub endpoint: &'a str,
    /// What the workers counted.
    pub cells: &'a PerWorker<EndpointCells>,
    /// Requests at it now, of all workers.
    pub in_flight: usize,
    /// No probe says otherwise.
    pub healthy: bool,
    /// Ejected for what it did to traffic.
    pub ejected: bool,
    /// Gets no new requests by an operator's will.
    pub draining: bool,
}

/// Writes the families of routes. `listener` gives the name of a listener by the number that was counted; a number
/// without a name (its listener is gone) is left out.
pub fn routes<'a>(page: &mut Exposition, routes: &[Named<'_, RouteCells>], listener: impl Fn(u64) -> Option<&'a str>) {
    page.family(&names::REQUESTS);
    for (route, cells) in routes {
        // Two numbers may have one name, when a listener was removed and came back: their counts are one series.
        let mut counts: BTreeMap<(&str, MethodLabel, u16), u64> = BTreeMap::new();
        for line in cells.iter().flat_map(|cell| cell.requests.iter()) {
            if let Some(name) = listener(line.listener) {
                *counts.entry((name, line.method, line.code)).or_default() += line.count;
            }
        }
        for ((listener, method, code), count) in counts {
            let code = itoa::Buffer::new().format(code).to_owned();
            let labels =
                [("listener", listener), ("route", route), ("method", method.as_str()), ("code", code.as_str())];
            page.sample(&labels, count);
        }
    }
    page.family(&names::REQUEST_DURATION);
    for (route, cells) in routes {
        page.histogram(&[("route", route)], &HistogramSnapshot::of(cells.iter().map(|cell| &cell.duration)));
    }
    page.family(&names::REQUESTS_IN_FLIGHT);
    for (route, cells) in routes {
        page.sample(&[("route", route)], cells.iter().map(|cell| cell.in_flight.get()).sum::<i64>());
    }
    page.family(&names::GRPC_CALLS);
    for (route, cells) in routes {
        for class in GrpcClass::ALL {
            let labels = [("route", *route), ("class", class.as_str())];
            page.sample(&labels, sum(cells, |cell| cell.grpc(class).get()));
        }
    }
    page.family(&names::RESPONSES_LOCAL);
    for (route, cells) in routes {
        for reason in Reason::ALL {
            let labels = [("route", *route), ("reason", reason.as_str()), ("fault", reason.fault().as_str())];
            page.sample(&labels, sum(cells, |cell| cell.local(reason).get()));
        }
    }
}

/// Writes the families of upstreams.
pub fn upstreams(page: &mut Exposition, upstreams: &[Named<'_, UpstreamCells>]) {
    page.family(&names::UPSTREAM_DURATION);
    for (upstream, cells) in upstreams {
        page.histogram(&[("upstream", upstream)], &HistogramSnapshot::of(cells.iter().map(|cell| &cell.duration)));
    }
    page.family(&names::UPSTREAM_CONNECTIONS);
    for (upstream, cells) in upstreams {
        let (active, idle) = cells.iter().fold((0, 0), |(active, idle), cell| {
            (active + cell.connections_active.get(), idle + cell.connections_idle.get())
        });
        page.sample(&[("upstream", upstream), ("state", "active")], active);
        page.sample(&[("upstream", upstream), ("state", "idle")], idle);
    }
    page.family(&names::UPSTREAM_CONNECTS);
    for (upstream, cells) in upstreams {
        for result in ConnectResult::ALL {
            let labels = [("upstream", *upstream), ("result", result.as_str())];
            page.sample(&labels, sum(cells, |cell| cell.connects(result).get()));
        }
    }
    page.family(&names::POOL_REUSE);
    for (upstream, cells) in upstreams {
        page.sample(&[("upstream", upstream), ("hit", "true")], sum(cells, |cell| cell.pool_hits.get()));
        page.sample(&[("upstream", upstream), ("hit", "false")], sum(cells, |cell| cell.pool_misses.get()));
    }
    page.family(&names::RETRIES);
    for (upstream, cells) in upstreams {
        for outcome in RetryOutcome::ALL {
            let labels = [("upstream", *upstream), ("outcome", outcome.as_str())];
            page.sample(&labels, sum(cells, |cell| cell.retries(outcome).get()));
        }
    }
    page.family(&names::RETRY_BUDGET_EXHAUSTED);
    for (upstream, cells) in upstreams {
        page.sample(&[("upstream", upstream)], sum(cells, |cell| cell.retry_budget_exhausted.get()));
    }
}

/// Writes the families of endpoints.
pub fn endpoints(page: &mut Exposition, endpoints: &[EndpointSeries<'_>]) {
    page.family(&names::ENDPOINT_REQUESTS);
    for series in endpoints {
        for class in CodeClass::ALL {
            let labels = [("upstream", series.upstream), ("endpoint", series.endpoint), ("code_class", class.as_str())];
            page.sample(&labels, sum(series.cells, |cell| cell.requests(class).get()));
        }
    }
    page.family(&names::ENDPOINT_REQUESTS_IN_FLIGHT);
    for series in endpoints {
        page.sample(&series.labels(), series.in_flight);
    }
    type Holds = fn(&EndpointSeries<'_>) -> bool;
    let states: [(&Family, Holds); 3] = [
        (&names::ENDPOINT_HEALTHY, |series| series.healthy),
        (&names::ENDPOINT_EJECTED, |series| series.ejected),
        (&names::ENDPOINT_DRAINING, |series| series.draining),
    ];
    for (family, holds) in states {
        page.family(family);
        for series in endpoints {
            page.sample(&series.labels(), holds(series));
        }
    }
}

/// Writes the families of listeners.
pub fn listeners(page: &mut Exposition, listeners: &[Named<'_, ListenerCells>]) {
    page.family(&names::CONNECTIONS);
    for (listener, cells) in listeners {
        page.sample(&[("listener", listener)], cells.iter().map(|cell| cell.connections.get()).sum::<i64>());
    }
    page.family(&names::TUNNELS);
    for (listener, cells) in listeners {
        page.sample(&[("listener", listener)], cells.iter().map(|cell| cell.tunnels.get()).sum::<i64>());
    }
    type Count = fn(&ListenerCells) -> u64;
    let counts: [(&Family, Count); 5] = [
        (&names::CONNECTIONS_TOTAL, |cell| cell.connections_total.get()),
        (&names::CONNECTIONS_QUEUED, |cell| cell.connections_queued.get()),
        (&names::CONNECTIONS_RECLAIMED, |cell| cell.connections_reclaimed.get()),
        (&names::CONNECTIONS_IDLE_TIMEOUTS, |cell| cell.idle_timeouts.get()),
        (&names::ACCEPT_ERRORS, |cell| cell.accept_errors.get()),
    ];
    for (family, count) in counts {
        page.family(family);
        for (listener, cells) in listeners {
            page.sample(&[("listener", listener)], sum(cells, count));
        }
    }
    page.family(&names::PROXY_PROTOCOL_ERRORS);
    for (listener, cells) in listeners {
        for error in ProxyHeaderError::ALL {
            let labels = [("listener", *listener), ("reason", error.as_str())];
            page.sample(&labels, sum(cells, |cell| cell.proxy_header_errors(error).get()));
        }
    }
    page.family(&names::HTTP2_FAULTS);
    for (listener, cells) in listeners {
        for fault in Http2Fault::ALL {
            let labels = [("listener", *listener), ("kind", fault.as_str())];
            page.sample(&labels, sum(cells, |cell| cell.http2_faults(fault).get()));
        }
    }
    page.family(&names::TLS_HANDSHAKES);
    for (listener, cells) in listeners {
        for result in TlsHandshake::ALL {
            let labels = [("listener", *listener), ("result", result.as_str())];
            page.sample(&labels, sum(cells, |cell| cell.handshakes(result).get()));
        }
    }
    page.family(&names::TLS_FAULTS);
    for (listener, cells) in listeners {
        for fault in TlsFault::ALL {
            let labels = [("listener", *listener), ("kind", fault.as_str())];
            page.sample(&labels, sum(cells, |cell| cell.tls_faults(fault).get()));
        }
    }
    page.family(&names::BYTES);
    for (listener, cells) in listeners {
        page.sample(&[("listener", listener), ("direction", "in")], sum(cells, |cell| cell.bytes_in.get()));
        page.sample(&[("listener", listener), ("direction", "out")], sum(cells, |cell| cell.bytes_out.get()));
    }
}

/// Writes what became of the sessions of tcp listeners: each with its listener, its upstream (empty where it had none) and its cells.
pub fn sessions(page: &mut Exposition, sessions: &[(&str, &str, &PerWorker<SessionCells>)]) {
    page.family(&names::TCP_SESSIONS);
    for (listener, upstream, cells) in sessions {
        for result in SessionResult::ALL {
            let labels = [("listener", *listener), ("upstream", *upstream), ("result", result.as_str())];
            page.sample(&labels, sum(cells, |cell| cell.results(result).get()));
        }
    }
}

/// Writes when certificates end.
pub fn certificates(page: &mut Exposition, ends: impl IntoIterator<Item = (String, SystemTime)>) {
    earliest(page, &names::TLS_CERTIFICATE_NOT_AFTER, ends);
}

/// Writes by when there should be other lists of revocations.
pub fn revocations(page: &mut Exposition, ends: impl IntoIterator<Item = (String, SystemTime)>) {
    earliest(page, &names::TLS_CRL_NEXT_UPDATE, ends);
}

/// For each name the earliest, as it is the one that hurts first.
fn earliest(page: &mut Exposition, family: &'static Family, ends: impl IntoIterator<Item = (String, SystemTime)>) {
    let mut earliest: BTreeMap<String, SystemTime> = BTreeMap::new();
    for (name, end) in ends {
        earliest.entry(name).and_modify(|known| *known = end.min(*known)).or_insert(end);
    }
    page.family(family);
    for (name, end) in earliest {
        let seconds = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        page.sample(&[("name", name.as_str())], seconds);
    }
}

/// Writes the families of workers.
pub fn workers(page: &mut Exposition, workers: &PerWorker<WorkerCells>) {
    page.family(&names::WORKER_LOOP_LAG);
    for worker in 0..workers.workers() {
        let nanos = workers.get(worker).map_or(0, |cell| cell.loop_lag_nanos.get());
        let lag = std::time::Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        page.sample(&[("worker", itoa::Buffer::new().format(worker))], lag.as_secs_f64());
    }
}

fn sum<T: Default>(cells: &PerWorker<T>, count: impl Fn(&T) -> u64) -> u64 {
    cells.iter().map(count).sum()
}

impl<'a> EndpointSeries<'a> {
    fn labels(&self) -> [(&'static str, &'a str); 2] {
        [("upstream", self.upstream), ("endpoint", self.endpoint)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{access_log::AccessLog, check, process::Process};
    use std::time::Duration;

    /// Two workers that have counted something, as one page.
    fn page() -> Exposition {
        let route: PerWorker<RouteCells> = PerWorker::new(2);
        let unused: PerWorker<RouteCells> = PerWorker::new(2);
        let upstream: PerWorker<UpstreamCells> = PerWorker::new(2);
        let endpoint: PerWorker<EndpointCells> = PerWorker::new(2);
        let listener: PerWorker<ListenerCells> = PerWorker::new(2);
        let worker: PerWorker<WorkerCells> = PerWorker::new(2);
        for n in 0..2_u16 {
            let cell = route.cell(n.into());
            cell.requests.inc(n.into(), MethodLabel::Get, 200);
            cell.requests.inc(7, MethodLabel::Get, 200);
            cell.duration.observe(Duration::from_millis(3));
            cell.in_flight.add(if n == 0 { 3 } else { -1 });
            cell.local(Reason::NoEndpoint).inc();
            cell.grpc(GrpcClass::ServerError).inc();
            upstream.cell(n.into()).retries(RetryOutcome::Failed).inc();
            upstream.cell(n.into()).duration.observe(Duration::from_secs(31));
            endpoint.cell(n.into()).requests(CodeClass::ServerError).inc();
            listener.cell(n.into()).bytes_out.add(100);
        }
        worker.cell(1).loop_lag_nanos.set(1_500_000);

        let mut page = Exposition::new();
        routes(&mut page, &[("api", &route), ("", &unused)], |id| (id < 2).then_some("web"));
        upstreams(&mut page, &[("site", &upstream)]);
        let series = EndpointSeries {
            upstream: "site",
            endpoint: "10.0.0.1:80",
            cells: &endpoint,
            in_flight: 4,
            healthy: true,
            ejected: false,
            draining: true,
        };
        endpoints(&mut page, &[series, EndpointSeries { endpoint: "unix:/run/\"a\\b\".sock", ..series }]);
        listeners(&mut page, &[("web", &listener)]);
        let session: PerWorker<SessionCells> = PerWorker::new(2);
        sessions(&mut page, &[("db", "primary", &session)]);
        let end = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        certificates(&mut page, [("a.example".to_owned(), end(20)), ("a.example".to_owned(), end(10))]);
        revocations(&mut page, [("CN=Partners".to_owned(), end(30))]);
        workers(&mut page, &worker);
        page
    }

    #[test]
    fn a_scrape_adds_the_workers_up() {
        let scrape = check::text_format(&page().finish()).unwrap();

        let sum = |family: Family, labels: &[(&str, &str)]| scrape.sum(family.name, labels);
        assert_eq!(sum(names::REQUESTS, &[("listener", "web"), ("code", "200"), ("method", "GET")]), 2.0);
        assert_eq!(sum(names::REQUESTS_IN_FLIGHT, &[("route", "api")]), 2.0);
        assert_eq!(scrape.sum("evenkeel_request_duration_seconds_count", &[("route", "api")]), 2.0);
        assert_eq!(sum(names::RESPONSES_LOCAL, &[("reason", "no_endpoint"), ("fault", "upstream")]), 2.0);
        assert_eq!(sum(names::GRPC_CALLS, &[("route", "api"), ("class", "server_error")]), 2.0);
        assert_eq!(sum(names::RETRIES, &[("upstream", "site"), ("outcome", "failed")]), 2.0);
        assert_eq!(sum(names::ENDPOINT_REQUESTS, &[("endpoint", "10.0.0.1:80"), ("code_class", "5xx")]), 2.0);
        assert_eq!(sum(names::ENDPOINT_DRAINING, &[("endpoint", "10.0.0.1:80")]), 1.0);
        assert_eq!(sum(names::ENDPOINT_REQUESTS_IN_FLIGHT, &[]), 8.0);
        assert_eq!(sum(names::BYTES, &[("direction", "out")]), 200.0);
        assert_eq!(sum(names::WORKER_LOOP_LAG, &[("worker", "1")]), 0.0015);
    }

    #[test]
    fn two_numbers_of_one_listener_are_one_series_and_a_number_without_name_is_none() {
        let text = page().finish();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("evenkeel_requests_total{")).collect();
        assert_eq!(lines, [r#"evenkeel_requests_total{listener="web",route="api",method="GET",code="200"} 2"#]);
    }

    #[test]
    fn what_has_not_happened_yet_is_shown_as_zero() {
        let scrape = check::text_format(&page().finish()).unwrap();
        for reason in Reason::ALL {
            let labels = [("route", ""), ("reason", reason.as_str())];
            assert_eq!(scrape.find(names::RESPONSES_LOCAL.name, &labels).map(|s| s.value), Some(0.0), "{reason:?}");
        }
    }
    #[test]
    fn all_sources_together_are_one_right_page_with_every_name_once() {
        let mut page = page();
        AccessLog::start().unwrap().scrape(&mut page);
        // The two that `health` writes.
        page.family(&names::HEALTH_PROBES).family(&names::HEALTH_TRANSITIONS);
        let process = Process::new("0.1.0", "abc");
        process.config_started("0123456789abcdef", std::time::SystemTime::now());

        let scrape = check::text_format(&(page.finish() + &process.render())).unwrap();

        let ours = scrape.families.iter().filter(|(name, _)| name.starts_with("evenkeel_"));
        let ours: BTreeMap<&str, &str> = ours.map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
        assert_eq!(ours, names::ALL.iter().map(|family| (family.name, family.kind.as_str())).collect());
    }
}

//! What is known about each endpoint, for those who only look: the admin API and the metrics.

use crate::{Verdict, record::Record};
use evenkeel_model::{Address, UpstreamName};
use evenkeel_telemetry::{Counter, Exposition, names};
use std::time::SystemTime;

/// What we hold of one endpoint, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// The upstream that it belongs to.
    pub upstream: UpstreamName,
    /// As written in the file.
    pub address: Address,
    /// Whether it is probed. If not, its verdict is `Healthy`.
    pub probed: bool,
    /// The verdict.
    pub verdict: Verdict,
    /// When the verdict became what it is; for an endpoint without an answer yet, when we began to ask.
    pub since: SystemTime,
    /// When the last answer came, or failed to come.
    pub last_probe: Option<SystemTime>,
    /// What is wrong now, such as `GET /health: status 500, wanted 200-299`; `None` after a good answer. A healthy endpoint has
    /// one while it is not yet unhealthy, or while its name cannot be resolved again.
    pub error: Option<String>,
}

/// How a probe ended, as the label `result` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    Success,
    Failure,
    Timeout,
}

/// One endpoint's counts. The control thread writes, a scrape reads.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    probes: [Counter; ProbeResult::ALL.len()],
    to_healthy: Counter,
    to_unhealthy: Counter,
}

impl ProbeResult {
    const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Timeout];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Timeout => "timeout",
        }
    }
}

impl Counts {
    pub(crate) fn probe(&self, result: ProbeResult) {
        self.probes[result as usize].inc();
    }

    pub(crate) fn transition(&self, to: Verdict) {
        match to {
            Verdict::Healthy => self.to_healthy.inc(),
            Verdict::Unhealthy => self.to_unhealthy.inc(),
            Verdict::Unknown => debug_assert!(false, "no answer leads back to not knowing"),
        }
    }
}

/// Writes the families that `health` owns. An endpoint that is not probed has no series.
pub(crate) fn write<'a>(records: impl Iterator<Item = &'a Record> + Clone, page: &mut Exposition) {
    let probed = records.filter(|record| record.probed());
    page.family(&names::HEALTH_PROBES);
    for record in probed.clone() {
        for result in ProbeResult::ALL {
            let value = record.counts().probes[result as usize].get();
            page.sample(&labels(record, "result", result.as_str()), value);
        }
    }
    page.family(&names::HEALTH_TRANSITIONS);
    for record in probed {
        for (to, count) in
            [(Verdict::Healthy, &record.counts().to_healthy), (Verdict::Unhealthy, &record.counts().to_unhealthy)]
        {
            page.sample(&labels(record, "to", to.as_str()), count.get());
        }
    }
}

fn labels<'a>(record: &'a Record, name: &'a str, value: &'a str) -> [(&'a str, &'a str); 3] {
    [("upstream", record.upstream().as_str()), ("endpoint", record.address()), (name, value)]
}

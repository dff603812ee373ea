//! What is known about one endpoint, and the one place where an answer becomes a verdict and a verdict becomes flags.
//!
//! Its prober and its resolver write, on the control thread; the admin API and a scrape read, from any thread. It outlives
//! its prober: new probe settings begin a new prober and keep the verdict.

use crate::{
    EndpointStatus, Verdict,
    probe::Failure,
    status::{Counts, ProbeResult},
    threshold::{Answer, Rule, State},
};
use evenkeel_balance::{Endpoint, Flag};
use evenkeel_model::UpstreamName;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use tokio::sync::Notify;

/// What is known about one endpoint.
#[derive(Debug)]
pub(crate) struct Record {
    upstream: UpstreamName,
    endpoint: Arc<Endpoint>,
    address: String,
    opinion: Mutex<Opinion>,
    counts: Counts,
    /// The resolver found addresses.
    resolved: Notify,
}

#[derive(Debug)]
struct Opinion {
    probed: bool,
    state: State,
    last_probe: Option<SystemTime>,
    probe_error: Option<String>,
    name_error: Option<String>,
}

impl Record {
    /// An endpoint that nobody probes yet, and so counts as healthy.
    pub(crate) fn new(upstream: UpstreamName, endpoint: Arc<Endpoint>, now: SystemTime) -> Self {
        let opinion = Opinion {
            probed: false,
            state: State::new(Verdict::Healthy, now),
            last_probe: None,
            probe_error: None,
            name_error: None,
        };
        let record = Self {
            upstream,
            address: endpoint.address().to_string(),
            endpoint,
            opinion: Mutex::new(opinion),
            counts: Counts::default(),
            resolved: Notify::new(),
        };
        record.mark(Verdict::Healthy);
        record
    }

    /// Probes begin, or go on with other settings. Only who was not probed before becomes unknown.
    pub(crate) fn begin_probing(&self, now: SystemTime) {
        let mut opinion = self.opinion();
        opinion.state = if opinion.probed { opinion.state.settled() } else { State::new(Verdict::Unknown, now) };
        opinion.probed = true;
        self.mark(opinion.state.verdict());
    }

    /// Nobody asks any more: the endpoint counts as healthy, and what probes have said is forgotten.
    pub(crate) fn end_probing(&self, now: SystemTime) {
        let mut opinion = self.opinion();
        if opinion.probed {
            let name_error = opinion.name_error.take();
            let state = State::new(Verdict::Healthy, now);
            *opinion = Opinion { probed: false, state, last_probe: None, probe_error: None, name_error };
            self.mark(Verdict::Healthy);
        }
    }

    /// Takes an answer to `what` and judges. Tells whether the verdict is turning, so that the next question should be soon.
    pub(crate) fn answered(&self, outcome: Result<(), Failure>, what: &str, rule: Rule, now: SystemTime) -> bool {
        let answer = if outcome.is_ok() { Answer::Good } else { Answer::Bad };
        self.counts.probe(match &outcome {
            Ok(()) => ProbeResult::Success,
            Err(failure) if failure.timed_out() => ProbeResult::Timeout,
            Err(_) => ProbeResult::Failure,
        });
        let mut opinion = self.opinion();
        debug_assert!(opinion.probed, "an answer without a question");
        let before = opinion.state.verdict();
        opinion.state = opinion.state.after(answer, rule, now);
        opinion.last_probe = Some(now);
        opinion.probe_error = outcome.err().map(|failure| format!("{what}: {failure}"));
        let after = opinion.state.verdict();
        if before != after {
            self.mark(after);
            self.counts.transition(after);
            self.announce(before, after, opinion.probe_error.as_deref().unwrap_or(what));
        }
        opinion.state.turning()
    }

    /// Sets what workers see. A flag against the endpoint is raised before the other one is lowered, so that no pick falls
    /// between the two.
    fn mark(&self, verdict: Verdict) {
        match verdict {
            Verdict::Unknown => {
                self.endpoint.set(Flag::Unknown, true);
                self.endpoint.set(Flag::Unhealthy, false);
            }
            Verdict::Healthy => {
                self.endpoint.set(Flag::Unhealthy, false);
                self.endpoint.set(Flag::Unknown, false);
            }
            Verdict::Unhealthy => {
                self.endpoint.set(Flag::Unhealthy, true);
                self.endpoint.set(Flag::Unknown, false);
            }
        }
    }

    fn announce(&self, before: Verdict, after: Verdict, reason: &str) {
        let (upstream, endpoint) = (self.upstream.as_str(), self.address.as_str());
        let was = before.as_str();
        if after == Verdict::Unhealthy {
            tracing::warn!(upstream, endpoint, was, reason, "endpoint is unhealthy");
        } else {
            tracing::info!(upstream, endpoint, was, reason, "endpoint is healthy");
        }
    }

    /// The name has addresses, as far as the target knows (`known`); the last attempt to find them ended like this.
    pub(crate) fn resolved(&self, known: bool, outcome: &io::Result<bool>) {
        let mut opinion = self.opinion();
        opinion.name_error = outcome.as_ref().err().map(|error| match known {
            true => format!("the name cannot be resolved again, its last addresses are kept: {error}"),
            false => format!("the name cannot be resolved: {error}"),
        });
        self.endpoint.set(Flag::NoAddress, !known);
        if known {
            self.resolved.notify_one();
        }
    }

    /// Waits for the resolver's next word that there are addresses; a word that came before is not lost.
    pub(crate) async fn address_found(&self) {
        self.resolved.notified().await;
    }

    pub(crate) fn status(&self) -> EndpointStatus {
        let opinion = self.opinion();
        EndpointStatus {
            upstream: self.upstream.clone(),
            address: self.endpoint.address().clone(),
            probed: opinion.probed,
            verdict: opinion.state.verdict(),
            since: opinion.state.since(),
            last_probe: opinion.last_probe,
            error: opinion.probe_error.clone().or_else(|| opinion.name_error.clone()),
        }
    }

    pub(crate) fn upstream(&self) -> &UpstreamName {
        &self.upstream
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// As written in the file: the label `endpoint`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn probed(&self) -> bool {
        self.opinion().probed
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    fn opinion(&self) -> MutexGuard<'_, Opinion> {
        // Nothing between lock and unlock leaves an opinion half changed.
        self.opinion.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

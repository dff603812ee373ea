//! Asks one endpoint again and again, for as long as the configuration wants it.
//!
//! Started and stopped by `checker`; each answer goes to `record`, which judges. One prober for each endpoint in a process.

use crate::{
    probe::{Failure, describe},
    record::Record,
    rhythm::{TURNING, jittered},
    threshold::Rule,
};
use evenkeel_balance::Rng;
use evenkeel_model::Probe;
use evenkeel_net::Target;
use std::{future::Future, sync::Arc, time::SystemTime};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// What a prober needs.
#[derive(Debug)]
pub(crate) struct Prober {
    pub(crate) record: Arc<Record>,
    pub(crate) target: Arc<Target>,
    pub(crate) probe: Arc<Probe>,
    /// Lets a bounded number of first probes through at a time.
    pub(crate) first: Arc<Semaphore>,
    pub(crate) rng: Rng,
}

impl Prober {
    /// Asks with `ask` until dropped. The first question is asked at once, as soon as its turn among the first questions of
    /// all comes. Later ones need no turn: they are spread by then, and endpoints that take their whole timeout must not make
    /// the others wait.
    pub(crate) async fn run<F>(mut self, ask: impl Fn(Arc<Target>, Arc<Probe>) -> F)
    where
        F: Future<Output = Result<(), Failure>>,
    {
        let what = describe(&self.probe);
        let rule = Rule { healthy_after: self.probe.healthy_after, unhealthy_after: self.probe.unhealthy_after };
        // A name that was never resolved is the resolver's to report. To call the endpoint unhealthy for it would keep it out for
        // some more probes once the name is found.
        while !self.target.resolved() {
            self.record.address_found().await;
        }
        let mut turn = Some(self.first.acquire().await.expect("the semaphore is never closed"));
        loop {
            let asked = Instant::now();
            let outcome = ask(Arc::clone(&self.target), Arc::clone(&self.probe)).await;
            drop(turn.take());
            let turning = self.record.answered(outcome, &what, rule, SystemTime::now());
            let pause = if turning { TURNING.min(self.probe.interval) } else { self.probe.interval };
            sleep(jittered(pause, &mut self.rng).saturating_sub(asked.elapsed())).await;
        }
    }
}

//! Resolves the name of one endpoint again and again, and says when it has no address.
//!
//! Started and stopped by `checker` for endpoints that are host names. The answer itself lies in `net::Target`, where workers
//! find it; a failure leaves the last good one there.

use crate::{record::Record, rhythm::jittered};
use evenkeel_balance::Rng;
use evenkeel_model::Duration;
use evenkeel_net::Target;
use std::{future::Future, io, sync::Arc};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// From one attempt to the next while a name has never been resolved, unless the configured interval is shorter: the
/// endpoint is of no use until then.
const UNRESOLVED: Duration = Duration::from_secs(5);

/// At most one warning for each name in this time. A name server that is away for an hour is one fault, not seven hundred.
const WARNING_EVERY: Duration = Duration::from_secs(60);

/// What a resolver needs.
#[derive(Debug)]
pub(crate) struct Resolver {
    pub(crate) record: Arc<Record>,
    pub(crate) target: Arc<Target>,
    pub(crate) interval: Duration,
    /// Lets a bounded number of resolutions through at a time: each holds a thread.
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) rng: Rng,
}

impl Resolver {
    /// Resolves with `resolve` until dropped; the first time at once.
    pub(crate) async fn run<F>(mut self, resolve: impl Fn(Arc<Target>) -> F)
    where
        F: Future<Output = io::Result<bool>>,
    {
        let mut warned: Option<Instant> = None;
        loop {
            let turn = self.turns.acquire().await.expect("the semaphore is never closed");
            let outcome = resolve(Arc::clone(&self.target)).await;
            drop(turn);
            let known = self.target.resolved();
            self.record.resolved(known, &outcome);
            let (upstream, endpoint) = (self.record.upstream().as_str(), self.record.address());
            match outcome {
                Ok(false) => {}
                Ok(true) => {
                    let addresses = self.target.addresses().unwrap_or_default();
                    tracing::info!(upstream, endpoint, ?addresses, "name resolved");
                }
                Err(error) if warned.is_none_or(|at| at.elapsed() >= WARNING_EVERY) => {
                    warned = Some(Instant::now());
                    tracing::warn!(upstream, endpoint, %error, last_answer_kept = known, "name cannot be resolved");
                }
                Err(_) => {}
            }
            let pause = if known { self.interval } else { UNRESOLVED.min(self.interval) };
            sleep(jittered(pause, &mut self.rng)).await;
        }
    }
}

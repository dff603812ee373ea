//! Keeps one prober for each endpoint that is to be probed, and one resolver for each host name.
//!
//! The server calls [`Checker::reconcile`] with each configuration that takes effect; what did not change goes on
//! undisturbed. Lives in the control thread's runtime; only looking at it is for every thread.

use crate::{EndpointStatus, probe, prober::Prober, record::Record, resolver::Resolver, status};
use evenkeel_balance::{Endpoint, Flag, Rng};
use evenkeel_model::{Address, Duration, Probe, UpstreamName};
use evenkeel_net::{Target, tls::ClientTls};
use evenkeel_telemetry::Exposition;
use std::{
    collections::BTreeMap,
    future::Future,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use tokio::{sync::Semaphore, task::JoinHandle};

/// First probes under way at a time. Without a bound, ten thousand endpoints would be ten thousand sockets in the first
/// millisecond, and answers late because of it.
pub const FIRST_PROBES_MAX: usize = 256;

/// Names being resolved at a time. Each holds a thread until the system's resolver answers, which may take many seconds.
pub const RESOLUTIONS_MAX: usize = 32;

/// One endpoint, and how it is to be asked.
#[derive(Clone, Debug)]
pub struct ProbeTarget {
    /// The upstream that it belongs to; with its address its identity.
    pub upstream: UpstreamName,
    /// Where the verdict goes.
    pub endpoint: Arc<Endpoint>,
    /// Where to connect.
    pub target: Arc<Target>,
    /// How to ask; `None`: not at all, the endpoint counts as healthy.
    pub probe: Option<Probe>,
    /// How often a host name is resolved again.
    pub resolve_interval: Duration,
    /// How TLS is spoken to it; `None`: it is not.
    pub tls: Option<Arc<ClientTls>>,
}

/// All probers and resolvers of this process. Dropping it stops them.
#[derive(Debug)]
pub struct Checker {
    watched: Mutex<BTreeMap<Key, Watched>>,
    rng: Mutex<Rng>,
    first_probes: Arc<Semaphore>,
    resolutions: Arc<Semaphore>,
}

type Key = (UpstreamName, Address);

/// One endpoint under watch.
#[derive(Debug)]
struct Watched {
    record: Arc<Record>,
    target: Arc<Target>,
    prober: Option<(Asked, Task)>,
    resolver: Option<(Duration, Task)>,
}

/// How an endpoint is asked.
#[derive(Clone, Debug)]
struct Asked {
    probe: Arc<Probe>,
    tls: Option<Arc<ClientTls>>,
}

impl Asked {
    fn is(&self, probe: &Probe, tls: Option<&Arc<ClientTls>>) -> bool {
        *self.probe == *probe && self.tls.as_ref().map(Arc::as_ptr) == tls.map(Arc::as_ptr)
    }
}

/// A task that stops when this is dropped.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Task {
    fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Checker {
    /// Nobody watched yet. `seed` decides the jitter.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            watched: Mutex::default(),
            rng: Mutex::new(Rng::from_seed(seed)),
            first_probes: Arc::new(Semaphore::new(FIRST_PROBES_MAX)),
            resolutions: Arc::new(Semaphore::new(RESOLUTIONS_MAX)),
        }
    }

    /// Watches exactly these endpoints from now on. Call it with every snapshot, before it is published where that is possible:
    /// a new endpoint is marked unknown when this returns, and counts as healthy until then.
    ///
    /// An endpoint that was watched with the same settings is left alone. Other settings begin a new prober, which asks at
    /// once, and keep the verdict. Without a probe section the endpoint counts as healthy. One that is not among them is forgotten,
    /// and its flags are left as they are for requests still on an old snapshot.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn reconcile(&self, targets: Vec<ProbeTarget>) {
        let now = SystemTime::now();
        let mut watched = lock(&self.watched);
        let mut before = mem::take(&mut *watched);
        for wanted in targets {
            let key = (wanted.upstream.clone(), wanted.endpoint.address().clone());
            let same = before.remove(&key).filter(|old| Arc::ptr_eq(old.record.endpoint(), &wanted.endpoint));
            let mut entry = same.unwrap_or_else(|| Watched::new(&wanted, now));
            self.adjust(&mut entry, wanted, now);
            let twice = watched.insert(key, entry);
            debug_assert!(twice.is_none(), "an endpoint stands once in an upstream");
        }
    }

    /// What is known about each endpoint, ordered by upstream and address.
    #[must_use]
    pub fn statuses(&self) -> Vec<EndpointStatus> {
        lock(&self.watched).values().map(|watched| watched.record.status()).collect()
    }

    /// Writes `evenkeel_health_probes_total` and `evenkeel_health_transitions_total`.
    pub fn scrape(&self, page: &mut Exposition) {
        // The text of ten thousand endpoints takes milliseconds, and a reload must not wait for it.
        let records: Vec<Arc<Record>> = lock(&self.watched).values().map(|w| Arc::clone(&w.record)).collect();
        status::write(records.iter().map(|record| &**record), page);
    }

    /// Starts and stops what has to be for `entry` to become as `wanted`.
    fn adjust(&self, entry: &mut Watched, wanted: ProbeTarget, now: SystemTime) {
        let moved = !Arc::ptr_eq(&entry.target, &wanted.target);
        if moved {
            entry.target = wanted.target;
        }
        let named = matches!(entry.target.address(), Address::Host(..));
        let interval = named.then_some(wanted.resolve_interval);
        if moved || entry.resolver.as_ref().map(|(interval, _)| *interval) != interval {
            entry.record.endpoint().set(Flag::NoAddress, !entry.target.resolved());
            entry.resolver = interval.map(|interval| (interval, self.resolver(entry, interval)));
        }
        let same = match (&entry.prober, &wanted.probe) {
            (Some((asked, _)), Some(probe)) => asked.is(probe, wanted.tls.as_ref()),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if moved || !same {
            // The old one first: there is never a second prober.
            entry.prober = None;
            entry.prober = wanted.probe.map(|probe| {
                entry.record.begin_probing(now);
                let asked = Asked { probe: Arc::new(probe), tls: wanted.tls };
                (asked.clone(), self.prober(entry, asked))
            });
            if entry.prober.is_none() {
                entry.record.end_probing(now);
            }
        }
    }

    fn prober(&self, entry: &Watched, Asked { probe, tls }: Asked) -> Task {
        let prober = Prober {
            record: Arc::clone(&entry.record),
            target: Arc::clone(&entry.target),
            probe,
            first: Arc::clone(&self.first_probes),
            rng: self.chance(),
        };
        Task::spawn(prober.run(move |target, probe| {
            let tls = tls.clone();
            async move { probe::ask(&target, &probe, tls.as_deref()).await }
        }))
    }

    fn resolver(&self, entry: &Watched, interval: Duration) -> Task {
        let resolver = Resolver {
            record: Arc::clone(&entry.record),
            target: Arc::clone(&entry.target),
            interval,
            turns: Arc::clone(&self.resolutions),
            rng: self.chance(),
        };
        Task::spawn(resolver.run(|target| async move { target.resolve().await }))
    }

    fn chance(&self) -> Rng {
        Rng::from_seed(lock(&self.rng).next_u64())
    }
}

impl Watched {
    fn new(wanted: &ProbeTarget, now: SystemTime) -> Self {
        wanted.endpoint.set(Flag::NoAddress, !wanted.target.resolved());
        let record = Record::new(wanted.upstream.clone(), Arc::clone(&wanted.endpoint), now);
        Self { record: Arc::new(record), target: Arc::clone(&wanted.target), prober: None, resolver: None }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code of ours panics while it holds one; if it did, what is inside is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

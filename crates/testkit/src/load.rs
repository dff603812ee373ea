//! A bounded load over kept and new connections, that counts every answer and every failure.
//!
//! For tests that change something under traffic. Runs on a thread of its own, so that the origins of the test keep theirs.
//! A request is counted once: as answered, with its status, or as failed, with what went wrong. Nothing is retried except
//! what was never sent (see `client`).

use crate::{client::Client, place::Place};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::task::{JoinSet, LocalSet};

/// Failures kept word for word; the rest is counted.
const FAILURES_SHOWN: usize = 20;

/// A load to be started.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until it starts"]
pub struct Load {
    place: Place,
    path: String,
    host: Option<String>,
    kept: u32,
    fresh: u32,
    rate: u32,
    requests_max: u64,
    time_max: Duration,
}

/// What a load has counted.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole answer.
    pub failed: u64,
    /// The first of them, word for word.
    pub failures: Vec<String>,
    /// Connections opened.
    pub connections: u64,
    /// From the first request to the last answer.
    pub took: Duration,
}

impl Report {
    /// Requests that got a whole answer, whatever its status.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Requests answered with this status.
    #[must_use]
    pub fn with_status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// Every request was answered, and with 200.
    ///
    /// # Panics
    /// When one was not; shows all counts.
    pub fn assert_all_ok(&self) {
        assert!(self.answered() > 0, "the load sent nothing: {self:#?}");
        assert!(
            self.failed == 0 && self.answered() == self.with_status(200),
            "not all were answered with 200: {self:#?}"
        );
    }
}

impl Load {
    /// On this server; by default `GET /` over 8 kept connections, 200 a second, at most 100 000 requests and one minute.
    pub fn on(place: &Place) -> Self {
        Self {
            place: place.clone(),
            path: "/".to_owned(),
            host: None,
            kept: 8,
            fresh: 0,
            rate: 200,
            requests_max: 100_000,
            time_max: Duration::from_secs(60),
        }
    }

    /// Asks for this path.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// For this host.
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// So many clients that keep their connection.
    pub fn kept(mut self, clients: u32) -> Self {
        self.kept = clients;
        self
    }

    /// So many clients that open a new connection for each request.
    pub fn fresh(mut self, clients: u32) -> Self {
        self.fresh = clients;
        self
    }

    /// So many requests a second, all clients together. Slower where the machine is; never faster.
    pub fn rate(mut self, per_second: u32) -> Self {
        self.rate = per_second;
        self
    }

    /// Stops by itself after so many requests.
    pub fn requests(mut self, at_most: u64) -> Self {
        self.requests_max = at_most;
        self
    }

    /// Stops by itself after this time.
    pub fn time(mut self, at_most: Duration) -> Self {
        self.time_max = at_most;
        self
    }

    /// Starts.
    ///
    /// # Panics
    /// When it has no client.
    #[must_use]
    pub fn start(self) -> Running {
        assert!(self.kept + self.fresh > 0, "a load needs a client");
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let shared = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = std::thread::Builder::new().name("load".into()).spawn(move || run(self, shared.0, shared.1));
        Running { stop, answered, thread: Some(thread.expect("a thread can be started")) }
    }

    /// Runs to its own end.
    pub async fn run(self) -> Report {
        self.start().finish().await
    }
}

/// A load that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<Report>>,
}

impl Running {
    /// Requests answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were answered.
    pub async fn answers_more(&self, requests: u64) {
        let goal = self.answered() + requests;
        crate::eventually(&format!("{requests} more requests are answered"), || self.answered() >= goal).await;
    }

    /// Sends no more, waits for what is under way, reports.
    pub async fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// Waits for its own end.
    ///
    /// # Panics
    /// When the load itself panicked.
    pub async fn finish(mut self) -> Report {
        let thread = self.thread.take().expect("a load is finished once");
        let joined = tokio::task::spawn_blocking(move || thread.join()).await.expect("joining does not panic");
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What the clients of one load share, on its thread.
struct Course {
    load: Load,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    begun: Instant,
    sent: RefCell<u64>,
    report: RefCell<Report>,
}

fn run(load: Load, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    let clients = load.kept + load.fresh;
    let (sent, report) = (RefCell::default(), RefCell::default());
    let course = Rc::new(Course { load, stop, answered, begun: Instant::now(), sent, report });
    LocalSet::new().block_on(&runtime, async {
        let mut running = JoinSet::new();
        for number in 0..clients {
            running.spawn_local(Rc::clone(&course).client(number));
        }
        running.join_all().await;
    });
    let mut report = course.report.take();
    report.took = course.begun.elapsed();
    report
}

impl Course {
    /// One client, from its first request to its last. All clients take turns at even distances.
    async fn client(self: Rc<Self>, number: u32) {
        let fresh = number >= self.load.kept;
        let clients = self.load.kept + self.load.fresh;
        let distance = Duration::from_secs(1) * clients / self.load.rate.max(1);
        let mut next = self.begun + distance * number / clients;
        let mut client = Client::of(&self.load.place);
        loop {
            tokio::time::sleep_until(next.into()).await;
            if !self.takes_ticket() {
                break;
            }
            // Who is late does not catch up in a burst.
            next = (next + distance).max(Instant::now());
            let ask = client.get(&self.load.path);
            let ask = if let Some(host) = &self.load.host { ask.host(host) } else { ask };
            let outcome = ask.try_send().await;
            self.count(outcome.map(|response| response.status).map_err(|failure| failure.to_string()));
            if fresh {
                self.report.borrow_mut().connections += client.connections() as u64;
                client = Client::of(&self.load.place);
            }
        }
        self.report.borrow_mut().connections += client.connections() as u64;
    }

    fn takes_ticket(&self) -> bool {
        let over = self.stop.load(Ordering::Relaxed) || self.begun.elapsed() > self.load.time_max;
        let mut sent = self.sent.borrow_mut();
        let goes = !over && *sent < self.load.requests_max;
        *sent += u64::from(goes);
        goes
    }

    fn count(&self, outcome: Result<u16, String>) {
        let mut report = self.report.borrow_mut();
        match outcome {
            Ok(status) => {
                *report.statuses.entry(status).or_default() += 1;
                self.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(failure) => {
                report.failed += 1;
                if report.failures.len() < FAILURES_SHOWN {
                    let at = self.begun.elapsed();
                    report.failures.push(format!("at {at:?}: {failure}"));
                }
            }
        }
    }
}

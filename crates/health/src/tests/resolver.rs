//! When a name is resolved and what comes of it, on a paused clock.

use super::support::{self, logged};
use crate::{record::Record, resolver::Resolver};
use evenkeel_balance::{Flag, Rng};
use evenkeel_model::Duration;
use evenkeel_net::Target;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::SystemTime,
};
use tokio::{sync::Semaphore, task::JoinHandle, time::sleep};

const INTERVAL: Duration = Duration::from_secs(30);

/// A resolver of `localhost`, whose name server can be taken away.
struct Play {
    record: Arc<Record>,
    away: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

fn play(away: bool) -> Play {
    let endpoint = support::endpoint("localhost:80");
    let target = Target::new(endpoint.address().clone());
    let record = Arc::new(Record::new(support::upstream(), endpoint, SystemTime::now()));
    let resolver = Resolver {
        record: Arc::clone(&record),
        target,
        interval: INTERVAL,
        turns: Arc::new(Semaphore::new(1)),
        rng: Rng::from_seed(1),
    };
    let away = Arc::new(AtomicBool::new(away));
    let asked = Arc::new(AtomicUsize::new(0));
    let (gone, count) = (Arc::clone(&away), Arc::clone(&asked));
    let running = tokio::spawn(resolver.run(move |target| {
        let (gone, count) = (Arc::clone(&gone), Arc::clone(&count));
        async move {
            count.fetch_add(1, SeqCst);
            if gone.load(SeqCst) { Err(io::Error::other("no name server")) } else { target.resolve().await }
        }
    }));
    Play { record, away, asked, running }
}

impl Drop for Play {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Play {
    fn error(&self) -> Option<String> {
        self.record.status().error
    }

    fn has_address(&self) -> bool {
        !self.record.endpoint().has(Flag::NoAddress)
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_resolved_at_once_and_again_at_its_interval() {
    let play = play(false);
    sleep(Duration::from_millis(1)).await;
    assert!(play.has_address());
    sleep(Duration::from_secs(600)).await;
    let asked = play.asked.load(SeqCst);
    assert!((18..=24).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_never_resolved_keeps_requests_away_and_is_tried_again_soon() {
    let play = play(true);
    sleep(Duration::from_secs(1)).await;
    assert!(!play.has_address());
    assert_eq!(play.error().unwrap(), "the name cannot be resolved: no name server");

    play.away.store(false, SeqCst);
    sleep(Duration::from_secs(6)).await;
    assert!(play.has_address());
    assert_eq!(play.error(), None);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_answer_is_kept_while_the_name_server_is_away() {
    let play = play(false);
    sleep(Duration::from_secs(1)).await;
    play.away.store(true, SeqCst);
    sleep(Duration::from_secs(60)).await;
    assert!(play.has_address());
    let error = play.error().unwrap();
    assert_eq!(error, "the name cannot be resolved again, its last addresses are kept: no name server");
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_is_away_for_an_hour_is_no_flood_of_warnings() {
    let play = play(true);
    sleep(Duration::from_secs(3600)).await;
    let warnings = logged("WARN name cannot be resolved").len();
    assert!((50..=60).contains(&warnings), "{warnings} warnings");
    assert!(play.asked.load(SeqCst) > 600);
}

//! When a prober asks and what its answers do, on a paused clock, with answers from a script.

use super::support::{self, logged};
use crate::{FIRST_PROBES_MAX, Verdict, probe::Failure, prober::Prober, record::Record};
use evenkeel_balance::{Flag, Rng};
use evenkeel_model::{Duration, Probe};
use evenkeel_net::Target;
use std::{
    collections::VecDeque,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::SystemTime,
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout},
};

const INTERVAL: Duration = Duration::from_secs(5);

/// One prober under a script: `+` is a good answer, `-` a bad one; after the end the last one is repeated.
struct Play {
    record: Arc<Record>,
    prober: Prober,
    asked: Arc<Mutex<Vec<Instant>>>,
    answers: Arc<Mutex<VecDeque<bool>>>,
    /// How long an answer takes.
    takes: Duration,
}

fn play(probe: Probe, script: &str) -> Play {
    let endpoint = support::endpoint("10.0.0.1:80");
    let target = Target::new(endpoint.address().clone());
    let record = Arc::new(Record::new(support::upstream(), endpoint, SystemTime::now()));
    record.begin_probing(SystemTime::now());
    let prober = Prober {
        record: Arc::clone(&record),
        target,
        probe: Arc::new(probe),
        first: Arc::new(Semaphore::new(1)),
        rng: Rng::from_seed(1),
    };
    let answers = script.chars().map(|c| c == '+').collect();
    Play { record, prober, asked: Arc::default(), answers: Arc::new(Mutex::new(answers)), takes: Duration::ZERO }
}

impl Play {
    /// Lets it run for a time; gives the pauses between questions, in seconds.
    async fn pauses(self, time: Duration) -> Vec<f64> {
        let Self { prober, asked, answers, takes, .. } = self;
        let all = Arc::clone(&asked);
        let ask = move |_, _| {
            let (asked, answers) = (Arc::clone(&asked), Arc::clone(&answers));
            async move {
                asked.lock().unwrap().push(Instant::now());
                tokio::time::sleep(takes).await;
                let mut answers = answers.lock().unwrap();
                let good = if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
                if good == Some(true) { Ok(()) } else { Err(Failure::NoAnswer { limit: takes }) }
            }
        };
        let _ = timeout(time, prober.run(ask)).await;
        let all = all.lock().unwrap();
        all.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
    }
}

fn about(pause: f64, seconds: f64) -> bool {
    // The clock of the runtime has a grain of one millisecond.
    (seconds * 0.8 - 0.002..=seconds * 1.2 + 0.002).contains(&pause)
}

#[tokio::test(start_paused = true)]
async fn a_steady_endpoint_is_asked_once_an_interval_give_or_take_a_fifth() {
    for script in ["+", "-"] {
        let pauses = play(Probe::default(), script).pauses(Duration::from_secs(600)).await;
        assert!((110..=130).contains(&pauses.len()), "{}", pauses.len());
        assert!(pauses.iter().all(|pause| about(*pause, INTERVAL.as_secs_f64())), "{pauses:?}");
        let spread = pauses.iter().copied().fold(0.0, f64::max) - pauses.iter().copied().fold(9.0, f64::min);
        assert!(spread > 1.0, "the jitter is there: {spread}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_question_is_asked_at_once_and_decides() {
    let good = play(Probe::default(), "+");
    let bad = play(Probe::default(), "-");
    let records = [Arc::clone(&good.record), Arc::clone(&bad.record)];
    assert!(records.iter().all(|record| record.status().verdict == Verdict::Unknown));
    assert!(records.iter().all(|record| record.endpoint().has(Flag::Unknown)));
    good.pauses(Duration::from_millis(1)).await;
    bad.pauses(Duration::from_millis(1)).await;
    assert_eq!(records.map(|record| record.status().verdict), [Verdict::Healthy, Verdict::Unhealthy]);
}

#[tokio::test(start_paused = true)]
async fn while_a_verdict_is_turning_the_next_question_comes_within_a_second() {
    // Up at once; three bad answers turn it, then two good ones.
    let pauses = play(Probe::default(), "+---++").pauses(Duration::from_secs(30)).await;
    for (n, seconds) in [5.0, 1.0, 1.0, 5.0, 1.0, 5.0].into_iter().enumerate() {
        assert!(about(pauses[n], seconds), "pause {n}: {pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_interval_below_a_second_is_kept_while_a_verdict_is_turning() {
    let probe = Probe { interval: Duration::from_millis(200), ..Probe::default() };
    let pauses = play(probe, "+--++").pauses(Duration::from_secs(5)).await;
    assert!(pauses.iter().all(|pause| about(*pause, 0.2)), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn the_interval_counts_from_question_to_question() {
    let slow = Play { takes: Duration::from_secs(3), ..play(Probe::default(), "+") };
    let pauses = slow.pauses(Duration::from_secs(60)).await;
    assert!(pauses.iter().all(|pause| about(*pause, 5.0)), "{pauses:?}");

    let slower = Play { takes: Duration::from_secs(20), ..play(Probe::default(), "+") };
    let pauses = slower.pauses(Duration::from_secs(200)).await;
    assert!(pauses.iter().all(|pause| (20.0..20.1).contains(pause)), "one question at a time: {pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn each_change_of_a_verdict_is_logged_once_with_its_reason() {
    let probe = Probe { healthy_after: NonZeroU32::new(2).unwrap(), ..Probe::default() };
    play(probe, "++---------++++").pauses(Duration::from_secs(600)).await;
    assert_eq!(
        logged("endpoint is"),
        [
            r#"INFO endpoint is healthy upstream="site" endpoint="10.0.0.1:80" was="unknown" reason="connect""#,
            r#"WARN endpoint is unhealthy upstream="site" endpoint="10.0.0.1:80" was="healthy" reason="connect: no answer within 0ns""#,
            r#"INFO endpoint is healthy upstream="site" endpoint="10.0.0.1:80" was="unhealthy" reason="connect""#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_without_address_is_not_asked_and_not_called_down() {
    let Play { record, mut prober, .. } = play(Probe::default(), "+");
    let target = Target::new("localhost:80".parse().unwrap());
    prober.target = Arc::clone(&target);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let running = tokio::spawn(prober.run(move |_, _| {
        count.fetch_add(1, SeqCst);
        async { Ok(()) }
    }));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((asked.load(SeqCst), record.status().verdict), (0, Verdict::Unknown));

    let outcome = target.resolve().await;
    record.resolved(true, &outcome);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((asked.load(SeqCst), record.status().verdict), (1, Verdict::Healthy));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn the_first_questions_to_a_fleet_are_spread_and_the_later_ones_wait_for_nobody() {
    let first = Arc::new(Semaphore::new(FIRST_PROBES_MAX));
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let asked = Arc::new(AtomicUsize::new(0));
    let mut probers = JoinSet::new();
    let begun = Instant::now();
    for seed in 0..1000 {
        let Play { mut prober, .. } = play(Probe::default(), "+");
        prober.first = Arc::clone(&first);
        prober.rng = Rng::from_seed(seed);
        let (now, most, asked) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&asked));
        probers.spawn(prober.run(move |_, _| {
            let (now, most, asked) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&asked));
            async move {
                asked.fetch_add(1, SeqCst);
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                now.fetch_sub(1, SeqCst);
                Ok(())
            }
        }));
    }
    while asked.load(SeqCst) < 1000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(most.load(SeqCst), FIRST_PROBES_MAX);
    // Four rounds of 256, one second each.
    assert!(begun.elapsed() < Duration::from_millis(3500), "{:?}", begun.elapsed());
}

//! From counters to what happened in the last second: pure bookkeeping between `scrape` and `load`, and `picture`.

use crate::{
    histogram::Histogram,
    load::Seen,
    scrape::{Counts, EndpointCounts},
};
use std::{collections::VecDeque, time::Duration};

/// Seconds that the strips of the picture remember.
pub(crate) const REMEMBERED: usize = 20;

/// What the picture shows: one moment, and the second before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scene {
    /// Since the start.
    pub(crate) at: Duration,
    pub(crate) rows: Vec<Row>,
    /// `None` when the metrics could not be had.
    pub(crate) proxy: Option<Flow>,
    pub(crate) load: Flow,
    pub(crate) failures: u64,
    pub(crate) last_failure: Option<String>,
    /// Of the last second.
    pub(crate) p50: Option<Duration>,
    /// Of the last second.
    pub(crate) p99: Option<Duration>,
    pub(crate) trouble: Option<Trouble>,
}

/// Something a person should know first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The metrics could not be had, and why.
    NoCounts(String),
    /// The file has a mistake.
    BadFile,
}

/// A count and its growth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Flow {
    pub(crate) total: f64,
    pub(crate) per_second: f64,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// What a person calls it; its address, when it is none of ours.
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) per_second: f64,
    /// Of all requests to endpoints, 0 to 1.
    pub(crate) share: f64,
    pub(crate) in_flight: f64,
    /// The latest [`REMEMBERED`] seconds, oldest first.
    pub(crate) past: Vec<Moment>,
}

/// One endpoint in one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    pub(crate) state: State,
    pub(crate) per_second: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Healthy,
    Unhealthy,
    Draining,
}

/// What was counted before, to tell what is new.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Name and address, in the order to show.
    members: Vec<(&'static str, String)>,
    /// `None` before the first scrape: what was counted before we looked belongs to no second.
    counted: Option<(Duration, Counts)>,
    seen_at: Duration,
    seen: Seen,
    pasts: Vec<Past>,
}

/// The strip of one endpoint.
#[derive(Debug)]
struct Past {
    upstream: String,
    address: String,
    moments: VecDeque<Moment>,
}

impl Ledger {
    pub(crate) fn new(members: Vec<(&'static str, String)>) -> Self {
        Self { members, ..Self::default() }
    }

    /// Enters what was counted until `at`. The first entry only says from where to count.
    pub(crate) fn enter(&mut self, at: Duration, counts: Result<Counts, String>, seen: Seen) -> Scene {
        let times = seen.times.since(&self.seen.times);
        let mut scene = Scene { at, ..self.load(at, &seen, &times) };
        self.seen = seen;
        self.seen_at = at;
        match counts {
            Err(why) => scene.trouble = Some(Trouble::NoCounts(why)),
            Ok(counts) => {
                scene.trouble = (!counts.reloaded).then_some(Trouble::BadFile);
                if let Some((counted_at, before)) = self.counted.take() {
                    let seconds = seconds(at, counted_at);
                    scene.proxy = Some(flow(counts.requests, before.requests, seconds));
                    scene.rows = self.rows(&counts, &before, seconds);
                }
                self.counted = Some((at, counts));
            }
        }
        scene
    }

    fn load(&self, at: Duration, seen: &Seen, times: &Histogram) -> Scene {
        #[expect(clippy::cast_precision_loss, reason = "a demo does not send 2^52 requests")]
        let load = flow(seen.requests as f64, self.seen.requests as f64, seconds(at, self.seen_at));
        Scene {
            load,
            failures: seen.failures,
            last_failure: seen.last_failure.clone(),
            p50: times.percentile(50),
            p99: times.percentile(99),
            ..Scene::default()
        }
    }

    fn rows(&mut self, counts: &Counts, before: &Counts, seconds: f64) -> Vec<Row> {
        self.pasts.retain(|past| counts.endpoints.iter().any(|endpoint| past.is_of(endpoint)));
        let mut rows: Vec<_> = counts.endpoints.iter().map(|endpoint| self.row(endpoint, before, seconds)).collect();
        let all: f64 = rows.iter().map(|(_, row)| row.per_second).sum();
        for (_, row) in &mut rows {
            row.share = if all > 0.0 { row.per_second / all } else { 0.0 };
        }
        // Stable: whoever is not one of ours stays in the order of the metrics, after ours.
        rows.sort_by_key(|(place, _)| *place);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// A row without its share, and its place.
    fn row(&mut self, endpoint: &EndpointCounts, before: &Counts, seconds: f64) -> (usize, Row) {
        let before = before.endpoints.iter().find(|e| e.upstream == endpoint.upstream && e.address == endpoint.address);
        let per_second = flow(endpoint.requests, before.map_or(0.0, |e| e.requests), seconds).per_second;
        let state = match endpoint {
            EndpointCounts { draining: true, .. } => State::Draining,
            EndpointCounts { healthy: false, .. } => State::Unhealthy,
            EndpointCounts { .. } => State::Healthy,
        };
        let place = self.members.iter().position(|(_, address)| *address == endpoint.address);
        let name = place.map_or_else(|| endpoint.address.clone(), |place| self.members[place].0.to_owned());
        let past = self.remember(endpoint, Moment { state, per_second });
        let row = Row { name, state, per_second, share: 0.0, in_flight: endpoint.in_flight, past };
        (place.unwrap_or(usize::MAX), row)
    }

    fn remember(&mut self, endpoint: &EndpointCounts, moment: Moment) -> Vec<Moment> {
        let known = self.pasts.iter().position(|past| past.is_of(endpoint));
        let index = known.unwrap_or_else(|| {
            self.pasts.push(Past {
                upstream: endpoint.upstream.clone(),
                address: endpoint.address.clone(),
                moments: VecDeque::new(),
            });
            self.pasts.len() - 1
        });
        let moments = &mut self.pasts[index].moments;
        if moments.len() == REMEMBERED {
            moments.pop_front();
        }
        moments.push_back(moment);
        moments.iter().copied().collect()
    }
}

impl Past {
    fn is_of(&self, endpoint: &EndpointCounts) -> bool {
        self.upstream == endpoint.upstream && self.address == endpoint.address
    }
}

fn seconds(at: Duration, before: Duration) -> f64 {
    at.saturating_sub(before).as_secs_f64()
}

/// A counter that went back has begun anew.
fn flow(total: f64, before: f64, seconds: f64) -> Flow {
    let grown = if total < before { total } else { total - before };
    Flow { total, per_second: if seconds > 0.0 { grown / seconds } else { 0.0 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(endpoints: &[(&str, f64, bool)]) -> Result<Counts, String> {
        let endpoint = |(address, requests, healthy): &(&str, f64, bool)| EndpointCounts {
            upstream: "fleet".into(),
            address: (*address).to_owned(),
            requests: *requests,
            healthy: *healthy,
            ..EndpointCounts::default()
        };
        let endpoints: Vec<_> = endpoints.iter().map(endpoint).collect();
        Ok(Counts { requests: endpoints.iter().map(|e| e.requests).sum(), reloaded: true, endpoints })
    }

    fn seen(requests: u64, failures: u64) -> Seen {
        Seen { requests, failures, ..Seen::default() }
    }

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn ledger() -> Ledger {
        Ledger::new(vec![("steady", "a:1".to_owned()), ("slow", "b:1".to_owned())])
    }

    #[test]
    fn a_second_shows_what_grew_in_it_and_who_got_it() {
        let mut ledger = ledger();
        ledger.enter(at(0), counts(&[("b:1", 50.0, true), ("a:1", 50.0, true)]), seen(0, 0));

        let scene = ledger.enter(at(2_000), counts(&[("b:1", 150.0, true), ("a:1", 350.0, true)]), seen(400, 3));

        let rows: Vec<_> = scene.rows.iter().map(|row| (row.name.as_str(), row.per_second, row.share)).collect();
        assert_eq!(rows, [("steady", 150.0, 0.75), ("slow", 50.0, 0.25)]);
        assert_eq!(scene.proxy, Some(Flow { total: 500.0, per_second: 200.0 }));
        assert_eq!((scene.load, scene.failures), (Flow { total: 400.0, per_second: 200.0 }, 3));
    }

    #[test]
    fn what_was_counted_before_we_looked_belongs_to_no_second() {
        let mut ledger = ledger();
        let first = ledger.enter(at(3), counts(&[("a:1", 5_000.0, true)]), seen(0, 0));
        let second = ledger.enter(at(1_003), counts(&[("a:1", 5_100.0, true)]), seen(0, 0));

        assert!(first.rows.is_empty() && first.proxy.is_none());
        assert_eq!(second.rows[0].past, [Moment { state: State::Healthy, per_second: 100.0 }]);
    }

    #[test]
    fn an_endpoint_added_while_we_watch_is_shown_by_its_address_and_a_removed_one_is_gone() {
        let mut ledger = ledger();
        ledger.enter(at(0), counts(&[("a:1", 0.0, true), ("b:1", 0.0, true)]), seen(0, 0));

        let scene = ledger.enter(at(1_000), counts(&[("c:1", 7.0, true), ("a:1", 1.0, false)]), seen(0, 0));

        let rows: Vec<_> = scene.rows.iter().map(|row| (row.name.as_str(), row.per_second, row.state)).collect();
        assert_eq!(rows, [("steady", 1.0, State::Unhealthy), ("c:1", 7.0, State::Healthy)]);
        assert_eq!(ledger.pasts.len(), 2);
    }

    #[test]
    fn a_missed_scrape_invents_nothing_and_the_next_one_spans_both_seconds() {
        let mut ledger = ledger();
        ledger.enter(at(0), counts(&[("a:1", 0.0, true)]), seen(0, 0));

        let missed = ledger.enter(at(1_000), Err("refused".to_owned()), seen(200, 0));
        let next = ledger.enter(at(2_000), counts(&[("a:1", 400.0, true)]), seen(400, 0));

        assert_eq!(missed.trouble, Some(Trouble::NoCounts("refused".to_owned())));
        assert!(missed.rows.is_empty() && missed.proxy.is_none());
        assert_eq!(missed.load.per_second, 200.0);
        assert_eq!((next.rows[0].per_second, next.load.per_second), (200.0, 200.0));
    }

    #[test]
    fn a_strip_remembers_so_many_seconds_and_no_more() {
        let mut ledger = ledger();
        let mut requests = 0.0;
        let mut past = Vec::new();
        for second in 0..30_u32 {
            requests += f64::from(second);
            let scene = ledger.enter(at(u64::from(second) * 1_000), counts(&[("a:1", requests, true)]), seen(0, 0));
            past = scene.rows.into_iter().next().map_or(past, |row| row.past);
        }
        let rates: Vec<_> = past.iter().map(|moment| moment.per_second).collect();
        assert_eq!(rates, (10..30).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn a_counter_that_begins_anew_is_not_negative() {
        assert_eq!(flow(5.0, 100.0, 1.0).per_second, 5.0);
        assert_eq!(flow(5.0, 0.0, 0.0).per_second, 0.0);
    }
}

//! Whether a peer that moves a little, again and again, moves enough.
//!
//! A bucket of time, as a token bucket is one of bytes: while a peer is waited for it empties, each byte that it moves puts the time
//! back which that byte may take, and never is there more in it than the grace. So no credit is saved up in a fast begin, and time in
//! which nobody waits for the peer, because we or the other side have the turn, costs it nothing. Pure: time is passed in.

use evenkeel_model::RateMin;
use std::{cell::Cell, time::Duration};

/// How much of its grace a peer has used up.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Microseconds.
    used: Cell<u64>,
    /// Since when it is waited for, in milliseconds of the worker's clock.
    since: Cell<Option<u64>>,
}

impl Pace {
    /// The peer is waited for. Gives how long one may go on, zero when it was too slow.
    pub(crate) fn waits(&self, least: RateMin, now: u64) -> Duration {
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        let waited = Duration::from_millis(now.saturating_sub(since));
        least.grace.saturating_sub(Duration::from_micros(self.used.get()) + waited)
    }

    /// If the peer is waited for, then only since this moment: before it, another one was.
    pub(crate) fn not_before(&self, moment: u64) {
        self.since.set(self.since.get().map(|since| since.max(moment)));
    }

    /// The peer is no longer waited for.
    pub(crate) fn rests(&self, now: u64) {
        if let Some(since) = self.since.take() {
            self.used.set(self.used.get().saturating_add(now.saturating_sub(since).saturating_mul(1000)));
        }
    }

    /// The peer has moved so many bytes, and is no longer waited for.
    pub(crate) fn moved(&self, least: RateMin, now: u64, bytes: u64) {
        self.rests(now);
        let earned = bytes.saturating_mul(1_000_000) / least.bytes.0.max(1);
        self.used.set(self.used.get().saturating_sub(earned));
    }

    /// Another message begins, with all its grace.
    pub(crate) fn begins(&self) {
        self.used.set(0);
        self.since.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_model::ByteSize;

    const LEAST: RateMin = RateMin { bytes: ByteSize(100), grace: Duration::from_secs(10) };

    /// The second in which a peer that moves `bytes` in each second of an hour is too slow.
    fn lives(pace: &Pace, bytes: u64) -> Option<u64> {
        (1..3600).find(|second| {
            pace.waits(LEAST, (second - 1) * 1000);
            let left = pace.waits(LEAST, second * 1000);
            pace.moved(LEAST, second * 1000, bytes);
            left.is_zero()
        })
    }

    #[test]
    fn a_peer_at_the_least_rate_lives_and_a_slower_one_has_its_grace() {
        assert_eq!(lives(&Pace::default(), 100), None);
        assert_eq!(lives(&Pace::default(), 0), Some(10));
        assert_eq!(lives(&Pace::default(), 1), Some(11));
        assert_eq!(lives(&Pace::default(), 50), Some(19));
    }

    #[test]
    fn a_fast_begin_earns_no_more_than_the_grace() {
        let pace = Pace::default();
        pace.moved(LEAST, 0, 1 << 40);
        assert_eq!(lives(&pace, 0), Some(10));
    }

    #[test]
    fn time_in_which_nobody_waits_costs_nothing() {
        let pace = Pace::default();
        pace.waits(LEAST, 0);
        pace.rests(1000);
        assert_eq!(pace.waits(LEAST, 1_000_000), Duration::from_secs(9));
        pace.not_before(1_003_000);
        assert_eq!(pace.waits(LEAST, 1_004_000), Duration::from_secs(8));
        pace.begins();
        pace.not_before(1_000_000);
        assert_eq!(pace.waits(LEAST, 2_000_000), LEAST.grace);
    }
}

//! The two smallest cells: a count that only grows and a number that goes both ways.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A count that only grows. One thread writes, any thread reads.
///
/// A second writer would lose counts, never more than that: nothing else depends on the value.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more. Wraps after 2^64, which a scraper takes for a restart.
    #[inline]
    pub fn add(&self, n: u64) {
        // Load and store instead of fetch_add: with a single writer nothing can come between, and no lock prefix is paid.
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The count so far.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes both ways. One thread writes, any thread reads; it may be negative on one worker when what began
/// there ended on another, only the sum over the workers means something.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// `n` more, or fewer when negative.
    #[inline]
    pub fn add(&self, n: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Exactly `n`.
    #[inline]
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    /// The number now.
    #[inline]
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_counts_and_a_gauge_goes_both_ways() {
        let (counter, gauge) = (Counter::default(), Gauge::default());

        counter.inc();
        counter.add(41);
        gauge.add(1);
        gauge.add(-3);

        assert_eq!((counter.get(), gauge.get()), (42, -2));
        gauge.set(7);
        assert_eq!(gauge.get(), 7);
    }

    #[test]
    fn another_thread_sees_every_count_of_the_one_writer() {
        let counter = Counter::default();

        std::thread::scope(|scope| {
            scope.spawn(|| (0..100_000).for_each(|_| counter.inc()));
            let mut last = 0;
            while last < 100_000 {
                let now = counter.get();
                assert!(now >= last, "a count never goes back");
                last = now;
                std::thread::yield_now();
            }
        });

        assert_eq!(counter.get(), 100_000);
    }
}

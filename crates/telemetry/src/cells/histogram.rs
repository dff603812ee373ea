//! Durations in fixed buckets.
//!
//! Fixed buckets can be summed over workers and over machines; a sketch or a sample list cannot be, or not cheaply.

use super::Counter;
use std::time::Duration;

/// Upper bounds of the buckets: nanoseconds, and the same in seconds as the label `le` shows it. The range is that of a
/// proxied request: below 1 ms nothing is slow, above 30 s somebody has given up.
pub const BUCKETS: [(u64, &str); 14] = [
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
    (30_000_000_000, "30"),
];

/// One more than the bounds: what is above the last of them.
const CELLS: usize = BUCKETS.len() + 1;

/// Durations in the fixed [`BUCKETS`]. One thread writes, any thread reads.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; CELLS],
    sum_nanos: Counter,
}

/// The durations of one or more histograms, added up. Its count is the sum of its buckets, so that the two can never
/// disagree in a scrape, whatever is written meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    buckets: [u64; CELLS],
    sum_nanos: u64,
}

impl Histogram {
    /// One more duration. A few nanoseconds: most requests end at the first bounds.
    #[inline]
    pub fn observe(&self, duration: Duration) {
        // 2^64 ns are 584 years.
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let index = BUCKETS.iter().position(|&(bound, _)| nanos <= bound).unwrap_or(BUCKETS.len());
        self.buckets[index].inc();
        self.sum_nanos.add(nanos);
    }

    /// What was observed so far.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut snapshot = HistogramSnapshot::default();
        snapshot.merge(self);
        snapshot
    }
}

impl HistogramSnapshot {
    /// The sum over several cells, such as those of all workers.
    pub fn of<'a>(histograms: impl IntoIterator<Item = &'a Histogram>) -> Self {
        let mut snapshot = Self::default();
        histograms.into_iter().for_each(|histogram| snapshot.merge(histogram));
        snapshot
    }

    /// Adds what another cell observed.
    pub fn merge(&mut self, histogram: &Histogram) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *mine += theirs.get();
        }
        self.sum_nanos = self.sum_nanos.wrapping_add(histogram.sum_nanos.get());
    }

    /// How many durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All durations together, in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a sum of seconds is read to a few digits")]
    pub fn sum_seconds(&self) -> f64 {
        self.sum_nanos as f64 / 1e9
    }

    /// How many durations were at most each bound: the bound as `le` shows it, and the count so far. The last one,
    /// `+Inf`, is the count.
    pub fn cumulative(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let bounds = BUCKETS.iter().map(|&(_, le)| le).chain(["+Inf"]);
        bounds.zip(self.buckets.iter().scan(0, |total, n| {
            *total += n;
            Some(*total)
        }))
    }

    /// An estimate of the duration that the given share (0 to 1) of all is at or below: linear within its bucket, as
    /// Prometheus' `histogram_quantile` does it. `None` without observations; the last bound for what is above it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = share.clamp(0.0, 1.0) * count as f64;
        let (mut below, mut low) = (0, 0);
        for (&n, &(high, _)) in self.buckets.iter().zip(&BUCKETS) {
            if n > 0 && (below + n) as f64 >= rank {
                let part = ((rank - below as f64) / n as f64).clamp(0.0, 1.0);
                return Some(Duration::from_nanos(low) + Duration::from_nanos(high - low).mul_f64(part));
            }
            (below, low) = (below + n, high);
        }
        Some(Duration::from_nanos(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_label_of_a_bucket_is_its_bound_in_seconds() {
        for (nanos, le) in BUCKETS {
            assert_eq!(Duration::from_nanos(nanos), Duration::from_secs_f64(le.parse().unwrap()));
        }
        assert!(BUCKETS.is_sorted());
    }

    #[test]
    fn a_duration_on_a_bound_belongs_below_it() {
        let histogram = Histogram::default();
        for nanos in [0, 1_000_000, 1_000_001, 30_000_000_000, 30_000_000_001] {
            histogram.observe(Duration::from_nanos(nanos));
        }

        let cumulative: Vec<_> = histogram.snapshot().cumulative().collect();

        assert_eq!(cumulative[0], ("0.001", 2));
        assert_eq!(cumulative[1], ("0.0025", 3));
        assert_eq!(cumulative[13], ("30", 4));
        assert_eq!(cumulative[14], ("+Inf", 5));
    }

    #[test]
    fn a_quantile_is_read_off_the_buckets() {
        let histogram = Histogram::default();
        assert_eq!(histogram.snapshot().quantile(0.5), None);
        (0..100).for_each(|_| histogram.observe(Duration::from_millis(7)));

        assert_eq!(histogram.snapshot().quantile(0.5), Some(Duration::from_micros(7500)));
        histogram.observe(Duration::from_secs(60));
        assert_eq!(histogram.snapshot().quantile(1.0), Some(Duration::from_secs(30)));
    }

    proptest! {
        #[test]
        fn every_duration_is_counted_once_and_summed(workers in prop::collection::vec(prop::collection::vec(0_u64..60_000_000_000, 0..20), 1..4)) {
            let histograms: Vec<Histogram> = workers.iter().map(|durations| {
                let histogram = Histogram::default();
                durations.iter().for_each(|&n| histogram.observe(Duration::from_nanos(n)));
                histogram
            }).collect();

            let all = HistogramSnapshot::of(&histograms);

            let flat: Vec<u64> = workers.concat();
            prop_assert_eq!(all.count(), flat.len() as u64);
            prop_assert_eq!(all.sum_nanos, flat.iter().sum::<u64>());
            for ((_, n), (bound, _)) in all.cumulative().zip(BUCKETS) {
                prop_assert_eq!(n, flat.iter().filter(|&&d| d <= bound).count() as u64);
            }
        }
    }
}

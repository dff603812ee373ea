//! Counts durations, fixed in size: 16 steps for each doubling, from a microsecond to a minute.
//!
//! For people's eyes only: a quantile read from it is at most 1/16 too high. Differences of two are exact, so that
//! one counter serves the last second and the whole run.

use std::time::Duration;

const STEPS: usize = 16;
/// 2^26 us are 67 s; what takes longer counts as that.
const DOUBLINGS: usize = 26;
const SLOTS: usize = (DOUBLINGS - 4) * STEPS + STEPS;

/// Durations by size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Histogram(Box<[u64; SLOTS]>);

impl Default for Histogram {
    fn default() -> Self {
        Self(Box::new([0; SLOTS]))
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0[slot(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))] += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What was added since `earlier`, which must be an earlier state of this one.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut rest = self.clone();
        for (now, then) in rest.0.iter_mut().zip(earlier.0.iter()) {
            *now = now.saturating_sub(*then);
        }
        rest
    }

    /// The duration that a `percent` (1 to 100) of all stayed within; `None` when there are none.
    pub(crate) fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.count() * percent).div_ceil(100);
        let mut seen = 0;
        let slot = self.0.iter().position(|count| {
            seen += count;
            *count > 0 && seen >= rank
        })?;
        Some(Duration::from_micros(upper(slot)))
    }
}

/// Below 16 us one slot each; above, the doubling and the four bits after the leading one.
fn slot(micros: u64) -> usize {
    let micros = micros.min((1 << DOUBLINGS) - 1);
    let doubling = (micros | 1).ilog2().saturating_sub(4);
    let leading = usize::try_from(micros >> doubling).expect("below 32");
    doubling as usize * STEPS + leading
}

/// The longest duration of a slot, in microseconds.
fn upper(slot: usize) -> u64 {
    if slot < 2 * STEPS {
        return slot as u64;
    }
    let doubling = slot / STEPS - 1;
    (((slot % STEPS + STEPS + 1) as u64) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_duration_is_read_back_at_most_a_sixteenth_too_high(micros in 0_u64..1 << DOUBLINGS) {
            let mut histogram = Histogram::default();
            histogram.add(Duration::from_micros(micros));
            let read = u64::try_from(histogram.percentile(50).unwrap().as_micros()).unwrap();
            prop_assert!(read >= micros && read <= micros + micros / 16, "{micros} read as {read}");
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), None);
        for millis in 1..=100 {
            histogram.add(Duration::from_millis(millis));
        }
        let read = |percent| histogram.percentile(percent).unwrap().as_secs_f64() * 1e3;
        for percent in [1, 50, 99, 100] {
            let exact = f64::from(u8::try_from(percent).unwrap());
            assert!((exact..exact * 17.0 / 16.0).contains(&read(percent)), "p{percent}: {}", read(percent));
        }
        assert_eq!(histogram.count(), 100);
    }

    #[test]
    fn a_difference_holds_only_what_came_later() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_secs(1));
        let earlier = histogram.clone();
        histogram.add(Duration::from_micros(7));
        let later = histogram.since(&earlier);
        assert_eq!((later.count(), later.percentile(99)), (1, Some(Duration::from_micros(7))));
    }

    #[test]
    fn the_longest_wait_is_counted_in_the_last_slot() {
        assert_eq!(slot(u64::MAX), SLOTS - 1);
        assert_eq!(slot(0), 0);
    }
}

//! A line in the log that a peer could cause as often as it likes: written at a limited rate, the others counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One kind of line, of a worker or of all of them; the next one is at least this many milliseconds later.
#[derive(Debug, Default)]
pub(crate) struct Seldom<const EVERY: u64> {
    /// When the next line may be written, in milliseconds of the workers' clock.
    next: AtomicU64,
    kept_back: AtomicU64,
}

impl<const EVERY: u64> Seldom<EVERY> {
    /// Whether to tell now: how many were kept back since the last one that was told.
    pub(crate) fn tell(&self, now: u64) -> Option<u64> {
        if self.is_due(now) {
            return Some(self.kept_back.swap(0, Relaxed));
        }
        self.kept_back.fetch_add(1, Relaxed);
        None
    }

    /// Whether to tell of those that were kept back, since no other came by now: how many they are.
    pub(crate) fn tell_of_kept_back(&self, now: u64) -> Option<u64> {
        let some = self.has_kept_back() && self.is_due(now);
        some.then(|| self.kept_back.swap(0, Relaxed)).filter(|kept_back| *kept_back > 0)
    }

    /// Whether some were kept back since the last one that was told.
    pub(crate) fn has_kept_back(&self) -> bool {
        self.kept_back.load(Relaxed) > 0
    }

    /// Whether the time has come; of several workers that ask at once, for one of them.
    fn is_due(&self, now: u64) -> bool {
        let next = self.next.load(Relaxed);
        now >= next && self.next.compare_exchange(next, now + EVERY, Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_and_the_rest_counted_until_the_next() {
        let seldom = Seldom::<10_000>::default();

        assert_eq!([seldom.tell(5), seldom.tell(6), seldom.tell(10_004)], [Some(0), None, None]);
        assert_eq!([seldom.tell(10_005), seldom.tell(10_006)], [Some(2), None]);
    }

    #[test]
    fn the_rest_is_told_of_also_when_no_other_comes() {
        let seldom = Seldom::<1000>::default();
        assert_eq!(seldom.tell_of_kept_back(0), None);
        assert_eq!([seldom.tell(1), seldom.tell(2), seldom.tell(3)], [Some(0), None, None]);

        assert_eq!(seldom.tell_of_kept_back(1000), None, "it is too early");
        assert_eq!([seldom.tell_of_kept_back(1001), seldom.tell_of_kept_back(9000)], [Some(2), None]);
        assert_eq!(seldom.tell(9001), Some(0));
    }
}

//! When a file that is being changed has come to rest. Pure: the clock is passed in.

use std::time::Duration;
use tokio::time::Instant;

/// So long without a hint, and the file is taken as it is: editors and `kubectl` write within a few milliseconds.
pub(super) const QUIET: Duration = Duration::from_millis(50);
/// So long after the first hint at the latest, however restless the file is.
pub(super) const LONGEST: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Debounce {
    first: Instant,
    rest: Instant,
}

impl Debounce {
    /// The first hint came now.
    pub(super) fn begin(now: Instant) -> Self {
        Self { first: now, rest: now + QUIET }
    }

    /// When to look at the file.
    pub(super) fn deadline(&self) -> Instant {
        self.rest.min(self.first + LONGEST)
    }

    /// Another hint came now. Whether there is still time to wait.
    pub(super) fn hint(&mut self, now: Instant) -> bool {
        self.rest = now + QUIET;
        !self.is_over(now)
    }

    /// There is nothing to take yet: waits for the next hint, or for the end.
    pub(super) fn wait_to_the_end(&mut self) {
        self.rest = self.first + LONGEST;
    }

    /// Whether the longest time is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.first + LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_hint_puts_the_deadline_off_but_never_beyond_the_longest_time() {
        let begun = Instant::now();
        let mut debounce = Debounce::begin(begun);
        assert_eq!(debounce.deadline(), begun + QUIET);

        assert!(debounce.hint(begun + 30 * MS));
        assert_eq!(debounce.deadline(), begun + 80 * MS);

        assert!(debounce.hint(begun + 490 * MS));
        assert_eq!(debounce.deadline(), begun + LONGEST);
        assert!(!debounce.hint(begun + 500 * MS));
    }

    #[test]
    fn a_missing_file_is_waited_for_but_a_hint_shortens_the_wait() {
        let begun = Instant::now();
        let mut debounce = Debounce::begin(begun);

        debounce.wait_to_the_end();
        assert_eq!(debounce.deadline(), begun + LONGEST);

        assert!(debounce.hint(begun + 100 * MS));
        assert_eq!(debounce.deadline(), begun + 150 * MS);
    }
}

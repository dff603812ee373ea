//! A line of the log that anybody could cause by the thousand: said once in a while, with how many were kept back meanwhile.

use std::cell::Cell;

/// From one line to the next, in milliseconds of the worker's clock. A person who reads the log sees that it goes on; a flood is six
/// lines a minute.
const SILENCE: u64 = 10_000;

/// Lines of one kind.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    /// When the last one was let through.
    last: Cell<Option<u64>>,
    kept_back: Cell<u64>,
}

impl Seldom {
    /// Whether a line may be written `now`, and how many were not since the last one.
    pub(crate) fn lets(&self, now: u64) -> Option<u64> {
        if self.last.get().is_some_and(|last| now < last + SILENCE) {
            self.kept_back.set(self.kept_back.get() + 1);
            return None;
        }
        self.last.set(Some(now));
        Some(self.kept_back.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_tells_how_many_there_would_have_been() {
        let lines = Seldom::default();
        assert_eq!(lines.lets(0), Some(0));
        assert_eq!([1, 5_000, 9_999].map(|now| lines.lets(now)), [None; 3]);
        assert_eq!(lines.lets(10_000), Some(3));
        assert_eq!(lines.lets(30_000), Some(0));
    }
}

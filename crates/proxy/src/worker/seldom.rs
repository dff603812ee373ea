//! A line in the log that anybody could cause as often as he likes: told now and then, and counted meanwhile.

use super::timers::Timers;
use std::{cell::Cell, rc::Rc};

/// Milliseconds from one line to the next.
const EVERY: u64 = 10_000;

/// One kind of line on one worker.
#[derive(Debug)]
pub(crate) struct Seldom {
    timers: Rc<Timers>,
    /// When the next line may be written, in the time of the worker.
    next: Cell<u64>,
    kept_back: Cell<u64>,
}

impl Seldom {
    pub(super) fn new(timers: &Rc<Timers>) -> Self {
        Self { timers: Rc::clone(timers), next: Cell::new(0), kept_back: Cell::new(0) }
    }

    /// Whether to tell now: how many were kept back since the last one that was told.
    pub(crate) fn tell(&self) -> Option<u64> {
        let now = self.timers.now();
        if now < self.next.get() {
            self.kept_back.set(self.kept_back.get() + 1);
            return None;
        }
        self.next.set(now + EVERY);
        Some(self.kept_back.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn one_is_told_and_the_rest_counted_until_the_next() {
        let begun = Instant::now();
        let timers = Timers::new(begun);
        let seldom = Seldom::new(&timers);

        assert_eq!([seldom.tell(), seldom.tell(), seldom.tell()], [Some(0), None, None]);
        timers.tick(begun + Duration::from_millis(EVERY));

        assert_eq!([seldom.tell(), seldom.tell()], [Some(2), None]);
    }
}

//! How many may be inside at once.
//!
//! Asked before a connection or request is served; the answer is a value, and dropping it makes room again.
//! Never waits: who finds no room is told so.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// A limit on how many are inside at once, shared by all workers. The maximum can move while traffic flows.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    in_use: AtomicUsize,
    max: AtomicUsize,
    /// Somebody waits for room who cannot make any.
    wished: AtomicBool,
}

impl ConcurrencyLimit {
    /// Room for `max`; 0 admits nobody.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { in_use: AtomicUsize::new(0), max: AtomicUsize::new(max), wished: AtomicBool::new(false) })
    }

    /// Lets one in, or `None` when all places are taken. Never lets in more than the maximum, whoever else asks now.
    #[must_use = "the place is free again when the permit is dropped"]
    pub fn try_admit(self: &Arc<Self>) -> Option<Permit> {
        let max = self.max();
        self.in_use
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |inside| (inside < max).then_some(inside + 1))
            .ok()
            .map(|_| Permit { limit: Arc::clone(self) })
    }

    /// How many are inside.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// How many may be.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// Whether there is no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.in_use() >= self.max()
    }

    /// Asks whoever can make room for one to do so.
    pub fn wish(&self) {
        self.wished.store(true, Ordering::Relaxed);
    }

    /// Takes on a wish, if there is one. Of those who ask at the same time one gets it.
    #[must_use = "a wish that was taken must be fulfilled, or made again"]
    pub fn take_wish(&self) -> bool {
        self.wished.load(Ordering::Relaxed) && self.wished.swap(false, Ordering::Relaxed)
    }

    /// Moves the limit. Whoever is inside stays: below the present number, nobody enters until enough have left.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }
}

/// A place inside. Dropping it gives it back, on every path.
#[derive(Debug)]
#[must_use = "the place is free again when this is dropped"]
pub struct Permit {
    limit: Arc<ConcurrencyLimit>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let before = self.limit.in_use.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a place was given back twice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prop_assert_eq, prop_oneof, proptest, strategy::Strategy};

    #[derive(Clone, Debug)]
    enum Event {
        Enter,
        Leave(usize),
        Limit(usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            5 => proptest::strategy::Just(Event::Enter),
            3 => (0_usize..100).prop_map(Event::Leave),
            1 => (0_usize..8).prop_map(Event::Limit),
        ]
    }

    proptest! {
        #[test]
        fn one_is_admitted_exactly_while_there_is_room(first in 0_usize..8, events in vec(event(), 0..200)) {
            let limit = ConcurrencyLimit::new(first);
            let mut inside = Vec::new();
            for event in events {
                match event {
                    Event::Enter => {
                        let room = inside.len() < limit.max();
                        let permit = limit.try_admit();
                        prop_assert_eq!(permit.is_some(), room);
                        inside.extend(permit);
                    }
                    Event::Leave(n) => if !inside.is_empty() { drop(inside.swap_remove(n % inside.len())) },
                    Event::Limit(max) => limit.set_max(max),
                }
                prop_assert_eq!(limit.in_use(), inside.len());
            }
            drop(inside);
            prop_assert_eq!(limit.in_use(), 0);
        }
    }

    #[test]
    fn a_wish_is_taken_once() {
        let limit = ConcurrencyLimit::new(1);
        assert!(!limit.take_wish() && !limit.is_full());
        let permit = limit.try_admit();
        assert!(limit.is_full());
        limit.wish();
        limit.wish();
        assert!(limit.take_wish());
        assert!(!limit.take_wish());
        drop(permit);
    }

    #[test]
    fn workers_that_ask_at_once_never_exceed_the_limit() {
        let limit = ConcurrencyLimit::new(3);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let permit = limit.try_admit();
                        assert!(limit.in_use() <= 3);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(limit.in_use(), 0);
    }
}

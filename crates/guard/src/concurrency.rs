//! How many may be inside at once.
//!
//! Asked before a connection or request is served; the answer is a value, and dropping it makes room again.
//! Never waits: who finds no room is told so.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A limit on how many are inside at once, shared by all workers. The maximum can move while traffic flows.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    in_use: AtomicUsize,
    max: AtomicUsize,
}

impl ConcurrencyLimit {
    /// Room for `max`; 0 admits nobody.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { in_use: AtomicUsize::new(0), max: AtomicUsize::new(max) })
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

//! A number that grows whenever what is known about an upstream's endpoints changes.
//!
//! Whoever sets a flag (`endpoint.rs`) raises it; every worker's `picker.rs` compares it on each pick. It carries no news
//! itself, only that there is some: the news is in the flags.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// One counter for each upstream, shared by its endpoints and by all workers. It outlives a reload with its upstream.
#[derive(Clone, Debug, Default)]
pub struct Generation(Arc<AtomicU64>);

impl Generation {
    /// Where it stands. Whatever was written before the bump that led here is visible to the caller.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Tells every worker to look again before its next pick.
    pub fn bump(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// Whether both are the same counter, not only the same number.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

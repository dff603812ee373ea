//! Notices that something happens on a connection that waits in the pool, and when.
//!
//! No task waits with it: the socket's driver wakes this instead, on the same thread, and what it means is looked at later. An endpoint
//! may close it, which teaches how long it is patient; within TLS it may also send what concerns TLS alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Wake, Waker},
    time::Instant,
};

const NEVER: u64 = u64::MAX;

/// Something has happened, or not yet.
#[derive(Debug)]
pub(super) struct Noticed {
    begun: Instant,
    /// Milliseconds since `begun`.
    at: AtomicU64,
}

impl Noticed {
    /// Nothing yet. Times will be milliseconds since `begun`.
    pub(super) fn new(begun: Instant) -> (Arc<Self>, Waker) {
        let noticed = Arc::new(Self { begun, at: AtomicU64::new(NEVER) });
        let waker = Waker::from(Arc::clone(&noticed));
        (noticed, waker)
    }

    /// When, since this was last asked.
    pub(super) fn take(&self) -> Option<u64> {
        if self.at.load(Ordering::Relaxed) == NEVER {
            return None;
        }
        Some(self.at.swap(NEVER, Ordering::Relaxed))
    }
}

impl Wake for Noticed {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.at.store(now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_told_once() {
        let (noticed, waker) = Noticed::new(Instant::now());
        assert_eq!(noticed.take(), None);
        waker.wake_by_ref();
        assert!(noticed.take().is_some());
        assert_eq!(noticed.take(), None);
    }
}

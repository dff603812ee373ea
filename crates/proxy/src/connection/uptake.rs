//! How a client takes its answer: whether it has stopped, and whether it takes too little.
//!
//! Kept by `client`, which is told by `io` when bytes move and when they do not. A socket that takes no bytes now can be written to again
//! only when a good part of its buffer is free; until then the client may well be taking what its system and ours hold. So the kernel is
//! asked what it has taken, at first and when its time is up.

use crate::worker::Pace;
use evenkeel_model::ClientTimeouts;
use evenkeel_telemetry::Reason;
use std::{cell::Cell, time::Duration};

/// What a client takes of its answers.
#[derive(Debug, Default)]
pub(super) struct Uptake {
    stalled: Cell<bool>,
    /// Bytes written, and how many of them the client's system had taken when we looked last.
    written: Cell<u64>,
    taken: Cell<u64>,
    pace: Pace,
}

impl Uptake {
    /// Another answer.
    pub(super) fn begin(&self) {
        self.pace.begins();
    }

    /// Bytes have been written. Whether that ends a stall.
    pub(super) fn wrote(&self, bytes: u64, now: u64) -> bool {
        self.written.set(self.written.get() + bytes);
        let stalled = self.stalled.replace(false);
        if stalled {
            self.pace.rests(now);
        }
        stalled
    }

    /// No bytes can be written. Whether that is new.
    pub(super) fn begins_to_stall(&self) -> bool {
        !self.stalled.replace(true)
    }

    pub(super) fn stalls_no_more(&self) {
        self.stalled.set(false);
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.get()
    }

    /// Looks at what has been taken; `unsent` bytes have not. How long the client has now; at the `first` look it has its time in any case.
    ///
    /// # Errors
    /// None: it has taken nothing since this was last asked, or too little.
    pub(super) fn look(
        &self,
        first: bool,
        unsent: u64,
        timeouts: ClientTimeouts,
        now: u64,
    ) -> Result<Duration, Reason> {
        let taken = self.written.get().saturating_sub(unsent);
        let moved = taken.saturating_sub(self.taken.get());
        self.taken.set(taken.max(self.taken.get()));
        let left = timeouts.body_rate.map(|least| {
            self.pace.moved(least, now, moved);
            self.pace.waits(least, now)
        });
        if first || (moved > 0 && left != Some(Duration::ZERO)) {
            return Ok(left.map_or(timeouts.body_stall, |left| left.min(timeouts.body_stall)));
        }
        Err(if left == Some(Duration::ZERO) { Reason::ResponseTooSlow } else { Reason::ResponseStalled })
    }
}

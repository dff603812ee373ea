//! Chooses the endpoint for one attempt of one request.
//!
//! Called from `upstream/send` once for each attempt, on the worker that owns it. Never waits, locks or allocates.

use crate::{EndpointSet, HashKey, Rng, eligible::Eligible};
use std::sync::Arc;

/// One worker's chooser among one set.
#[derive(Debug)]
pub struct Picker {
    set: Arc<EndpointSet>,
    seen: u64,
    eligible: Eligible,
    turn: usize,
}

impl Picker {
    /// A chooser for this set, starting at random so that workers do not march in step.
    #[must_use]
    pub fn new(set: Arc<EndpointSet>, rng: &mut Rng) -> Self {
        let seen = set.generation().current();
        let mut eligible = Eligible::with_room(set.members().len());
        eligible.rebuild(set.members());
        let turn = (rng.next_u64() >> 33) as usize;
        Self { set, seen, eligible, turn }
    }

    /// The index into [`EndpointSet::members`] of the endpoint for this attempt: one that may have new requests and is not
    /// in `tried`, or `None` when there is none. `key` matters to algorithms that place a client.
    pub fn pick(&mut self, key: HashKey, tried: &[u32], rng: &mut Rng) -> Option<u32> {
        let _ = (key, &rng);
        let generation = self.set.generation().current();
        if generation != self.seen {
            self.seen = generation;
            self.eligible.rebuild(self.set.members());
        }
        let list = self.eligible.list();
        for _ in 0..list.len() {
            self.turn = self.turn.wrapping_add(1);
            let index = list[self.turn % list.len()];
            if !tried.contains(&index) {
                return Some(index);
            }
        }
        None
    }

    /// What it chooses among.
    #[must_use]
    pub fn set(&self) -> &Arc<EndpointSet> {
        &self.set
    }
}

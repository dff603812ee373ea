//! Draws members at random, in proportion to their weights, among those that may be chosen.
//!
//! What `power_of_two.rs`, `random.rs` and (among many) `least_connections.rs` draw from. The table over all members is
//! shared; a worker makes one of its own only while most of the weight is out.

use crate::{
    Member, Rng,
    alias::Alias,
    eligible::{Candidates, Eligible},
};
use std::sync::Arc;

/// The weights of all members, as the control thread prepared them.
#[derive(Clone, Debug)]
pub(crate) enum Shares {
    /// All the same: no table.
    Equal,
    /// One table for all workers.
    Weighted(Arc<Alias>),
}

impl Shares {
    pub(crate) fn of(members: &[Member]) -> Self {
        if members.windows(2).all(|pair| pair[0].weight == pair[1].weight) {
            return Self::Equal;
        }
        Self::Weighted(Arc::new(Alias::of(members.iter().map(|member| member.weight.get()))))
    }
}

/// One worker's way to draw.
#[derive(Debug)]
pub(crate) enum Sampler {
    /// Equal weights: any place of the short list.
    Uniform,
    /// By tables.
    Weighted(Weighted),
}

#[derive(Debug)]
pub(crate) struct Weighted {
    shared: Arc<Alias>,
    /// Over the short list, in its order; in use only while `narrow`.
    own: Alias,
    narrow: bool,
}

/// Draws before we stop hoping for another one than those excluded. With two candidates and one of them excluded, one
/// choice in 16 gets that far.
const DRAWS_MAX: u32 = 4;

impl Sampler {
    pub(crate) fn new(shares: &Shares, members: usize) -> Self {
        match shares {
            Shares::Equal => Self::Uniform,
            Shares::Weighted(shared) => {
                Self::Weighted(Weighted { shared: Arc::clone(shared), own: Alias::with_room(members), narrow: false })
            }
        }
    }

    /// After the short list has changed.
    pub(crate) fn rebuild(&mut self, members: &[Member], eligible: &Eligible) {
        match self {
            Self::Uniform => {}
            Self::Weighted(weighted) => weighted.rebuild(members, eligible),
        }
    }

    /// A candidate that is not excluded, or `None` when there is none. Exactly in proportion to the weights while nothing
    /// is excluded.
    pub(crate) fn draw(
        &self,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
        excluded: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let list = candidates.eligible.list();
        let count = u32::try_from(list.len()).expect("an index is 32 bits");
        if count == 0 {
            return None;
        }
        for _ in 0..DRAWS_MAX {
            let index = match self {
                Self::Uniform => list[rng.below(count) as usize],
                Self::Weighted(weighted) => weighted.draw(candidates.eligible, rng),
            };
            if !excluded(index) {
                return Some(index);
            }
        }
        // What is excluded has nearly all the weight: take the next of the rest from a random place. Few are ever
        // excluded, so this looks at few.
        let start = rng.below(count) as usize;
        let (before, after) = list.split_at(start);
        after.iter().chain(before).copied().find(|&index| !excluded(index))
    }
}

impl Weighted {
    fn rebuild(&mut self, members: &[Member], eligible: &Eligible) {
        let weights = eligible.list().iter().map(|&index| members[index as usize].weight.get());
        let usable: u64 = weights.clone().map(u64::from).sum();
        self.narrow = usable * 2 < self.shared.total();
        if self.narrow && usable > 0 {
            self.own.rebuild(weights);
        }
    }

    fn draw(&self, eligible: &Eligible, rng: &mut Rng) -> u32 {
        if self.narrow {
            return eligible.list()[self.own.draw(rng) as usize];
        }
        // At least half of the weight is eligible: two draws on average, more than 64 once in 2^64 picks.
        loop {
            let index = self.shared.draw(rng);
            if eligible.contains(index) {
                return index;
            }
        }
    }
}

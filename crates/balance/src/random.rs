//! `random`: at random, in proportion to the weights.
//!
//! The baseline that every other algorithm has to beat; also the one without any memory.

use crate::{Rng, eligible::Candidates, sampler::Sampler};

pub(crate) fn pick(sampler: &Sampler, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
    sampler.draw(candidates, rng, |index| candidates.is_tried(index))
}

//! `power_of_two`: of two different ones at random, the one with fewer requests in flight for its weight.
//!
//! Mitzenmacher, "The power of two choices in randomized load balancing", 2001: the longest queue grows with log log n
//! instead of log n / log log n. That holds because all workers share the counts (tests/balance/queueing.rs shows both).

use crate::{Rng, eligible::Candidates, sampler::Sampler};

pub(crate) fn pick(sampler: &Sampler, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
    let first = sampler.draw(candidates, rng, |index| candidates.is_tried(index))?;
    let Some(second) = sampler.draw(candidates, rng, |index| index == first || candidates.is_tried(index)) else {
        return Some(first);
    };
    debug_assert_ne!(first, second, "two choices are two");
    // Without a difference of one request it is the first, which was drawn in proportion to the weights.
    let beaten = candidates.load(first).is_beaten_by(&candidates.load(second));
    Some(if beaten { second } else { first })
}

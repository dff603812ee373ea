//! `least_connections`: the fewest requests in flight for its weight.
//!
//! Loads that differ by less than one request are equal: among those, endpoints take turns by weight (`rotation.rs`), so that weights are
//! shares also while there is little to do. nginx does the same where loads are exactly equal (`ngx_http_upstream_least_conn_module.c`), which
//! with weights they rarely are. Among many, the best of a few drawn at random: by then the last bit of balance costs more cache misses than
//! it saves waiting.

use crate::{
    Rng,
    eligible::{Candidates, Load},
    rotation::Rotation,
    sampler::{Sampler, Shares},
};

/// Candidates up to which all are looked at: 64 counters are 64 cache lines, still far below a microsecond.
const SCAN_MAX: usize = 64;

/// Candidates drawn above that.
const SAMPLE: u32 = 5;

/// What one worker keeps.
#[derive(Debug)]
pub(crate) struct LeastConnections {
    pub(crate) sampler: Sampler,
    rotation: Rotation,
}

impl LeastConnections {
    pub(crate) fn new(shares: &Shares, weights: impl ExactSizeIterator<Item = u16> + Clone, rng: &mut Rng) -> Self {
        Self { sampler: Sampler::new(shares, weights.len()), rotation: Rotation::new(weights, rng) }
    }

    pub(crate) fn pick(&mut self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
        if candidates.eligible.list().len() <= SCAN_MAX {
            self.of_all(candidates)
        } else {
            self.of_some(candidates, rng)
        }
    }

    fn of_all(&mut self, candidates: &Candidates<'_>) -> Option<u32> {
        let untried = || candidates.eligible.list().iter().copied().filter(|&index| !candidates.is_tried(index));
        let loads = untried().map(|index| (index, candidates.load(index)));
        let (index, least) =
            loads.reduce(|best, next| if next.1.with_one_more_is_below(&best.1) { next } else { best })?;
        // Read once more, so the counts may have moved: the least loaded one is an equal in any case.
        let equals = untried()
            .map(|other| (other, candidates.load(other)))
            .filter(|(other, load)| *other == index || !load.is_beaten_by(&least));
        self.rotation.next(equals.map(|(other, load)| (other, load.weight)))
    }

    /// The first of those drawn, which are drawn by weight, or one that beats it.
    fn of_some(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
        let mut best: Option<(u32, Load)> = None;
        for _ in 0..SAMPLE {
            let Some(index) = self.sampler.draw(candidates, rng, |index| candidates.is_tried(index)) else { break };
            let load = candidates.load(index);
            if best.as_ref().is_none_or(|(_, best)| best.is_beaten_by(&load)) {
                best = Some((index, load));
            }
        }
        best.map(|(index, _)| index)
    }
}

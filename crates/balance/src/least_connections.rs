//! `least_connections`: the fewest requests in flight for its weight, counting the one to come.
//!
//! Among many, the best of a few drawn at random: by then the last bit of balance costs more cache misses than it saves
//! waiting. Equals are chosen from at random, else all workers would run to the same idle endpoint.

use crate::{Rng, eligible::Candidates, sampler::Sampler};

/// Candidates up to which all are looked at: 64 counters are 64 cache lines, still far below a microsecond.
const SCAN_MAX: usize = 64;

/// Candidates drawn above that.
const SAMPLE: u32 = 5;

pub(crate) fn pick(sampler: &Sampler, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
    let mut best = Best::default();
    let list = candidates.eligible.list();
    if list.len() <= SCAN_MAX {
        for &index in list.iter().filter(|&&index| !candidates.is_tried(index)) {
            best.offer(index, candidates, rng);
        }
    } else {
        for _ in 0..SAMPLE {
            let Some(index) = sampler.draw(candidates, rng, |index| candidates.is_tried(index)) else { break };
            best.offer(index, candidates, rng);
        }
    }
    best.choice.map(|choice| choice.index)
}

/// The least loaded so far; of `equals` equals each with the same chance (reservoir sampling).
#[derive(Default)]
struct Best {
    choice: Option<Choice>,
    equals: u32,
}

struct Choice {
    index: u32,
    /// With the request to come.
    in_flight: u64,
    weight: u64,
}

impl Best {
    fn offer(&mut self, index: u32, candidates: &Candidates<'_>, rng: &mut Rng) {
        let load = candidates.load(index);
        let offered = Choice { index, in_flight: load.in_flight + 1, weight: load.weight };
        let order = self.choice.as_ref().map(|best| {
            // (a + 1) / v against (b + 1) / w without dividing.
            (offered.in_flight * best.weight).cmp(&(best.in_flight * offered.weight))
        });
        match order {
            None | Some(std::cmp::Ordering::Less) => (self.choice, self.equals) = (Some(offered), 1),
            Some(std::cmp::Ordering::Equal) => {
                self.equals += 1;
                if rng.below(self.equals) == 0 {
                    self.choice = Some(offered);
                }
            }
            Some(std::cmp::Ordering::Greater) => {}
        }
    }
}

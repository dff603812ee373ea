//! Turns by weight among those that are equal at the moment, which may be others each time.
//!
//! Under `least_connections`. The smooth weighted round robin of nginx (`ngx_http_upstream_get_peer`): each equal gains its weight, the one
//! with most is chosen and pays what all have gained. So 5:1:1 is a a b a c a a, and whoever was passed over for its load has no claim later.
//! `stride.rs` is not for this: what it leaves out keeps its turn and would catch up.

use crate::Rng;
use std::fmt;

/// One worker's turns.
pub(crate) struct Rotation {
    /// Of each member.
    credits: Box<[i64]>,
}

impl Rotation {
    /// Starts at random, so that workers do not all begin with the same endpoint.
    pub(crate) fn new(weights: impl ExactSizeIterator<Item = u16> + Clone, rng: &mut Rng) -> Self {
        let total = weights.clone().map(u32::from).sum::<u32>().max(1);
        Self { credits: weights.map(|_| i64::from(rng.below(total))).collect() }
    }

    /// Whose turn it is among these members with their weights; `None` when there are none.
    pub(crate) fn next(&mut self, equals: impl Iterator<Item = (u32, u64)>) -> Option<u32> {
        let (mut chosen, mut most, mut gained) = (None, i64::MIN, 0);
        for (index, weight) in equals {
            let weight = i64::try_from(weight).expect("a weight has 16 bits");
            let credit = &mut self.credits[index as usize];
            *credit += weight;
            gained += weight;
            if *credit > most {
                (chosen, most) = (Some(index), *credit);
            }
        }
        self.credits[chosen? as usize] -= gained;
        chosen
    }
}

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation").field("members", &self.credits.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prop_assert, prop_assert_eq, proptest};

    fn rotation(weights: &[u16], seed: u64) -> Rotation {
        Rotation::new(weights.iter().copied(), &mut Rng::from_seed(seed))
    }

    fn all(weights: &[u16]) -> impl Iterator<Item = (u32, u64)> {
        (0..).zip(weights.iter().copied().map(u64::from))
    }

    #[test]
    fn weights_five_one_one_take_turns_smoothly() {
        let mut rotation = Rotation { credits: [0; 3].into() };
        let turns: Vec<_> = (0..14).map(|_| rotation.next(all(&[5, 1, 1])).unwrap()).collect();
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(rotation.next(std::iter::empty()), None);
    }

    proptest! {
        #[test]
        fn from_any_start_a_cycle_holds_exactly_the_weights(weights in vec(1_u16..50, 1..12), seed: u64, skip in 0_usize..300) {
            let mut rotation = rotation(&weights, seed);
            let mut take = |turns: usize| {
                let mut counts = vec![0; weights.len()];
                (0..turns).for_each(|_| counts[rotation.next(all(&weights)).unwrap() as usize] += 1);
                counts
            };
            take(skip);
            let counts = take(weights.iter().map(|&weight| usize::from(weight)).sum());
            prop_assert_eq!(counts, weights);
        }

        #[test]
        fn whoever_are_equal_no_credit_grows_without_bound(weights in vec(1_u16.., 1..12), seed: u64, patterns in vec(0_u16.., 1..9)) {
            let mut rotation = rotation(&weights, seed);
            for turn in 0..3000 {
                let pattern = patterns[turn % patterns.len()];
                rotation.next(all(&weights).filter(|(index, _)| pattern >> index & 1 == 1));
            }
            let total: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
            let most = rotation.credits.iter().map(|credit| credit.abs()).max().unwrap_or(0);
            prop_assert!(most <= 16 * total, "{most} of {total}");
        }
    }
}

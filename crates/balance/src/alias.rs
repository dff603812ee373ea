//! Draws an index in proportion to weights, in constant time.
//!
//! Built over all members in `endpoints.rs`, or over a worker's short list in `sampler.rs`. Knows nothing of endpoints.

use crate::Rng;
use std::fmt;

/// An alias table (Walker, 1977; linear construction: Vose, "A linear algorithm for generating random numbers with a given
/// distribution", 1991). Whole numbers throughout, so that shares are exact up to the 2^-32 of a draw.
#[derive(Default)]
pub(crate) struct Alias {
    columns: Vec<Column>,
    total: u64,
    scratch: Scratch,
}

/// A draw lands in a column; a coin below `cut` (of 2^32) keeps it, any other goes to `other`.
#[derive(Clone, Copy, Default)]
struct Column {
    cut: u32,
    other: u32,
}

/// Kept so that a rebuild takes no memory.
#[derive(Default)]
struct Scratch {
    /// What of each weight no column holds yet, in units in which a column holds `total`.
    rest: Vec<u64>,
    /// Two stacks growing towards each other: columns with room to spare from the left, with too much from the right.
    stacks: Vec<u32>,
}

impl Alias {
    /// An empty table that takes up to `count` weights without allocating.
    pub(crate) fn with_room(count: usize) -> Self {
        Self {
            columns: Vec::with_capacity(count),
            total: 0,
            scratch: Scratch { rest: Vec::with_capacity(count), stacks: Vec::with_capacity(count) },
        }
    }

    /// A table over these weights, none of them 0, that will not be rebuilt.
    pub(crate) fn of(weights: impl ExactSizeIterator<Item = u16> + Clone) -> Self {
        let mut alias = Self::with_room(weights.len());
        alias.rebuild(weights);
        alias.scratch = Scratch::default();
        alias
    }

    /// The sum of the weights.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// An index, in proportion to its weight. There is at least one.
    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        let bits = rng.next_u64();
        // High bits choose the column, low bits are its coin. The column's bias is below columns / 2^32.
        let index = ((bits >> 32) * self.columns.len() as u64) >> 32;
        let column = self.columns[index as usize];
        if (bits & 0xffff_ffff) < u64::from(column.cut) { (index & 0xffff_ffff) as u32 } else { column.other }
    }

    /// Other weights, none of them 0.
    pub(crate) fn rebuild(&mut self, weights: impl ExactSizeIterator<Item = u16> + Clone) {
        let Self { columns, total, scratch: Scratch { rest, stacks } } = self;
        let count = weights.len();
        *total = weights.clone().map(u64::from).sum();
        rest.clear();
        rest.extend(weights.map(|weight| u64::from(weight) * count as u64));
        columns.clear();
        // A column that is never paired is full and its own: 0 of 2^32 go to it by coin, all by alias.
        columns.extend((0_u32..).take(count).map(|index| Column { cut: 0, other: index }));
        stacks.clear();
        stacks.resize(count, 0);

        let (mut poor, mut rich) = (0, count);
        for (index, &rest) in (0_u32..).zip(&*rest) {
            push(stacks, (&mut poor, &mut rich), index, rest < *total);
        }
        // Each turn fills one poor column from a rich one, which may be poor afterwards. The sum of what is left is always
        // `total` for each column left, so a poor one never lacks a rich one.
        while poor > 0 && rich < count {
            poor -= 1;
            let (taker, giver) = (stacks[poor], stacks[rich]);
            rich += 1;
            let has = rest[taker as usize];
            let cut = u32::try_from((has << 32) / *total).expect("a poor column holds less than the total");
            columns[taker as usize] = Column { cut, other: giver };
            rest[giver as usize] -= *total - has;
            push(stacks, (&mut poor, &mut rich), giver, rest[giver as usize] < *total);
        }
        debug_assert!(poor == 0, "every poor column was filled");
    }
}

fn push(stacks: &mut [u32], (poor, rich): (&mut usize, &mut usize), index: u32, is_poor: bool) {
    if is_poor {
        stacks[*poor] = index;
        *poor += 1;
    } else {
        *rich -= 1;
        stacks[*rich] = index;
    }
}

impl fmt::Debug for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alias")
            .field("columns", &self.columns.len())
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prop_assert, proptest};

    /// The exact share of each index, in units of 2^-32 of a column.
    fn shares(alias: &Alias) -> Vec<u64> {
        let mut shares = vec![0; alias.columns.len()];
        for (index, column) in alias.columns.iter().enumerate() {
            shares[index] += u64::from(column.cut);
            shares[column.other as usize] += (1 << 32) - u64::from(column.cut);
        }
        shares
    }

    proptest! {
        #[test]
        fn each_index_holds_exactly_its_share_of_the_table(
            first in vec(1_u16.., 1..200),
            second in vec(1_u16..20, 1..200),
        ) {
            let mut alias = Alias::with_room(200);
            for weights in [first, second] {
                alias.rebuild(weights.iter().copied());
                let count = weights.len() as u64;
                for (share, weight) in shares(&alias).into_iter().zip(weights) {
                    let exact = ((u64::from(weight) * count) << 32) / alias.total();
                    // A column's cut is rounded down; each rounding moves less than one unit.
                    prop_assert!(share.abs_diff(exact) <= count, "{share} {exact}");
                }
            }
        }
    }

    #[test]
    fn draws_follow_the_weights() {
        let alias = Alias::of([5, 1, 1, 3].into_iter());
        let mut rng = Rng::from_seed(1);
        let mut counts = [0_u32; 4];
        for _ in 0..100_000 {
            counts[alias.draw(&mut rng) as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip([50_000_u32, 10_000, 10_000, 30_000]) {
            assert!(count.abs_diff(expected) < 800, "{counts:?}");
        }
    }
}

//! A table that gives every hash a member, evenly, and that hardly changes when the members do.
//!
//! Built on the control thread for `ip_hash.rs`. It depends on names and weights only, not on their order, on time or on
//! chance: two processes with the same endpoints have the same table.

use crate::{HashKey, Member, stride::Stride};
use std::fmt;

/// Slots: a prime, and a hundred times the endpoints of a large upstream (Eisenbud et al., "Maglev: a fast and reliable
/// software network load balancer", NSDI 2016, section 3.4).
const SLOTS: u32 = 65_537;

/// Whom each slot belongs to.
pub(crate) struct Maglev {
    /// The index of a member for each slot; empty when there are no members.
    slots: Box<[u32]>,
    /// The hash of each member's name.
    names: Box<[HashKey]>,
}

/// In which order a member wants the slots: all of them, each once, for `SLOTS` is prime.
struct Wish {
    next: u32,
    skip: u32,
}

impl Wish {
    fn of(name: HashKey) -> Self {
        let skip = name.again(u64::MAX).0 % u64::from(SLOTS - 1) + 1;
        Self { next: slot(name), skip: u32::try_from(skip).expect("less than SLOTS") }
    }

    fn next(&mut self) -> u32 {
        let slot = self.next;
        let after = slot + self.skip;
        self.next = if after >= SLOTS { after - SLOTS } else { after };
        slot
    }
}

/// Whose turn it is to take a slot. Equal weights are the rule, and without a heap the table is made in a quarter of the time.
enum Turns {
    InOrder { next: u32, members: u32 },
    ByWeight(Stride),
}

impl Turns {
    /// For members of these weights, at least one.
    fn of(weights: impl ExactSizeIterator<Item = u16> + Clone) -> Self {
        let first = weights.clone().next();
        if weights.clone().all(|weight| Some(weight) == first) {
            let members = u32::try_from(weights.len()).expect("an index is 32 bits");
            return Self::InOrder { next: 0, members };
        }
        let mut stride = Stride::with_room(weights.len(), 0);
        stride.rebuild((0_u32..).zip(weights));
        Self::ByWeight(stride)
    }

    fn next(&mut self) -> u32 {
        match self {
            Self::InOrder { next, members } => {
                let turn = *next;
                *next = if turn + 1 == *members { 0 } else { turn + 1 };
                turn
            }
            Self::ByWeight(stride) => stride.next(|_| false).expect("somebody always has the next turn"),
        }
    }
}

impl Maglev {
    pub(crate) fn of(members: &[Member]) -> Self {
        let names: Vec<String> = members.iter().map(|member| member.endpoint.address().to_string()).collect();
        let weights: Vec<u16> = members.iter().map(|member| member.weight.get()).collect();
        Self::of_names(&names, &weights)
    }

    /// Members take turns, in proportion to their weights; at its turn each takes the free slot that it wants most.
    fn of_names(names: &[String], weights: &[u16]) -> Self {
        let hashes: Box<[HashKey]> = names.iter().map(|name| HashKey::of_bytes(name.as_bytes())).collect();
        if names.is_empty() {
            return Self { slots: Box::default(), names: hashes };
        }
        // By name, so that the order in the file does not matter.
        let mut ranks: Vec<u32> = (0_u32..).take(names.len()).collect();
        ranks.sort_unstable_by_key(|&index| &names[index as usize]);
        let mut wishes: Vec<Wish> = ranks.iter().map(|&index| Wish::of(hashes[index as usize])).collect();
        let mut turns = Turns::of(ranks.iter().map(|&index| weights[index as usize]));

        let mut slots = vec![0; SLOTS as usize].into_boxed_slice();
        // One bit a slot: the search for free ones stays in the first-level cache.
        let mut taken = [0_u64; SLOTS.div_ceil(64) as usize];
        for _ in 0..SLOTS {
            let rank = turns.next() as usize;
            let slot = loop {
                let slot = wishes[rank].next();
                let (word, bit) = (&mut taken[slot as usize / 64], 1 << (slot % 64));
                if *word & bit == 0 {
                    *word |= bit;
                    break slot;
                }
            };
            slots[slot as usize] = ranks[rank];
        }
        Self { slots, names: hashes }
    }

    /// The member that this hash belongs to. There is at least one.
    pub(crate) fn owner(&self, key: HashKey) -> u32 {
        self.slots[slot(key) as usize]
    }

    /// How much this hash wants this member, when the table cannot serve it (rendezvous hashing).
    pub(crate) fn affinity(&self, key: HashKey, index: u32) -> u64 {
        key.again(self.names[index as usize].0).0
    }
}

fn slot(key: HashKey) -> u32 {
    u32::try_from(key.0 % u64::from(SLOTS)).expect("less than SLOTS")
}

impl fmt::Debug for Maglev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maglev").field("members", &self.names.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("10.0.{}.{}:8080", n / 250, n % 250 + 1)).collect()
    }

    /// The owner's name for each slot.
    fn owners(names: &[String], weights: &[u16]) -> Vec<String> {
        let table = Maglev::of_names(names, weights);
        table.slots.iter().map(|&index| names[index as usize].clone()).collect()
    }

    fn slots_of(table: &Maglev, members: usize) -> Vec<u32> {
        let mut counts = vec![0; members];
        for &index in &table.slots {
            counts[index as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_hundred_endpoints_have_the_same_share_within_two_in_a_thousand() {
        let counts = slots_of(&Maglev::of_names(&names(100), &[1; 100]), 100);
        let most = f64::from(*counts.iter().max().unwrap());
        assert!(most / (f64::from(SLOTS) / 100.0) <= 1.002, "{most}");
    }

    #[test]
    fn maglev_moves_at_most_its_share_and_a_little_when_one_endpoint_leaves() {
        let before = names(100);
        let owners_before = owners(&before, &[1; 100]);
        for gone in (0..100).step_by(7) {
            let mut after = before.clone();
            after.remove(gone);
            let owners_after = owners(&after, &[1; 99]);
            let (mut of_others, mut moved) = (0_u32, 0_u32);
            for (then, now) in owners_before.iter().zip(&owners_after).filter(|(then, _)| **then != before[gone]) {
                of_others += 1;
                moved += u32::from(then != now);
            }
            let share = f64::from(moved) / f64::from(of_others);
            assert!(share <= 0.017, "without {}: {:.2} % of the others moved", before[gone], share * 100.0);
        }
    }

    #[test]
    fn the_order_in_the_file_does_not_matter() {
        let names = names(50);
        let weights: Vec<u16> = (1..=50).collect();
        let (mut other_names, mut other_weights) = (names.clone(), weights.clone());
        other_names.rotate_left(17);
        other_weights.rotate_left(17);
        other_names.swap(3, 9);
        other_weights.swap(3, 9);
        assert_eq!(owners(&names, &weights), owners(&other_names, &other_weights));
    }

    #[test]
    fn slots_are_shared_out_by_weight() {
        for weights in [vec![5_u16, 1, 1], vec![65_535, 1, 300], (1..=100).collect()] {
            let total: u32 = weights.iter().map(|&weight| u32::from(weight)).sum();
            let counts = slots_of(&Maglev::of_names(&names(weights.len()), &weights), weights.len());
            for (count, weight) in counts.into_iter().zip(weights) {
                let exact = f64::from(SLOTS) * f64::from(weight) / f64::from(total);
                assert!((f64::from(count) - exact).abs() <= 2.0, "{count} {exact}");
            }
        }
    }

    #[test]
    fn a_set_without_members_has_no_table() {
        assert!(Maglev::of_names(&[], &[]).slots.is_empty());
    }
}

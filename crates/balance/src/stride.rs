//! Turns in proportion to weights, exactly, one at a time and without a table of them.
//!
//! `round_robin.rs` takes turns from it when a schedule would be too long, `maglev.rs` to let endpoints choose their
//! slots. Memory is linear in the number of weights, a turn takes its logarithm.

/// Earliest due first. The k-th turn (from 0) of a weight w is due at (2k + 1) / 2w: evenly spread, the first half a step
/// in (Webster's method; as a scheduler: Waldspurger and Weihl, "Stride scheduling", 1995). In each unit of time a weight
/// w has exactly w turns, so any `sum of weights` successive turns hold exactly w of each.
#[derive(Debug)]
pub(crate) struct Stride {
    /// A heap: no entry is due before its parent.
    heap: Vec<Due>,
    /// The last turn taken: the moment that we have reached.
    last: Due,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    id: u32,
    weight: u32,
    /// Turns taken before this one.
    turn: u64,
}

impl Due {
    /// Both sides of `self < other` as whole numbers, multiplied by 2 * weight * weight.
    fn is_before(&self, other: &Self) -> bool {
        let due = u128::from(2 * self.turn + 1) * u128::from(other.weight);
        let other_due = u128::from(2 * other.turn + 1) * u128::from(self.weight);
        (due, self.id) < (other_due, other.id)
    }

    /// The first turn of this weight after the moment `last`.
    fn first_after(last: &Self, id: u32, weight: u32) -> Self {
        let due = u128::from(2 * last.turn + 1) * u128::from(weight);
        let (steps, rest) = (due / u128::from(last.weight), due % u128::from(last.weight));
        let same_moment_counts = rest == 0 && id > last.id;
        let at_least = if same_moment_counts { steps } else { steps + 1 };
        // The smallest turn with 2 * turn + 1 >= at_least.
        let turn = u64::try_from(at_least / 2).expect("turns since the start fit 64 bits");
        Self { id, weight, turn }
    }
}

impl Stride {
    /// No weights yet, with room for this many. It starts at the moment `start` / 2^32 of the first unit of time.
    pub(crate) fn with_room(count: usize, start: u32) -> Self {
        // Shifted by half a step so that `start` 0 lies before every first turn.
        Self { heap: Vec::with_capacity(count), last: Due { id: 0, weight: u32::MAX, turn: u64::from(start) } }
    }

    /// Other weights, none of them 0, by ascending id. Whoever was in before keeps its place in time, whoever is new has
    /// its next turn when it would have had it anyway.
    pub(crate) fn rebuild(&mut self, weights: impl Iterator<Item = (u32, u16)>) {
        self.heap.clear();
        let last = self.last;
        self.heap.extend(weights.map(|(id, weight)| Due::first_after(&last, id, weight.into())));
        for place in (0..self.heap.len() / 2).rev() {
            self.sift_down(place);
        }
    }

    /// Whose turn it is, leaving out the excluded; those keep theirs. `None` when all are.
    pub(crate) fn next(&mut self, excluded: impl Fn(u32) -> bool) -> Option<u32> {
        let place = self.place(excluded)?;
        let due = self.heap[place];
        self.heap[place].turn += 1;
        self.sift_down(place);
        if self.last.is_before(&due) {
            self.last = due;
        }
        Some(due.id)
    }

    fn place(&self, excluded: impl Fn(u32) -> bool) -> Option<usize> {
        if !excluded(self.heap.first()?.id) {
            return Some(0);
        }
        // Only an attempt after another comes here, so a walk over all is cheap enough.
        let mut earliest: Option<usize> = None;
        for (place, due) in self.heap.iter().enumerate() {
            if !excluded(due.id) && earliest.is_none_or(|best| due.is_before(&self.heap[best])) {
                earliest = Some(place);
            }
        }
        earliest
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            let Some(mut child) = self.heap.get(left).map(|_| left) else { return };
            if self.heap.get(left + 1).is_some_and(|right| right.is_before(&self.heap[left])) {
                child = left + 1;
            }
            if !self.heap[child].is_before(&self.heap[place]) {
                return;
            }
            self.heap.swap(place, child);
            place = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::any, prop_assert, prop_assert_eq, proptest};

    fn stride(weights: &[u16], start: u32) -> Stride {
        let mut stride = Stride::with_room(weights.len(), start);
        stride.rebuild((0_u32..).zip(weights.iter().copied()));
        stride
    }

    fn take(stride: &mut Stride, turns: usize) -> Vec<u32> {
        (0..turns).map(|_| stride.next(|_| false).unwrap()).collect()
    }

    #[test]
    fn equal_weights_take_turns_in_order() {
        assert_eq!(take(&mut stride(&[3, 3, 3], 0), 7), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(stride(&[], 0).next(|_| false), None);
    }

    #[test]
    fn an_excluded_one_keeps_its_turn() {
        let mut turns = stride(&[1, 1, 1], 0);
        assert_eq!(turns.next(|id| id == 0), Some(1));
        assert_eq!(take(&mut turns, 3), [0, 2, 0]);
        assert_eq!(turns.next(|_| true), None);
    }

    proptest! {
        #[test]
        fn any_window_of_a_cycle_holds_exactly_the_weights(weights in vec(1_u16..50, 1..20), start in any::<u32>(), skip in 0_usize..500) {
            let mut turns = stride(&weights, start % u32::MAX);
            take(&mut turns, skip);
            let mut counts = vec![0_u16; weights.len()];
            for id in take(&mut turns, weights.iter().map(|&weight| usize::from(weight)).sum()) {
                counts[id as usize] += 1;
            }
            prop_assert_eq!(counts, weights);
        }

        #[test]
        fn looking_again_without_a_change_moves_nobodys_turn(weights in vec(1_u16.., 1..20), start in any::<u32>(), taken in 0_usize..100) {
            let mut calm = stride(&weights, start % u32::MAX);
            take(&mut calm, taken);
            let mut nervous = stride(&weights, start % u32::MAX);
            take(&mut nervous, taken);
            for _ in 0..50 {
                nervous.rebuild((0_u32..).zip(weights.iter().copied()));
                prop_assert_eq!(take(&mut nervous, 1), take(&mut calm, 1));
            }
        }

        #[test]
        fn who_returns_does_not_catch_up(weights in vec(1_u16..100, 2..10), away in 1_usize..1000) {
            let mut turns = stride(&weights, 0);
            turns.rebuild((1_u32..).zip(weights[1..].iter().copied()));
            take(&mut turns, away);
            turns.rebuild((0_u32..).zip(weights.iter().copied()));
            let cycle = weights.iter().map(|&weight| usize::from(weight)).sum();
            let hers = take(&mut turns, cycle).into_iter().filter(|&id| id == 0).count();
            prop_assert!(hers == usize::from(weights[0]), "{hers}");
        }
    }
}

//! `round_robin`: in turn, weights interleaved smoothly, each exactly as often as its weight says.
//!
//! The order of turns is worked out on the control thread and shared; a worker keeps its own place in it, begun at random
//! so that workers do not march in step, and jumps over whoever may not be chosen now. Where the order would be long or
//! slow to work out, turns come from `stride.rs` one by one.

use crate::{
    Member, Rng,
    eligible::{Candidates, Eligible},
    stride::Stride,
};
use std::{fmt, sync::Arc};

/// Turns in a schedule of unequal weights: 16 KiB, shared, and as much for each worker while an endpoint is out.
const TURNS_MAX: usize = 4096;

/// Turns times endpoints: working out the order takes so many steps, well under a millisecond.
const STEPS_MAX: usize = 1 << 18;

/// The order of turns, as the control thread prepared it.
#[derive(Clone)]
pub(crate) enum Turns {
    /// Whose turn it is, from the first to the last of a cycle.
    Schedule(Arc<[u32]>),
    /// The cycle is too long to write down.
    Stride,
}

impl Turns {
    pub(crate) fn of(members: &[Member]) -> Self {
        let divisor = members.iter().fold(0, |divisor, member| common_divisor(divisor, member.weight.get())).max(1);
        let weights: Vec<usize> = members.iter().map(|member| usize::from(member.weight.get() / divisor)).collect();
        let turns = weights.iter().sum::<usize>();
        if turns == weights.len() {
            Self::Schedule((0_u32..).take(turns).collect())
        } else if turns <= TURNS_MAX && turns * weights.len() <= STEPS_MAX {
            Self::Schedule(smooth(&weights, turns))
        } else {
            Self::Stride
        }
    }
}

/// Smooth weighted round robin: each turn everyone gains its weight, the richest is chosen and pays the sum of all. The
/// first of equals wins, so 5:1:1 gives a a b a c a a.
fn smooth(weights: &[usize], turns: usize) -> Arc<[u32]> {
    let step: Vec<i32> = weights.iter().map(|&weight| i32::try_from(weight).expect("at most 65535")).collect();
    let price = i32::try_from(turns).expect("at most TURNS_MAX");
    let mut purse = vec![0_i32; weights.len()];
    let choose = |_| {
        let (mut richest, mut most) = (0, i32::MIN);
        for (index, (purse, step)) in purse.iter_mut().zip(&step).enumerate() {
            *purse += step;
            if *purse > most {
                (richest, most) = (index, *purse);
            }
        }
        purse[richest] -= price;
        u32::try_from(richest).expect("an index is 32 bits")
    };
    (0..turns).map(choose).collect()
}

fn common_divisor(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schedule(order) => write!(f, "Schedule({} turns)", order.len()),
            Self::Stride => f.write_str("Stride"),
        }
    }
}

/// One worker's place in the order.
#[derive(Debug)]
pub(crate) enum RoundRobin {
    /// In a schedule.
    Schedule(Place),
    /// In time.
    Stride(Stride),
}

pub(crate) struct Place {
    order: Arc<[u32]>,
    /// Where in the order to look next.
    next: usize,
    /// From each place the next one, at or after it and around the end, whose endpoint may be chosen. Empty while all may,
    /// that is, nearly always.
    jumps: Vec<u32>,
}

impl RoundRobin {
    pub(crate) fn new(turns: &Turns, members: usize, rng: &mut Rng) -> Self {
        match turns {
            Turns::Schedule(order) => {
                let length = u32::try_from(order.len()).expect("an index is 32 bits");
                let next = if length == 0 { 0 } else { rng.below(length) as usize };
                Self::Schedule(Place { order: Arc::clone(order), next, jumps: Vec::with_capacity(order.len()) })
            }
            Turns::Stride => Self::Stride(Stride::with_room(members, rng.below(u32::MAX))),
        }
    }

    /// After the short list has changed. Nobody else's turn moves.
    pub(crate) fn rebuild(&mut self, members: &[Member], eligible: &Eligible) {
        match self {
            Self::Schedule(place) => place.rebuild(members.len(), eligible),
            Self::Stride(stride) => {
                stride.rebuild(eligible.list().iter().map(|&index| (index, members[index as usize].weight.get())));
            }
        }
    }

    pub(crate) fn pick(&mut self, candidates: &Candidates<'_>) -> Option<u32> {
        if candidates.eligible.list().is_empty() {
            return None;
        }
        match self {
            Self::Schedule(place) => place.pick(candidates),
            Self::Stride(stride) => stride.next(|index| candidates.is_tried(index)),
        }
    }
}

impl Place {
    fn pick(&mut self, candidates: &Candidates<'_>) -> Option<u32> {
        let first = self.landing(self.next);
        let mut place = first;
        loop {
            let index = self.order[place];
            let after = if place + 1 == self.order.len() { 0 } else { place + 1 };
            if !candidates.is_tried(index) {
                self.next = after;
                return Some(index);
            }
            place = self.landing(after);
            if place == first {
                return None;
            }
        }
    }

    fn landing(&self, place: usize) -> usize {
        self.jumps.get(place).map_or(place, |&landing| landing as usize)
    }

    fn rebuild(&mut self, members: usize, eligible: &Eligible) {
        self.jumps.clear();
        if eligible.list().len() == members {
            return;
        }
        let may = |index: &u32| eligible.contains(*index);
        let Some(first) = self.order.iter().position(may) else { return };
        self.jumps.resize(self.order.len(), 0);
        let mut landing = first;
        for place in (0..self.order.len()).rev() {
            if may(&self.order[place]) {
                landing = place;
            }
            self.jumps[place] = u32::try_from(landing).expect("an index is 32 bits");
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("next", &self.next).field("turns", &self.order.len()).finish_non_exhaustive()
    }
}

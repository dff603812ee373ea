//! How often each (listener, method, code) occurred on one route and one worker.
//!
//! Most routes see two or three of the many thousand combinations, so the table is sparse: a chain of small hash tables,
//! each twice as large as the one before, in which nothing is ever moved or removed. So a reader on another thread needs
//! no lock, and the usual lookup is one multiplication and one comparison.

use super::{Counter, MethodLabel};
use std::{
    iter,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Places of the first block: room for what a usual route sees.
const FIRST_BLOCK: usize = 8;
/// Places tried in a block before the next one is asked.
const PROBES: usize = 4;

/// A sparse table of counts. One thread writes, any thread reads. It grows, at most to the number of combinations.
#[derive(Debug)]
pub struct RequestTable {
    first: Block,
}

/// One line of a [`RequestTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestCount {
    /// The listener's number, as the writer gave it.
    pub listener: u64,
    /// The request's method.
    pub method: MethodLabel,
    /// The status code that the client saw.
    pub code: u16,
    /// How often.
    pub count: u64,
}

#[derive(Debug)]
struct Block {
    slots: Box<[Slot]>,
    next: OnceLock<Box<Block>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// [`pack`]ed; 0 while the slot is free.
    key: AtomicU64,
    count: Counter,
}

impl RequestTable {
    /// One more. Allocates only when a combination is new and its places are taken.
    #[inline]
    pub fn inc(&self, listener: u64, method: MethodLabel, code: u16) {
        let key = pack(listener, method, code);
        let mut block = &self.first;
        loop {
            if let Some(slot) = block.slot(key) {
                return slot.count.inc();
            }
            block = block.next.get_or_init(|| Box::new(Block::new(block.slots.len() * 2)));
        }
    }

    /// Every combination that has occurred, in no order.
    pub fn iter(&self) -> impl Iterator<Item = RequestCount> + '_ {
        let blocks = iter::successors(Some(&self.first), |block| block.next.get().map(|next| &**next));
        blocks.flat_map(|block| block.slots.iter()).filter_map(|slot| unpack(slot.key.load(Relaxed), slot.count.get()))
    }
}

impl Default for RequestTable {
    fn default() -> Self {
        Self { first: Block::new(FIRST_BLOCK) }
    }
}

impl Block {
    fn new(slots: usize) -> Self {
        debug_assert!(slots.is_power_of_two(), "places are found with a mask");
        Self { slots: iter::repeat_with(Slot::default).take(slots).collect(), next: OnceLock::new() }
    }

    /// The slot of this key, taken for it now if it is new and a place is free. A key sits in the first place that was
    /// free when it came, and no place becomes free again: so it is always found before a free one.
    #[inline]
    fn slot(&self, key: u64) -> Option<&Slot> {
        // Fibonacci hashing (Knuth, "The Art of Computer Programming", volume 3, section 6.4): the upper bits are mixed best.
        let hash = usize::from((key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as u16);
        let mask = self.slots.len() - 1;
        (hash..hash + PROBES).map(|place| &self.slots[place & mask]).find(|slot| match slot.key.load(Relaxed) {
            0 => {
                slot.key.store(key, Relaxed);
                true
            }
            taken => taken == key,
        })
    }
}

/// Numbers of listeners that are counted apart: as many as no process comes to have, one after the other, in a thousand years.
const LISTENER_BITS: u32 = 40;

/// A combination as one number, never 0.
const fn pack(listener: u64, method: MethodLabel, code: u16) -> u64 {
    let listener = listener & ((1 << LISTENER_BITS) - 1);
    1 << 63 | (method as u64) << (16 + LISTENER_BITS) | listener << 16 | code as u64
}

fn unpack(key: u64, count: u64) -> Option<RequestCount> {
    let [top, l4, l3, l2, l1, l0, c1, c0] = key.to_be_bytes();
    let method = *MethodLabel::ALL.get(usize::from(top & 0x7f))?;
    let listener = u64::from_be_bytes([0, 0, 0, l4, l3, l2, l1, l0]);
    let code = u16::from_be_bytes([c1, c0]);
    (key != 0).then_some(RequestCount { listener, method, code, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn two_thousand_combinations_are_counted_apart() {
        let table = RequestTable::default();
        for round in 0..2 {
            for (listener, method, code) in combinations() {
                (0..=round).for_each(|_| table.inc(listener, method, code));
            }
        }

        let seen: Vec<_> = table.iter().collect();

        assert_eq!(seen.len(), combinations().count());
        assert!(seen.iter().all(|line| line.count == 3));
    }

    #[test]
    fn a_reader_sees_whole_lines_while_the_writer_adds_new_ones() {
        let table = RequestTable::default();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| combinations().for_each(|(l, m, c)| table.inc(l, m, c)));
            while !writer.is_finished() {
                assert!(table.iter().all(|line| line.count <= 1 && (100..300).contains(&line.code)));
            }
        });
        assert_eq!(table.iter().map(|line| line.count).sum::<u64>(), combinations().count() as u64);
    }

    fn combinations() -> impl Iterator<Item = (u64, MethodLabel, u16)> {
        MethodLabel::ALL
            .into_iter()
            .flat_map(|method| (100..300).map(move |code| (u64::from(code % 3) << 30, method, code)))
    }

    proptest! {
        #[test]
        fn a_table_counts_as_a_map_would(requests in prop::collection::vec((0..1_u64 << LISTENER_BITS, 0..MethodLabel::COUNT, any::<u16>()), 0..200)) {
            let (table, mut map) = (RequestTable::default(), HashMap::new());
            for (listener, method, code) in requests {
                let method = MethodLabel::ALL[method];
                table.inc(listener, method, code);
                *map.entry((listener, method, code)).or_insert(0) += 1;
            }

            let seen: HashMap<_, _> = table.iter().map(|l| ((l.listener, l.method, l.code), l.count)).collect();

            prop_assert_eq!(seen, map);
        }
    }
}

//! The value that is in force now, replaced as a whole.
//!
//! The control thread swaps; anyone reads. A reader never waits and never sees half of a change.

use arc_swap::ArcSwap;
use std::sync::Arc;

/// A value in force, with the number of times it was replaced.
#[derive(Debug)]
pub struct Live<T> {
    current: ArcSwap<Version<T>>,
}

#[derive(Debug)]
struct Version<T> {
    generation: u64,
    value: Arc<T>,
}

impl<T> Live<T> {
    /// The first value: generation 0.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self { current: ArcSwap::from_pointee(Version { generation: 0, value: Arc::new(value) }) }
    }

    /// The value in force. It stays whole for as long as the caller holds it, whatever is swapped meanwhile.
    #[must_use]
    pub fn load(&self) -> Arc<T> {
        Arc::clone(&self.current.load().value)
    }

    /// Replaces the value and gives the new generation: each swap gets its own, one more than the one it replaced.
    pub fn swap(&self, value: Arc<T>) -> u64 {
        let next = |old: &Arc<Version<T>>| Version { generation: old.generation + 1, value: Arc::clone(&value) };
        self.current.rcu(next).generation + 1
    }

    /// How often the value has been replaced.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.current.load().generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, thread};

    #[test]
    fn a_swap_replaces_the_value_and_who_holds_the_old_one_keeps_it() {
        let live = Live::new("old");
        let held = live.load();

        assert_eq!(live.swap(Arc::new("new")), 1);

        assert_eq!((*held, *live.load(), live.generation()), ("old", "new", 1));
    }

    #[test]
    fn every_swap_gets_its_own_generation_even_when_threads_race() {
        let live = Live::new(0);
        let race = |n| (0..100).map(|_| live.swap(Arc::new(n))).collect::<Vec<_>>();

        let generations: BTreeSet<u64> = thread::scope(|scope| {
            let threads: Vec<_> = (1..5).map(|n| scope.spawn(move || race(n))).collect();
            threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });

        assert_eq!(generations, (1..=400).collect());
        assert_eq!(live.generation(), 400);
    }
}

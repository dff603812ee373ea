//! Sets and workers for the tests.

use evenkeel_balance::{Endpoint, EndpointSet, Flag, Generation, HashKey, Member, Picker, Rng};
use evenkeel_model::{Algorithm, Weight};
use std::sync::Arc;

/// The n-th address of every set.
pub(crate) fn address(n: usize) -> String {
    format!("10.{}.{}.{}:8080", n / 65536, n / 256 % 256, n % 256)
}

pub(crate) fn weighted(algorithm: Algorithm, weights: &[u16]) -> Arc<EndpointSet> {
    named(algorithm, weights.iter().enumerate().map(|(n, &weight)| (address(n), weight)))
}

pub(crate) fn equal(algorithm: Algorithm, count: usize) -> Arc<EndpointSet> {
    weighted(algorithm, &vec![1; count])
}

pub(crate) fn named(algorithm: Algorithm, members: impl Iterator<Item = (String, u16)>) -> Arc<EndpointSet> {
    let generation = Generation::default();
    let member = |(name, weight): (String, u16)| Member {
        endpoint: Endpoint::new(name.parse().unwrap(), generation.clone()),
        weight: Weight::new(weight).unwrap(),
    };
    let members = members.map(member).collect();
    Arc::new(EndpointSet::new(members, generation, algorithm))
}

pub(crate) fn flag(set: &EndpointSet, index: usize, flag: Flag, up: bool) {
    set.members()[index].endpoint.set(flag, up);
}

/// One worker: a picker with its chance.
pub(crate) struct Worker {
    pub(crate) picker: Picker,
    pub(crate) rng: Rng,
}

impl Worker {
    pub(crate) fn new(set: &Arc<EndpointSet>, seed: u64) -> Self {
        let mut rng = Rng::from_seed(seed);
        Self { picker: Picker::new(Arc::clone(set), &mut rng), rng }
    }

    pub(crate) fn pick_for(&mut self, key: HashKey, tried: &[u32]) -> Option<usize> {
        self.picker.pick(key, tried, &mut self.rng).map(|index| index as usize)
    }

    pub(crate) fn pick(&mut self) -> usize {
        self.pick_for(HashKey::default(), &[]).unwrap()
    }

    /// How often each member was chosen in so many picks.
    pub(crate) fn counts(&mut self, picks: usize) -> Vec<usize> {
        let mut counts = vec![0; self.picker.set().members().len()];
        for _ in 0..picks {
            counts[self.pick()] += 1;
        }
        counts
    }
}

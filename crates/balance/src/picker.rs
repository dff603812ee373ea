//! Chooses the endpoint for one attempt of one request.
//!
//! Called from `upstream/send` once for each attempt, on the worker that owns it. Never waits, locks or allocates: all
//! memory is taken in `new`, also for the short list that a pick makes anew when the generation has moved.

use crate::{
    EndpointSet, HashKey, Rng,
    eligible::{Candidates, Eligible},
    endpoints::Table,
    ip_hash,
    least_connections::LeastConnections,
    maglev::Maglev,
    power_of_two, random,
    round_robin::RoundRobin,
    sampler::Sampler,
};
use std::sync::Arc;

/// One worker's chooser among one set.
#[derive(Debug)]
pub struct Picker {
    set: Arc<EndpointSet>,
    /// The generation that the short list was made at.
    seen: u64,
    eligible: Eligible,
    method: Method,
}

/// What each algorithm keeps for one worker.
#[derive(Debug)]
enum Method {
    PowerOfTwo(Sampler),
    LeastConnections(LeastConnections),
    Random(Sampler),
    RoundRobin(RoundRobin),
    IpHash(Arc<Maglev>),
}

impl Picker {
    /// A chooser for this set, starting at random so that workers do not march in step.
    #[must_use]
    pub fn new(set: Arc<EndpointSet>, rng: &mut Rng) -> Self {
        let members = set.members().len();
        let method = match set.table() {
            Table::PowerOfTwo(shares) => Method::PowerOfTwo(Sampler::new(shares, members)),
            Table::LeastConnections(shares) => {
                let weights = set.members().iter().map(|member| member.weight.get());
                Method::LeastConnections(LeastConnections::new(shares, weights, rng))
            }
            Table::Random(shares) => Method::Random(Sampler::new(shares, members)),
            Table::RoundRobin(turns) => Method::RoundRobin(RoundRobin::new(turns, members, rng)),
            Table::IpHash(table) => Method::IpHash(Arc::clone(table)),
        };
        let seen = set.generation().current();
        let mut picker = Self { set, seen, eligible: Eligible::with_room(members), method };
        picker.look_again();
        picker
    }

    /// The index into [`EndpointSet::members`] of the endpoint for this attempt: one that may have new requests and is not
    /// in `tried`, or `None` when there is none. `key` matters only to an algorithm that places clients.
    pub fn pick(&mut self, key: HashKey, tried: &[u32], rng: &mut Rng) -> Option<u32> {
        let generation = self.set.generation().current();
        if generation != self.seen {
            // Before the flags are read: a flag set from now on moves the generation again.
            self.seen = generation;
            self.look_again();
        }
        let candidates = Candidates { members: self.set.members(), eligible: &self.eligible, tried };
        let chosen = match &mut self.method {
            Method::PowerOfTwo(sampler) => power_of_two::pick(sampler, &candidates, rng),
            Method::LeastConnections(least) => least.pick(&candidates, rng),
            Method::Random(sampler) => random::pick(sampler, &candidates, rng),
            Method::RoundRobin(round_robin) => round_robin.pick(&candidates),
            Method::IpHash(table) => ip_hash::pick(table, key, &candidates),
        };
        debug_assert!(chosen.is_none_or(|index| candidates.may(index)), "the chosen one was no candidate");
        debug_assert!(
            chosen.is_some() || self.eligible.list().iter().all(|index| tried.contains(index)),
            "nobody was chosen though somebody was left"
        );
        chosen
    }

    /// What it chooses among.
    #[must_use]
    pub fn set(&self) -> &Arc<EndpointSet> {
        &self.set
    }

    #[cold]
    fn look_again(&mut self) {
        let members = self.set.members();
        self.eligible.rebuild(members);
        match &mut self.method {
            Method::PowerOfTwo(sampler) | Method::Random(sampler) => sampler.rebuild(members, &self.eligible),
            Method::LeastConnections(least) => least.sampler.rebuild(members, &self.eligible),
            Method::RoundRobin(round_robin) => round_robin.rebuild(members, &self.eligible),
            Method::IpHash(_) => {}
        }
    }
}

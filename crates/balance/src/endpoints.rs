//! The endpoints of one upstream in one snapshot, with what their algorithm needs to know about all of them.
//!
//! Built on the control thread with the snapshot and shared by all workers: heavy tables are made here, once. Never
//! changes; what does change is in `endpoint.rs`.

use crate::{Endpoint, Generation, maglev::Maglev, round_robin::Turns, sampler::Shares};
use evenkeel_model::{Algorithm, Weight};
use std::sync::Arc;

/// One endpoint and its share.
#[derive(Clone, Debug)]
pub struct Member {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its share.
    pub weight: Weight,
}

/// The endpoints of one upstream in one snapshot.
#[derive(Debug)]
pub struct EndpointSet {
    members: Box<[Member]>,
    generation: Generation,
    algorithm: Algorithm,
    table: Table,
}

/// What each algorithm needs to know about all members, worked out once for all workers.
#[derive(Debug)]
pub(crate) enum Table {
    PowerOfTwo(Shares),
    LeastConnections(Shares),
    Random(Shares),
    RoundRobin(Turns),
    IpHash(Arc<Maglev>),
}

impl EndpointSet {
    /// The set, in the order of the file. `generation` is the one that all the endpoints were made with.
    ///
    /// Microseconds for a hundred endpoints; `ip_hash` and uneven weights of `round_robin` take up to milliseconds, so
    /// never call it on a worker.
    #[must_use]
    pub fn new(members: Vec<Member>, generation: Generation, algorithm: Algorithm) -> Self {
        debug_assert!(
            members.iter().all(|member| member.endpoint.belongs_to(&generation)),
            "a flag on each endpoint must be noticed by this set"
        );
        let table = match algorithm {
            Algorithm::PowerOfTwo => Table::PowerOfTwo(Shares::of(&members)),
            Algorithm::LeastConnections => Table::LeastConnections(Shares::of(&members)),
            Algorithm::Random => Table::Random(Shares::of(&members)),
            Algorithm::RoundRobin => Table::RoundRobin(Turns::of(&members)),
            Algorithm::IpHash => Table::IpHash(Arc::new(Maglev::of(&members))),
        };
        Self { members: members.into(), generation, algorithm, table }
    }

    /// In the order of the file; a pick is an index into them.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Who gets the next request.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What moves when a flag of a member changes.
    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "must be noticed by this set")]
    fn a_set_refuses_endpoints_whose_flags_it_would_not_notice() {
        let endpoint = Endpoint::new("10.0.0.1:80".parse().unwrap(), Generation::default());
        let members = vec![Member { endpoint, weight: Weight::ONE }];
        drop(EndpointSet::new(members, Generation::default(), Algorithm::Random));
    }
}

//! Which members may be chosen now: one worker's short list.
//!
//! `picker.rs` has it rebuilt when the generation has moved; the algorithms read it. It says who may, never who should.
//! All its memory is taken when it is made, so that a rebuild in the middle of a pick does not allocate.

use crate::Member;

/// Members without a flag against them; while there are none, those that nobody knows yet.
#[derive(Debug)]
pub(crate) struct Eligible {
    /// Ascending.
    list: Vec<u32>,
    /// One bit for each member.
    bits: Box<[u64]>,
    members: usize,
}

impl Eligible {
    /// Nobody yet, with room for this many members.
    pub(crate) fn with_room(members: usize) -> Self {
        Self { list: Vec::with_capacity(members), bits: vec![0; members.div_ceil(64)].into(), members }
    }

    /// Reads every member's flags anew.
    pub(crate) fn rebuild(&mut self, members: &[Member]) {
        debug_assert_eq!(self.members, members.len(), "a list serves one set");
        self.list.clear();
        self.list.extend(indices(members, |member| member.endpoint.flags().clear()));
        if self.list.is_empty() {
            self.list.extend(indices(members, |member| member.endpoint.flags().only_unknown()));
        }
        self.bits.fill(0);
        for &index in &self.list {
            self.bits[index as usize / 64] |= 1 << (index % 64);
        }
    }

    /// Indices into the members, ascending.
    pub(crate) fn list(&self) -> &[u32] {
        &self.list
    }

    /// Whether this member is on the list.
    pub(crate) fn contains(&self, index: u32) -> bool {
        self.bits.get(index as usize / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

/// What one pick chooses among.
pub(crate) struct Candidates<'a> {
    pub(crate) members: &'a [Member],
    pub(crate) eligible: &'a Eligible,
    /// Members that this request has been sent to already; a handful at most.
    pub(crate) tried: &'a [u32],
}

/// How busy a member is, wide enough to multiply.
pub(crate) struct Load {
    pub(crate) in_flight: u64,
    pub(crate) weight: u64,
}

impl Load {
    /// Whether a request is better there than here: with it, the other is no busier for its weight than this one is without it. What is less
    /// than that is no difference, else the lighter of two would lose whenever both are idle, or the heavier whenever it has anything to do.
    /// With equal weights: whether the other has fewer.
    pub(crate) fn is_beaten_by(&self, other: &Self) -> bool {
        // (b + 1) / w <= a / v without dividing.
        (other.in_flight + 1) * self.weight <= self.in_flight * other.weight
    }

    /// Whether this one, with another request, is less busy for its weight than the other would be with it.
    pub(crate) fn with_one_more_is_below(&self, other: &Self) -> bool {
        (self.in_flight + 1) * other.weight < (other.in_flight + 1) * self.weight
    }
}

impl Candidates<'_> {
    /// Whether this request was there already.
    pub(crate) fn is_tried(&self, index: u32) -> bool {
        self.tried.contains(&index)
    }

    /// Whether this attempt may go there.
    pub(crate) fn may(&self, index: u32) -> bool {
        self.eligible.contains(index) && !self.is_tried(index)
    }

    /// How busy it is now, over all workers.
    pub(crate) fn load(&self, index: u32) -> Load {
        let member = &self.members[index as usize];
        Load { in_flight: member.endpoint.in_flight() as u64, weight: member.weight.get().into() }
    }
}

fn indices(members: &[Member], may: impl Fn(&Member) -> bool) -> impl Iterator<Item = u32> {
    (0_u32..).zip(members).filter(move |(_, member)| may(member)).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Endpoint, Flag, Generation};
    use evenkeel_model::Weight;

    fn members(count: u16) -> Vec<Member> {
        let generation = Generation::default();
        let endpoint = |port| Endpoint::new(format!("10.0.0.1:{port}").parse().unwrap(), generation.clone());
        (0..count).map(|port| Member { endpoint: endpoint(port), weight: Weight::ONE }).collect()
    }

    fn eligible(members: &[Member]) -> Vec<u32> {
        let mut eligible = Eligible::with_room(members.len());
        eligible.rebuild(members);
        let count = u32::try_from(members.len()).unwrap();
        assert!((0..count + 100).all(|index| eligible.contains(index) == eligible.list().contains(&index)));
        eligible.list().to_vec()
    }

    #[test]
    fn any_flag_but_unknown_keeps_new_requests_away_from_an_endpoint() {
        let members = members(130);
        assert_eq!(eligible(&members).len(), 130);
        for flag in Flag::ALL.into_iter().filter(|flag| *flag != Flag::Unknown) {
            members[128].endpoint.set(flag, true);
            assert!(!eligible(&members).contains(&128), "{flag:?}");
            members[128].endpoint.set(flag, false);
        }
    }

    #[test]
    fn an_endpoint_nobody_knows_is_used_only_while_no_healthy_one_can_be() {
        let members = members(3);
        members[0].endpoint.set(Flag::Unknown, true);
        assert_eq!(eligible(&members), [1, 2]);
        members[1].endpoint.set(Flag::Unhealthy, true);
        members[2].endpoint.set(Flag::DrainingByFile, true);
        assert_eq!(eligible(&members), [0]);
        members[0].endpoint.set(Flag::Ejected, true);
        assert_eq!(eligible(&members), [0_u32; 0]);
    }
}

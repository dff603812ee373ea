//! `ip_hash`: the same client address goes to the same endpoint, in every worker and every replica.
//!
//! A client whose endpoint may not be chosen now is hashed again, and again, until it finds one that may: so a failing
//! endpoint moves its own clients only, all over the rest, and they return with it. (Building the table anew without it
//! would move others too, on every flap.)

use crate::{HashKey, eligible::Candidates, maglev::Maglev};

/// Hashes before we stop hoping. With half of the endpoints out, one client in 4 billion gets that far.
const ROUNDS_MAX: u64 = 32;

pub(crate) fn pick(table: &Maglev, key: HashKey, candidates: &Candidates<'_>) -> Option<u32> {
    if candidates.eligible.list().is_empty() {
        return None;
    }
    let owner = table.owner(key);
    if candidates.may(owner) {
        return Some(owner);
    }
    if let Some(owner) = (1..ROUNDS_MAX).map(|round| table.owner(key.again(round))).find(|&owner| candidates.may(owner))
    {
        return Some(owner);
    }
    // Few of many are left, so the list is short against the table: each client goes to the one that it fits best, again
    // without moving anybody else's when one more leaves. Weights no longer count.
    let untried = candidates.eligible.list().iter().copied().filter(|&index| !candidates.is_tried(index));
    untried.max_by_key(|&index| table.affinity(key, index))
}

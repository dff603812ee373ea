//! How long an endpoint keeps an idle connection, learnt from when it closed some.
//!
//! A request that is sent at the moment when the endpoint closes is lost, and only some may be repeated. So we stop using a
//! connection before its endpoint does; but few endpoints say when that is (`Keep-Alive: timeout=`).

/// Ages at which connections were closed, in milliseconds; younger than this is no timeout but a restart, a limit of requests, or
/// a change of mind.
const YOUNGEST: u64 = 500;

/// Ages that are this near to each other, in hundredths, come from one timeout.
const ALIKE: u64 = 20;

/// For how long something learnt holds, in milliseconds. While it holds it keeps every connection from living long enough to disprove it;
/// after that the next connections may, and if it was true, one close teaches it again.
const HOLDS_FOR: u64 = 5 * 60 * 1000;

/// What we know of an endpoint's idle timeout. Times are milliseconds of the worker's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Patience {
    /// The age at which the last connection was closed, in milliseconds; 0: none yet.
    last: u64,
    /// When that was.
    closed_at: u64,
    /// What two closes in a row agreed upon; 0: nothing yet.
    learnt: u64,
    /// When they last did.
    learnt_at: u64,
}

impl Patience {
    /// An idle connection was closed by the endpoint: it had been idle from `since` until `at`.
    pub(super) fn learn(&mut self, since: u64, at: u64) {
        let age = at.saturating_sub(since);
        // A restart closes many connections, which are often of the same age; so only one that became idle after the last close is another
        // witness. A timeout closes those too.
        if age < YOUNGEST || since < self.closed_at {
            return;
        }
        let (low, high) = (self.last.min(age), self.last.max(age));
        if low > 0 && (high - low) * 100 <= high * ALIKE {
            self.learnt = low;
            self.learnt_at = at;
        }
        self.last = age;
        self.closed_at = at;
    }

    /// For how long a connection may wait in the pool from now on, in milliseconds: well below what was learnt, for the endpoint's clock
    /// began earlier than ours and its tick is coarse.
    pub(super) fn limit(self, now: u64) -> Option<u64> {
        let holds = self.learnt > 0 && now < self.learnt_at.saturating_add(HOLDS_FOR);
        holds.then(|| self.learnt * 3 / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After closes at these ages, of connections that became idle one after the other; and when the last one was closed.
    fn closed(ages: &[u64]) -> (Patience, u64) {
        let (mut patience, mut now) = (Patience::default(), 0);
        for age in ages {
            patience.learn(now, now + age);
            now += age;
        }
        (patience, now)
    }

    fn after(ages: &[u64]) -> Option<u64> {
        let (patience, now) = closed(ages);
        patience.limit(now)
    }

    #[test]
    fn two_closes_at_about_the_same_age_are_a_timeout() {
        assert_eq!(after(&[1000]), None);
        assert_eq!(after(&[1000, 1100]), Some(750));
        assert_eq!(after(&[1000, 3000]), None);
        assert_eq!(after(&[1000, 1000, 60_000]), Some(750), "one other close changes nothing");
        assert_eq!(after(&[1000, 1000, 60_000, 60_000]), Some(45_000), "two others do");
    }

    #[test]
    fn a_connection_that_is_closed_young_teaches_nothing() {
        assert_eq!(after(&[3, 3, 3, 400, 400]), None);
    }

    #[test]
    fn a_restart_that_closes_many_connections_of_one_age_teaches_nothing() {
        let mut patience = Patience::default();
        for at in [10_000, 10_000, 10_300] {
            patience.learn(8_000, at);
        }
        assert_eq!(patience.limit(11_000), None);
    }

    #[test]
    fn what_was_learnt_is_forgotten_and_learnt_again_by_one_close_if_it_was_true() {
        let (mut patience, now) = closed(&[2000, 2000]);
        assert_eq!(patience.limit(now + HOLDS_FOR - 1), Some(1500));
        let later = now + HOLDS_FOR;
        assert_eq!(patience.limit(later), None);

        patience.learn(later, later + 2000);

        assert_eq!(patience.limit(later + 2000), Some(1500));
    }
}

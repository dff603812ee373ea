//! How long an endpoint keeps an idle connection, learnt from when it closed some.
//!
//! A request that is sent at the moment when the endpoint closes is lost, and only some may be repeated. So we stop using a
//! connection before its endpoint does; but few endpoints say when that is (`Keep-Alive: timeout=`).

/// Ages at which connections were closed, in milliseconds; younger than this is no timeout but a restart, a limit of requests, or
/// a change of mind.
const YOUNGEST: u64 = 500;

/// Ages that are this near to each other, in hundredths, come from one timeout.
const ALIKE: u64 = 20;

/// What we know of an endpoint's idle timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Patience {
    /// The age at which the last connection was closed, in milliseconds; 0: none yet.
    last: u64,
    /// What two closes in a row agreed upon; 0: nothing yet.
    learnt: u64,
}

impl Patience {
    /// An idle connection was closed by the endpoint at this age, in milliseconds.
    pub(super) fn learn(&mut self, age: u64) {
        if age < YOUNGEST {
            return;
        }
        let (low, high) = (self.last.min(age), self.last.max(age));
        if low > 0 && (high - low) * 100 <= high * ALIKE {
            self.learnt = low;
        }
        self.last = age;
    }

    /// For how long a connection may wait in the pool, in milliseconds: well below what was learnt, for the endpoint's clock began
    /// earlier than ours and its tick is coarse.
    pub(super) fn limit(self) -> Option<u64> {
        (self.learnt > 0).then(|| self.learnt * 3 / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(ages: &[u64]) -> Option<u64> {
        let mut patience = Patience::default();
        ages.iter().for_each(|age| patience.learn(*age));
        patience.limit()
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
    fn a_restart_teaches_nothing() {
        assert_eq!(after(&[3, 3, 3, 400, 400]), None);
    }
}

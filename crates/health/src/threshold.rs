//! Judges: turns single answers into a verdict that does not flap.
//!
//! Called by `record` with each answer of a probe. Pure: the clock is passed in, and a whole day replays in a millisecond.

use std::{num::NonZeroU32, time::SystemTime};

/// What we hold an endpoint to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Probed, and not one answer yet. Gets requests only while no endpoint is healthy.
    Unknown,
    /// Gets requests. Also the verdict on an endpoint that nobody probes.
    Healthy,
    /// Gets none.
    Unhealthy,
}

impl Verdict {
    /// In lower case, as it stands in logs and in the label `to`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One answer, as the threshold sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Good,
    Bad,
}

impl Answer {
    /// The verdict that this answer speaks for.
    const fn speaks_for(self) -> Verdict {
        match self {
            Self::Good => Verdict::Healthy,
            Self::Bad => Verdict::Unhealthy,
        }
    }
}

/// How many answers in a row turn a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Good answers that make an unhealthy endpoint healthy.
    pub(crate) healthy_after: NonZeroU32,
    /// Bad answers that make a healthy endpoint unhealthy.
    pub(crate) unhealthy_after: NonZeroU32,
}

/// A verdict, since when, and how close it is to its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    verdict: Verdict,
    since: SystemTime,
    /// Answers in a row against the verdict.
    against: u32,
}

impl State {
    pub(crate) fn new(verdict: Verdict, now: SystemTime) -> Self {
        Self { verdict, since: now, against: 0 }
    }

    pub(crate) fn verdict(self) -> Verdict {
        self.verdict
    }

    pub(crate) fn since(self) -> SystemTime {
        self.since
    }

    /// Whether the last answer spoke against the verdict, so that it may be about to turn.
    pub(crate) fn turning(self) -> bool {
        self.against > 0
    }

    /// The same verdict with nothing held against it: what was counted under an old rule says nothing under a new one.
    pub(crate) fn settled(self) -> Self {
        Self { against: 0, ..self }
    }

    /// The state after one more answer.
    ///
    /// The first answer of all decides at once, either way. It is the only thing known: to wait for a second good one would
    /// keep a whole fleet out of service for an interval after every start, and to wait for a third bad one would send
    /// requests where we just saw them fail. Envoy does the same ("during startup, only a single successful health check is
    /// required", core.HealthCheck.healthy_threshold), and a host there begins as failed, so one bad answer keeps it out.
    pub(crate) fn after(self, answer: Answer, rule: Rule, now: SystemTime) -> Self {
        let says = answer.speaks_for();
        let needed = match self.verdict {
            Verdict::Unknown => 1,
            Verdict::Healthy => rule.unhealthy_after.get(),
            Verdict::Unhealthy => rule.healthy_after.get(),
        };
        if says == self.verdict {
            return self.settled();
        }
        let against = self.against.saturating_add(1);
        let next = if against < needed { Self { against, ..self } } else { Self::new(says, now) };
        debug_assert!(next.verdict != Verdict::Unknown, "an answer always leads to a verdict");
        debug_assert!(
            next.verdict == self.verdict || next.against == 0,
            "a new verdict begins with nothing against it"
        );
        next
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer::*, *};
    use proptest::prelude::*;
    use std::time::Duration;

    fn rule(healthy_after: u32, unhealthy_after: u32) -> Rule {
        let n = |n| NonZeroU32::new(n).unwrap();
        Rule { healthy_after: n(healthy_after), unhealthy_after: n(unhealthy_after) }
    }

    fn second(n: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(n)
    }

    fn verdicts(begin: Verdict, rule: Rule, answers: &[Answer]) -> Vec<Verdict> {
        let mut state = State::new(begin, second(0));
        let step = |(n, answer): (usize, &Answer)| {
            state = state.after(*answer, rule, second(n as u64 + 1));
            state.verdict
        };
        answers.iter().enumerate().map(step).collect()
    }

    #[test]
    fn the_first_answer_decides_either_way() {
        assert_eq!(verdicts(Verdict::Unknown, rule(5, 5), &[Good]), [Verdict::Healthy]);
        assert_eq!(verdicts(Verdict::Unknown, rule(5, 5), &[Bad]), [Verdict::Unhealthy]);
    }

    #[test]
    fn a_verdict_turns_after_so_many_answers_in_a_row_and_one_other_starts_the_count_again() {
        use Verdict::{Healthy as Up, Unhealthy as Down};
        assert_eq!(verdicts(Up, rule(2, 3), &[Bad, Bad, Good, Bad, Bad, Bad]), [Up, Up, Up, Up, Up, Down]);
        assert_eq!(verdicts(Down, rule(2, 3), &[Good, Bad, Good, Good]), [Down, Down, Down, Up]);
    }

    #[test]
    fn the_time_of_a_verdict_is_that_of_the_answer_that_turned_it() {
        let mut state = State::new(Verdict::Unknown, second(0));
        let mut answer = |answer, now| {
            state = state.after(answer, rule(2, 2), second(now));
            (state.since, state.turning())
        };
        assert_eq!(answer(Good, 1), (second(1), false));
        assert_eq!(answer(Good, 2), (second(1), false));
        assert_eq!(answer(Bad, 3), (second(1), true));
        assert_eq!(answer(Bad, 4), (second(4), false));
    }

    proptest! {
        /// The whole law in other words: the verdict is that of the last run of equal answers that was long enough.
        #[test]
        fn the_verdict_is_that_of_the_last_long_enough_run(
            good in prop::collection::vec(any::<bool>(), 1..200), rise in 1_u32..6, fall in 1_u32..6,
        ) {
            let answers: Vec<Answer> = good.iter().map(|good| if *good { Good } else { Bad }).collect();
            let seen = verdicts(Verdict::Unknown, rule(rise, fall), &answers);
            let mut expected = answers[0].speaks_for();
            for end in 0..answers.len() {
                let run = answers[..=end].iter().rev().take_while(|answer| **answer == answers[end]).count();
                let long_enough = if answers[end] == Good { rise } else { fall } as usize;
                if run >= long_enough {
                    expected = answers[end].speaks_for();
                }
                prop_assert_eq!(seen[end], expected, "after answer {}", end);
            }
        }

        #[test]
        fn answers_that_agree_with_the_verdict_never_make_it_turn(rise in 1_u32..6, fall in 1_u32..6, n in 1_usize..50) {
            prop_assert!(verdicts(Verdict::Healthy, rule(rise, fall), &vec![Good; n]).iter().all(|v| *v == Verdict::Healthy));
            prop_assert!(verdicts(Verdict::Unhealthy, rule(rise, fall), &vec![Bad; n]).iter().all(|v| *v == Verdict::Unhealthy));
        }
    }
}

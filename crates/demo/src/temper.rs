//! How a built-in endpoint behaves: how long it thinks, and how it feels at a given age. Pure; `endpoint` acts it out.

use std::{ops::RangeInclusive, time::Duration};

/// How long an endpoint that was killed stays away.
pub(crate) const NAP: Duration = Duration::from_secs(10);

/// How an endpoint behaves.
#[derive(Clone, Debug)]
pub(crate) struct Temper {
    pub(crate) name: &'static str,
    /// What a person should know of it, for the configuration file.
    pub(crate) manner: &'static str,
    /// Microseconds that it thinks before it answers.
    pub(crate) thinks: RangeInclusive<u64>,
    /// `None`: always well.
    pub(crate) moods: Option<Moods>,
    pub(crate) nap: Duration,
}

/// The lengths of the moods, which follow each other for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moods {
    pub(crate) well: Duration,
    pub(crate) uneasy: Duration,
    pub(crate) sick: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers, and says that it is well.
    Well,
    /// Still answers, but says already that it is not well: as a service does that notices its trouble in time, so that
    /// whoever asks after its health can spare its clients the rest.
    Uneasy,
    /// Answers 500 to everything.
    Sick,
}

impl Temper {
    /// The three of the demo.
    pub(crate) fn all() -> [Self; 3] {
        let plain = |name, manner, thinks| Self { name, manner, thinks, moods: None, nap: NAP };
        let moods = Moods {
            well: Duration::from_secs(8),
            uneasy: Duration::from_millis(1_500),
            sick: Duration::from_millis(2_500),
        };
        [
            plain("steady", "answers in 2 to 5 ms", 2_000..=5_000),
            plain("slow", "answers in 20 to 40 ms", 20_000..=40_000),
            Self { moods: Some(moods), ..plain("moody", "fast, but unwell for 4 s out of every 12 s", 500..=1_500) },
        ]
    }

    /// How it feels, so long after it was started.
    pub(crate) fn mood(&self, age: Duration) -> Mood {
        let Some(Moods { well, uneasy, sick }) = self.moods else { return Mood::Well };
        let turn = (well + uneasy + sick).as_nanos().max(1);
        let now = age.as_nanos() % turn;
        if now < well.as_nanos() {
            Mood::Well
        } else if now < (well + uneasy).as_nanos() {
            Mood::Uneasy
        } else {
            Mood::Sick
        }
    }

    /// How long it thinks about its `n`-th request: scattered over the range, the same in every run.
    pub(crate) fn thinks_about(&self, n: u64) -> Duration {
        let (low, high) = (*self.thinks.start(), *self.thinks.end());
        // Multiples of the golden ratio fall evenly over the circle (Knuth, TAOCP 3, section 6.4).
        let scattered = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        Duration::from_micros(low + scattered % (high - low + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moody_is_unwell_for_four_of_every_twelve_seconds_and_says_so_before_it_fails() {
        let [steady, _, moody] = Temper::all();
        let at = |tenths: u64| moody.mood(Duration::from_millis(tenths * 100));

        let unwell = (0..1_200).filter(|t| at(*t) != Mood::Well).count();
        assert_eq!(unwell, 400);
        for tenth in 1..1_200 {
            let fell = at(tenth) == Mood::Sick && at(tenth - 1) == Mood::Well;
            assert!(!fell, "no time to notice at {tenth}");
        }
        assert!((0..1_200).all(|t| steady.mood(Duration::from_millis(t * 100)) == Mood::Well));
    }

    #[test]
    fn thinking_takes_all_times_of_the_range_and_no_other() {
        let [_, slow, _] = Temper::all();
        let times: Vec<_> = (0..1_000).map(|n| slow.thinks_about(n)).collect();

        assert!(times.iter().all(|t| (20..=40).contains(&t.as_millis())));
        let mean = times.iter().sum::<Duration>() / 1_000;
        assert!((29..=31).contains(&mean.as_millis()), "{mean:?}");
    }
}

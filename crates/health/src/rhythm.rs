//! When to ask again.

use evenkeel_balance::Rng;
use evenkeel_model::Duration;

/// From one question to the next while a verdict is turning, unless the configured interval is shorter: a dying endpoint is
/// out, and a recovered one back, in seconds.
pub(crate) const TURNING: Duration = Duration::from_secs(1);

/// The pause, longer or shorter by up to a fifth. Without it, probers that began together would go on together and meet each
/// endpoint, and us, in waves.
pub(crate) fn jittered(pause: Duration, rng: &mut Rng) -> Duration {
    let fifth = pause / 5;
    (fifth * 4).saturating_add((fifth * 2).mul_f64(rng.unit_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, proptest};

    proptest! {
        #[test]
        fn a_pause_differs_from_the_written_one_by_a_fifth_at_most(pause in 1_u64..100_000_000, seed: u64) {
            let pause = Duration::from_micros(pause);
            let mut rng = Rng::from_seed(seed);
            for _ in 0..20 {
                let jittered = jittered(pause, &mut rng);
                prop_assert!(jittered.abs_diff(pause) <= pause / 5 + Duration::from_nanos(5), "{jittered:?}");
            }
        }
    }

    #[test]
    fn a_long_time_keeps_the_written_mean() {
        let mut rng = Rng::from_seed(7);
        let total: Duration = (0..10_000).map(|_| jittered(Duration::from_secs(5), &mut rng)).sum();
        assert!(total.abs_diff(Duration::from_secs(50_000)) < Duration::from_secs(200), "{total:?}");
    }

    #[test]
    fn even_the_longest_pause_has_a_jitter() {
        assert!(jittered(Duration::MAX, &mut Rng::from_seed(1)) > Duration::from_secs(1));
    }
}

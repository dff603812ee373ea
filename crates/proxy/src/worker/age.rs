//! How old something may become: about as old as the file says.

use evenkeel_balance::Rng;
use evenkeel_model::Duration;

/// A tenth more or less, so that connections made together do not end together, and their successors neither.
pub(super) fn about(age: Duration, rng: &mut Rng) -> Duration {
    let tenth = age / 10;
    (age - tenth).saturating_add((tenth * 2).mul_f64(rng.unit_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, proptest};

    proptest! {
        #[test]
        fn an_age_differs_from_the_written_one_by_a_tenth_at_most(age in 1_u64..31_536_000_000, seed: u64) {
            let age = Duration::from_millis(age);
            let mut rng = Rng::from_seed(seed);
            for _ in 0..20 {
                let drawn = about(age, &mut rng);
                prop_assert!(drawn.abs_diff(age) <= age / 10 + Duration::from_nanos(10), "{drawn:?} of {age:?}");
            }
        }
    }

    #[test]
    fn connections_that_are_made_together_end_evenly_over_a_fifth_of_their_age() {
        let mut rng = Rng::from_seed(7);
        let mut ends = [0_u32; 10];
        for _ in 0..10_000 {
            let left = about(Duration::from_secs(1000), &mut rng).as_millis() - 900_000;
            ends[usize::try_from(left / 20_000).unwrap()] += 1;
        }
        // A thousand each, give or take four standard deviations.
        assert!(ends.iter().all(|end| (880..=1120).contains(end)), "{ends:?}");
    }
}

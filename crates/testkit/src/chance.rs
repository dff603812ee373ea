//! Chance that can be repeated: a seed, printed, and numbers from it.
//!
//! For tests that try many random things. The seed comes from `EVENKEEL_SEED` or from the clock and is printed, so that a
//! failure can be played again. `SplitMix64` (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).

use std::time::{Duration, SystemTime};

/// Numbers from a seed.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// From `EVENKEEL_SEED` if it is set, else from the clock; prints the seed, which a failing test shows.
    ///
    /// # Panics
    /// When `EVENKEEL_SEED` is not a number.
    #[must_use]
    pub fn printed() -> Self {
        let seed = match std::env::var("EVENKEEL_SEED") {
            Ok(text) => text.parse().expect("EVENKEEL_SEED is a decimal number"),
            Err(_) => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(1, |since| u64::from(since.subsec_nanos()) ^ since.as_secs()),
        };
        println!("to play this again: EVENKEEL_SEED={seed}");
        Self::from_seed(seed)
    }

    /// Always the same numbers for the same seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `n - 1`; the slight unevenness of a remainder does not matter here.
    ///
    /// # Panics
    /// When `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next_u64() % n
    }

    /// Up to `longest`, in whole microseconds.
    pub fn pause(&mut self, longest: Duration) -> Duration {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.below(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut a, mut b) = (Chance::from_seed(7), Chance::from_seed(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
        assert_ne!(Chance::from_seed(8).next_u64(), Chance::from_seed(7).next_u64());
    }
}

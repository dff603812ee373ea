//! Chance for the algorithms: small, fast, replayable from a seed. Not for secrets.

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): eight bytes of state,
/// about a nanosecond a number, passes BigCrush. One for each worker; nobody outside can see enough of it to profit.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same numbers, in every process and version.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound - 1`, each equally likely (Lemire, "Fast random integer generation in an interval",
    /// 2019). `bound` is not 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        debug_assert!(bound > 0, "there is no number below 0");
        let mut product = (self.next_u64() >> 32) * u64::from(bound);
        if product & LOW < u64::from(bound) {
            let unfair = u64::from(bound.wrapping_neg() % bound);
            while product & LOW < unfair {
                product = (self.next_u64() >> 32) * u64::from(bound);
            }
        }
        (product >> 32) as u32
    }

    /// A number from 0 up to, not including, 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds exactly")]
    pub fn unit_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const LOW: u64 = 0xffff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_published_sequence() {
        // The reference implementation (Vigna, splitmix64.c) with seed 1234567.
        let mut rng = Rng::from_seed(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn every_number_below_the_bound_is_equally_likely() {
        let mut rng = Rng::from_seed(1);
        for bound in [1, 2, 3, 7, 64, 1000] {
            let mut counts = vec![0_u32; bound as usize];
            for _ in 0..bound * 1000 {
                counts[rng.below(bound) as usize] += 1;
            }
            // Five standard deviations of a binomial of mean 1000.
            assert!(counts.iter().all(|n| n.abs_diff(1000) < 160), "{bound}: {counts:?}");
        }
        assert!((0..1000).map(|_| rng.unit_f64()).all(|x| (0.0..1.0).contains(&x)));
    }
}

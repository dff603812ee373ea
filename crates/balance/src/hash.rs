//! Where a client belongs, as a number that is the same in every process and version.

use std::net::IpAddr;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Never changes: replicas of different versions must agree on where a client belongs. The letters of "evenkeel".
const SEED: u64 = u64::from_be_bytes(*b"evenkeel");

/// The hash of what a request is placed by (xxh3, 64 bits, fixed seed).
///
/// An attacker who picks addresses can aim at one endpoint. That is what affinity means; a limit for each client is the
/// cure, not a secret seed, with which replicas would disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HashKey(pub u64);

impl HashKey {
    /// The whole client address, not its /24. A v4 address mapped into v6 (RFC 4291, section 2.5.5.2) is the v4 address.
    #[must_use]
    pub fn of_ip(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Self::of_bytes(&v4.octets()),
            IpAddr::V6(v6) => Self::of_bytes(&v6.octets()),
        }
    }

    /// Any other thing to place by.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(xxh3_64_with_seed(bytes, SEED))
    }

    /// Another hash of the same thing, for another try: independent of this one and of every other `round`.
    #[must_use]
    pub(crate) fn again(self, round: u64) -> Self {
        Self(xxh3_64_with_seed(&self.0.to_le_bytes(), SEED ^ round))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_of_any_version_agree_on_a_hash() {
        let ip = |text: &str| HashKey::of_ip(text.parse().unwrap());
        let endpoint = HashKey::of_bytes(b"10.0.0.1:8080");
        let hashes = [ip("203.0.113.7"), ip("2001:db8::1"), HashKey::of_bytes(b""), endpoint, endpoint.again(1)];
        assert_eq!(
            hashes.map(|hash| hash.0),
            [
                2_427_019_505_326_641_739,
                4_202_026_792_260_165_652,
                10_920_873_138_551_837_599,
                10_074_221_229_919_334_640,
                1_292_244_931_811_506_995,
            ]
        );
    }

    #[test]
    fn a_client_has_one_hash_over_v4_and_mapped_v6() {
        let v4 = HashKey::of_ip("203.0.113.7".parse().unwrap());
        assert_eq!(HashKey::of_ip("::ffff:203.0.113.7".parse().unwrap()), v4);
        assert_ne!(HashKey::of_ip("203.0.113.8".parse().unwrap()), v4);
    }
}

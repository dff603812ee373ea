//! The identity of a file's content: what a change is compared by.

use std::fmt;

/// The hash of everything that makes up a configuration: the bytes of its file. Files that it names (certificates) join here when they
/// come, so the number means nothing but "the same" or "another". Printed as 16 hex digits.
///
/// Not cryptographic (xxh3): it tells edits apart, it does not resist an attacker, who would need write access to the file anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(u64);

impl ContentHash {
    /// Of these bytes. Equal on every machine and in every version.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_have_one_hash_and_it_prints_as_sixteen_digits() {
        assert_eq!(ContentHash::of(b"a"), ContentHash::of(b"a"));
        assert_ne!(ContentHash::of(b"a"), ContentHash::of(b"b"));
        // The reference value of XXH3-64 for empty input with seed 0 (xxHash, "XXH3 test vectors").
        assert_eq!(ContentHash::of(b"").to_string(), "2d06800538d394c2");
    }
}

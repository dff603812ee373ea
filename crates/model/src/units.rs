//! Quantities with their unit and range.

use std::num::NonZeroU16;

pub use std::time::Duration;

/// How many turns an endpoint takes for each turn of a weight-1 endpoint: 1 to 65535. Never zero: to rest an endpoint, drain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(NonZeroU16);

impl Weight {
    /// The default: one turn.
    pub const ONE: Self = Self(NonZeroU16::MIN);

    /// `None` for zero.
    #[must_use]
    pub fn new(turns: u16) -> Option<Self> {
        NonZeroU16::new(turns).map(Self)
    }

    /// Turns, 1 to 65535.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// `n` times 1024 bytes.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// The number of bytes, as an index; saturates where an address has fewer bits.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Why a quantity was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// A bare number.
    #[error("the unit is missing")]
    NoUnit,
    /// Not a number with a unit.
    #[error("{0}")]
    Malformed(String),
}

/// Reads `"5s"`, `"250ms"`, `"1h 30m"`. A bare number is refused: nobody should guess its unit.
///
/// # Errors
/// [`UnitError`].
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    if text.trim().parse::<f64>().is_ok() {
        return Err(UnitError::NoUnit);
    }
    humantime::parse_duration(text).map_err(|error| UnitError::Malformed(error.to_string()))
}

/// Reads `"64KiB"`, `"1MiB"`, `"512B"`. A bare number is refused.
///
/// # Errors
/// [`UnitError`].
pub fn parse_size(text: &str) -> Result<ByteSize, UnitError> {
    if text.trim().parse::<f64>().is_ok() {
        return Err(UnitError::NoUnit);
    }
    text.parse::<bytesize::ByteSize>().map(|size| ByteSize(size.as_u64())).map_err(UnitError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_written_or_the_value_is_refused() {
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("5"), Err(UnitError::NoUnit));
        assert!(matches!(parse_duration("5 parsecs"), Err(UnitError::Malformed(_))));
        assert_eq!(parse_size("64KiB"), Ok(ByteSize::kib(64)));
        assert_eq!(parse_size("64"), Err(UnitError::NoUnit));
        assert!(matches!(parse_size("much"), Err(UnitError::Malformed(_))));
    }
}

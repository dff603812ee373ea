//! What the fuzz targets check. Each check is a function of bytes that panics when something does not hold.

pub mod checks;

/// The strictest of parsers, shared with the table of cases.
#[allow(dead_code, reason = "the table of cases looks at more of a message than the fuzz targets do")]
#[path = "../../tests/cases/strict.rs"]
mod strict;

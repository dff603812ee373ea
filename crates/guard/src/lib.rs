//! May this pass? Permits, limits and budgets: pure, no I/O, no clock of their own.
//!
//! Shared by all workers and lock-free. `proxy` asks; what must be given back is a value that gives itself back.

mod concurrency;

pub use concurrency::{ConcurrencyLimit, Permit};

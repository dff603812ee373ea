//! May this pass? Permits, limits and budgets: pure, no I/O, no clock of their own.
//!
//! Shared by all workers and lock-free. `proxy` asks; what must be given back is a value that gives itself back.

mod concurrency;
mod retry_budget;

pub use concurrency::{ConcurrencyLimit, Permit};
pub use retry_budget::{RetryBudget, RetryLimits};

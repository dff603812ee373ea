//! May this pass? Permits, limits and budgets: pure, no I/O.

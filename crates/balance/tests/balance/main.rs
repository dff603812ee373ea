//! What the algorithms promise, in the figures of the handbook: shares, placement, queues, and what never happens.
#![expect(clippy::unwrap_used, reason = "tests, with their helpers")]

mod placement;
mod properties;
mod queueing;
mod shares;
mod support;

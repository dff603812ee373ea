//! What a request has of a connection to an endpoint, from its head to the last byte of its answer.

use super::{http2, pool};
use crate::worker::{Timer, Worker};
use std::rc::Rc;

/// A connection on loan, or a stream of one.
pub(crate) enum Lease {
    /// The whole connection.
    Http1(pool::Lease),
    /// One of many streams.
    Http2(http2::Stream),
}

impl Lease {
    fn worker(&self) -> &Rc<Worker> {
        match self {
            Self::Http1(lease) => lease.worker(),
            Self::Http2(stream) => stream.worker(),
        }
    }

    pub(crate) fn timer(&self) -> Timer {
        self.worker().timers.timer()
    }

    /// Milliseconds of the worker's clock.
    pub(crate) fn now(&self) -> u64 {
        self.worker().timers.now()
    }

    pub(super) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(lease) => lease.is_reused(),
            Self::Http2(stream) => stream.is_reused(),
        }
    }

    /// The last byte of the answer was read.
    pub(crate) fn give_back(self) {
        match self {
            Self::Http1(lease) => lease.give_back(),
            // Its place is free when it is dropped, however it ends.
            Self::Http2(_) => {}
        }
    }
}

//! What a request has of a connection to an endpoint, from its head to the last byte of its answer.

use super::{http1::Decoder, http2, pool};
use crate::worker::{Timer, Worker};
use http_body::{Body, SizeHint};
use hyper::body::Incoming;
use std::rc::Rc;

/// What comes behind the head of an answer.
pub(crate) enum Coming {
    /// Bytes of the connection, and which of them.
    Http1(Decoder),
    /// Frames of a stream.
    Http2(Incoming),
}

impl Coming {
    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end(),
            Self::Http2(incoming) => incoming.is_end_stream(),
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Http2(incoming) => incoming.size_hint(),
        }
    }
}

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

//! The body of the request at hand, as its reader has it.

use super::wire::Wire;
use crate::body::Fault;
use bytes::Bytes;
use http_body::Frame;
use std::{
    rc::Rc,
    task::{Context, Poll},
};

/// What a client sends behind a head. There is one reader of it; when that is dropped, nobody wants the rest.
pub(crate) struct ClientBody(Rc<Wire>);

impl ClientBody {
    pub(super) fn new(wire: &Rc<Wire>) -> Self {
        wire.is_read();
        Self(Rc::clone(wire))
    }

    /// The next part. With the first one asked for, a client that waits for it is told to continue.
    pub(crate) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.0.poll_body(cx)
    }

    /// Whether nothing more will come.
    pub(crate) fn is_end(&self) -> bool {
        self.0.body().is_end()
    }

    /// Bytes to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.0.body().left()
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        self.0.is_read_no_more();
    }
}

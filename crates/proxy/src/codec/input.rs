//! What was read of a socket and not yet taken: between two messages, nothing.
//!
//! Bytes are read into a buffer that belongs to the worker; what is small is copied out of it, so that thousands of waiting
//! connections have no buffers.

use super::work::copies;
use crate::worker::Worker;
use bytes::{BufMut, Bytes, BytesMut};
use std::{
    cell::{RefCell, RefMut},
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// Bytes of one read: as fast as twice as much for large bodies (docs/decisions/0006).
pub(crate) const READ_MAX: usize = 32 * 1024;

/// Up to this, what was read is copied out of the worker's buffer; more is taken with the buffer, which is then made anew.
const COPY_MAX: usize = 8 * 1024;

/// What was read and not yet taken.
#[derive(Default)]
pub(crate) struct Input(RefCell<Bytes>);

impl Input {
    pub(crate) fn bytes(&self) -> RefMut<'_, Bytes> {
        self.0.borrow_mut()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// All of it; it may be held by nobody but the taker.
    pub(crate) fn take(&self) -> Bytes {
        self.0.take()
    }

    /// Reads more; 0: the peer has ended its side.
    pub(crate) fn poll_read<R: AsyncRead + Unpin>(
        &self,
        from: &mut R,
        cx: &mut Context<'_>,
        worker: &Worker,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = worker.read_buffer();
        buffer.reserve(READ_MAX);
        let result = poll_read_buf(Pin::new(from), cx, &mut (&mut *buffer).limit(worker.read_max()));
        if matches!(result, Poll::Ready(Ok(1..))) {
            keep(&mut self.0.borrow_mut(), &mut buffer);
        }
        result
    }
}

/// What waits for more has room for a quarter more, and for so many bytes at least: each byte is copied five times at most, however few come
/// at a time, and a connection that waits does not hold twice what it has sent.
const GROWTH_MIN: usize = 32;

/// Moves what was read out of the worker's buffer.
pub(super) fn keep(input: &mut Bytes, buffer: &mut BytesMut) {
    if !input.is_empty() {
        *input = joined(std::mem::take(input), buffer);
        buffer.clear();
    } else if buffer.len() <= COPY_MAX {
        copies(buffer.len());
        *input = Bytes::copy_from_slice(buffer);
        buffer.clear();
    } else {
        *input = buffer.split().freeze();
    }
}

/// These bytes with more behind them; in their place if there is room and nothing else holds them.
fn joined(input: Bytes, more: &[u8]) -> Bytes {
    copies(more.len());
    let larger = |input: &[u8]| {
        copies(input.len());
        let mut larger = BytesMut::with_capacity(input.len() + more.len().max(input.len() / 4).max(GROWTH_MIN));
        larger.extend_from_slice(input);
        larger
    };
    let mut all = match input.try_into_mut() {
        Ok(input) if input.capacity() - input.len() >= more.len() => input,
        Ok(input) => larger(&input),
        Err(held) => larger(&held),
    };
    all.extend_from_slice(more);
    all.freeze()
}

/// A head, or trailers, that are not complete: so many bytes are known to have no end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(usize);

impl Seen {
    /// Whether reading it again is worth while: there is something, and an empty line may have come with what is new.
    pub(crate) fn may_end(self, input: &[u8]) -> bool {
        !input.is_empty() && (self.0 == 0 || ends_within(input, self.0))
    }

    /// All of it has no end.
    pub(crate) fn all(input: &[u8]) -> Self {
        Self(input.len())
    }
}

/// Whether an empty line may end behind the first `seen` bytes.
fn ends_within(input: &[u8], seen: usize) -> bool {
    let new = &input[seen.saturating_sub(3).min(input.len())..];
    new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n")
}

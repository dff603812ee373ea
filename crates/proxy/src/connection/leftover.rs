//! What a client of HTTP/2 still sends of a request that has been answered.
//!
//! A stream whose request has not ended must be reset behind its answer (RFC 9113, section 8.1: RST_STREAM with NO_ERROR), and some clients lose
//! the answer with that: curl 7.88 takes the reset for a failure of its upload. So what still comes is read and discarded for a while first,
//! as at the end of a connection of HTTP/1.1 (`http1/linger`). The other streams of the connection go on meanwhile; this one counts
//! against what `h2` allows its client at a time, and holds no endpoint.

use super::{
    client::ClientConnection,
    http1::{ALL_MAX, QUIET_MAX},
    streams::Offer,
};
use crate::{body::Upload, worker::Timer};
use std::task::{Context, Poll};

/// So many bytes are discarded at most: more than nearly all uploads have, and a second of a fast network.
const BYTES_MAX: u64 = 64 << 20;

/// The rest of an upload.
pub(super) struct Leftover {
    upload: Upload,
    left: u64,
    quiet: Timer,
    whole: Timer,
}

impl Leftover {
    /// What is left of a stream's request behind its answer, if its client may still be sending it.
    pub(super) fn of(offer: &Offer, connection: &ClientConnection) -> Option<Self> {
        let upload = offer.take_upload().filter(Upload::goes_on)?;
        let [quiet, whole] = [QUIET_MAX, ALL_MAX].map(|limit| {
            let timer = connection.timer();
            timer.set(limit);
            timer
        });
        Some(Self { upload, left: BYTES_MAX, quiet, whole })
    }

    /// Ready when it has ended, or was reset, or has had its time. Dropped before its end, the stream is reset (NO_ERROR).
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.upload.poll_discard(cx) {
                Poll::Ready(Some(bytes)) => {
                    let Some(left) = self.left.checked_sub(bytes) else { return Poll::Ready(()) };
                    self.left = left;
                    self.quiet.set(QUIET_MAX);
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if self.whole.poll(cx).is_ready() => return Poll::Ready(()),
                Poll::Pending => return self.quiet.poll(cx),
            }
        }
    }
}

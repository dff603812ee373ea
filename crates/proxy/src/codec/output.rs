//! What is still to be written of a message: its head, and its body as it comes.
//!
//! A head waits for the first part of a body that is there already, so that both leave in one system call.

use super::fields;
use crate::{body::Body, request::lists, worker::Worker};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as _, Frame};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// The end of a chunk, that of a body, and both.
const CRLF: &[u8] = b"\r\n";
const LAST: &[u8] = b"0\r\n\r\n";
const CRLF_LAST: &[u8] = b"\r\n0\r\n\r\n";

/// The body ended early, or is not as long as was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut;

/// What is still to be written. In this order: `head` from `at` on, `data`, `tail`.
#[derive(Default)]
pub(crate) struct Output {
    head: Vec<u8>,
    at: usize,
    data: Bytes,
    tail: &'static [u8],
    body: Option<Body>,
    framing: Framing,
}

/// How the end of a body is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length, of which so much is left.
    Length(u64),
    /// By a last chunk, and trailers that were announced in these fields.
    Chunked { announced: Vec<HeaderValue> },
    /// By the end of the connection.
    UntilClose,
    /// There is no body.
    #[default]
    None,
}

impl Output {
    /// A head, and the body that it has announced so.
    pub(crate) fn new(head: Vec<u8>, body: Body, framing: Framing) -> Self {
        let body = (framing != Framing::None).then_some(body);
        Self { head, body, framing, ..Self::default() }
    }

    /// Whether bytes wait to be written.
    pub(crate) fn waits(&self) -> bool {
        self.at < self.head.len() || !self.data.is_empty() || !self.tail.is_empty()
    }

    /// Whether there is nothing more to come either.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.is_none()
    }

    /// What waits, for one write.
    fn slices(&self) -> [IoSlice<'_>; 3] {
        [IoSlice::new(&self.head[self.at..]), IoSlice::new(&self.data), IoSlice::new(self.tail)]
    }

    /// So many bytes of it were written.
    fn wrote(&mut self, mut bytes: usize) {
        let of_head = bytes.min(self.head.len() - self.at);
        self.at += of_head;
        bytes -= of_head;
        let of_data = bytes.min(self.data.len());
        self.data.advance(of_data);
        self.tail = &self.tail[bytes - of_data..];
        if self.at == self.head.len() {
            self.head.clear();
            self.at = 0;
        }
    }

    /// Nothing more is written. Gives the buffer back to its worker.
    pub(crate) fn end(&mut self, worker: &Worker) {
        worker.take_back_head(std::mem::take(&mut self.head));
        *self = Self::default();
    }

    /// Writes all that waits.
    pub(crate) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        cx: &mut Context<'_>,
        mut wrote: impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        while self.waits() {
            let slices = self.slices();
            let here = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(0);
            let upto = slices.iter().rposition(|slice| !slice.is_empty()).unwrap_or(0);
            let written = ready!(Pin::new(&mut *to).poll_write_vectored(cx, &slices[here..=upto]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            wrote(written);
            self.wrote(written);
        }
        Pin::new(to).poll_flush(cx)
    }

    /// Asks for the next part of the body. Pending: it is not here yet; all that waits has to be written all the same.
    pub(crate) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        while self.data.is_empty() && self.tail.is_empty() {
            let Some(body) = &mut self.body else { break };
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let last = body.is_end_stream();
                    self.take(frame, last)?;
                }
                Some(Err(_)) => return Poll::Ready(Err(Cut)),
                None => self.ends(false)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, frame: Frame<Bytes>, last: bool) -> Result<(), Cut> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.trailers(&trailers);
                }
                return Ok(());
            }
        };
        if data.is_empty() {
            return if last { self.ends(false) } else { Ok(()) };
        }
        match &mut self.framing {
            Framing::Length(left) => *left = left.checked_sub(data.len() as u64).ok_or(Cut)?,
            Framing::Chunked { .. } => {
                hexadecimal(data.len(), &mut self.head);
                self.tail = CRLF;
            }
            Framing::UntilClose | Framing::None => {}
        }
        self.data = data;
        if last { self.ends(true) } else { Ok(()) }
    }

    /// The body is over; perhaps within a chunk.
    fn ends(&mut self, within: bool) -> Result<(), Cut> {
        self.body = None;
        match self.framing {
            Framing::Length(left) if left > 0 => return Err(Cut),
            Framing::Chunked { .. } => self.tail = if within { CRLF_LAST } else { LAST },
            _ => {}
        }
        Ok(())
    }

    /// The last thing of a chunked body. Only those that the head has announced (RFC 9110, section 6.6.2): a recipient may not have kept
    /// room for others.
    fn trailers(&mut self, trailers: &HeaderMap) {
        self.body = None;
        let Framing::Chunked { announced } = &self.framing else { return };
        self.head.extend_from_slice(b"0\r\n");
        let known = |name: &HeaderName| announced.iter().any(|line| lists(line, name.as_str()));
        for (name, value) in trailers.iter().filter(|(name, _)| known(name)) {
            fields::write(name, value, &mut self.head);
        }
        self.tail = CRLF;
    }
}

/// A chunk's size and its line's end.
fn hexadecimal(size: usize, bytes: &mut Vec<u8>) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let digit = size >> (digit * 4) & 15;
        bytes.push(b"0123456789abcdef"[digit]);
    }
    bytes.extend_from_slice(CRLF);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunks_size_is_written_in_hexadecimal() {
        for (size, line) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0xabc_def0, "abcdef0\r\n")] {
            let mut bytes = Vec::new();
            hexadecimal(size, &mut bytes);
            assert_eq!(bytes, line.as_bytes());
        }
    }
}

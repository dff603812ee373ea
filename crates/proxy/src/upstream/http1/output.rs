//! What is still to be written of a request: its head, and its body as it comes.
//!
//! A head waits for the first part of a body that is there already, so that both leave in one system call.

use super::head;
use crate::{
    body::Body,
    request::{lists, plain_length},
    worker::Worker,
};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body::{Body as _, Frame};
use std::{
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The end of a chunk, that of a body, and both.
const CRLF: &[u8] = b"\r\n";
const LAST: &[u8] = b"0\r\n\r\n";
const CRLF_LAST: &[u8] = b"\r\n0\r\n\r\n";

/// The body of a request ended early, or is not as long as was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut;

/// What is still to be written. In this order: `head` from `at` on, `data`, `tail`.
#[derive(Default)]
pub(super) struct Output {
    head: Vec<u8>,
    at: usize,
    data: Bytes,
    tail: &'static [u8],
    body: Option<Body>,
    framing: Framing,
}

/// How the end of the body is told.
#[derive(Default)]
enum Framing {
    /// By its length, of which so much is left.
    Length(u64),
    /// By a last chunk, and trailers that were announced in these fields.
    Chunked { announced: Vec<HeaderValue> },
    #[default]
    None,
}

impl Output {
    /// All of a request, whose body it takes. `bytes` is an empty buffer.
    pub(super) fn of(request: &mut Request<Body>, mut bytes: Vec<u8>) -> Self {
        let body = std::mem::take(request.body_mut());
        let mut untold = None;
        // What the head says is what must follow, also when the body has turned out to be empty since it was made.
        let framing = if request.headers().contains_key(header::TRANSFER_ENCODING) {
            Framing::Chunked { announced: request.headers().get_all(header::TRAILER).iter().cloned().collect() }
        } else if let Some(told) = plain_length(request.headers()) {
            match told.to_str().ok().and_then(|told| told.parse().ok()) {
                Some(0) | None => Framing::None,
                Some(length) => Framing::Length(length),
            }
        } else if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
            untold = Some(length);
            Framing::Length(length)
        } else {
            Framing::None
        };
        head::write(request, untold, &mut bytes);
        let body = (!matches!(framing, Framing::None)).then_some(body);
        Self { head: bytes, body, framing, ..Self::default() }
    }

    /// Whether bytes wait to be written.
    pub(super) fn waits(&self) -> bool {
        self.at < self.head.len() || !self.data.is_empty() || !self.tail.is_empty()
    }

    /// Whether there is nothing more to come either.
    pub(super) fn is_whole(&self) -> bool {
        self.body.is_none()
    }

    /// What waits, for one write.
    pub(super) fn slices(&self) -> [IoSlice<'_>; 3] {
        [IoSlice::new(&self.head[self.at..]), IoSlice::new(&self.data), IoSlice::new(self.tail)]
    }

    /// So many bytes of it were written.
    pub(super) fn wrote(&mut self, mut bytes: usize) {
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
    pub(super) fn end(&mut self, worker: &Worker) {
        worker.take_back_head(std::mem::take(&mut self.head));
        *self = Self::default();
    }

    /// Asks for the next part of the body. Pending: it is not here yet; all that waits has to be written all the same.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
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
            Framing::None => {}
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
            head::write_field(name, value, &mut self.head);
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
    use std::task::Waker;

    /// All that leaves of a request with this field and body.
    fn leaves(field: (&'static str, &'static str), body: Body) -> Result<String, Cut> {
        let mut request = Request::new(body);
        request.headers_mut().insert(field.0, HeaderValue::from_static(field.1));
        let (mut output, mut bytes) = (Output::of(&mut request, Vec::new()), Vec::new());
        loop {
            let Poll::Ready(asked) = output.poll_body(&mut Context::from_waker(Waker::noop())) else {
                panic!("it is there")
            };
            asked?;
            if !output.waits() {
                assert!(output.is_whole());
                return Ok(String::from_utf8(bytes).unwrap());
            }
            // One byte at a time, as from a socket that is nearly full.
            let next = output.slices().iter().find_map(|slice| slice.first().copied()).unwrap();
            bytes.push(next);
            output.wrote(1);
        }
    }

    #[test]
    fn what_follows_a_head_is_what_it_says() {
        let full = || Body::from("hello".to_owned());
        let head = "GET / HTTP/1.1\r\n";
        for (field, body, left) in [
            (("x", "y"), Body::empty(), Ok("x: y\r\n\r\n")),
            (("x", "y"), full(), Ok("x: y\r\ncontent-length: 5\r\n\r\nhello")),
            (("content-length", "5"), full(), Ok("content-length: 5\r\n\r\nhello")),
            (("content-length", "0"), Body::empty(), Ok("content-length: 0\r\n\r\n")),
            (("transfer-encoding", "chunked"), full(), Ok("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")),
            (("transfer-encoding", "chunked"), Body::empty(), Ok("transfer-encoding: chunked\r\n\r\n0\r\n\r\n")),
            (("content-length", "4"), full(), Err(Cut)),
            (("content-length", "6"), full(), Err(Cut)),
            (("content-length", "6"), Body::empty(), Err(Cut)),
        ] {
            assert_eq!(leaves(field, body), left.map(|left| format!("{head}{left}")), "{field:?}");
        }
    }

    #[test]
    fn a_chunks_size_is_written_in_hexadecimal() {
        for (size, line) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0xabc_def0, "abcdef0\r\n")] {
            let mut bytes = Vec::new();
            hexadecimal(size, &mut bytes);
            assert_eq!(bytes, line.as_bytes());
        }
    }
}

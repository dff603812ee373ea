//! A socket and what was read from it but not yet used.
//!
//! Under `client` and `origin`. Knows where an HTTP/1.1 message ends (RFC 9112, section 6.3) and nothing else about it.

use super::message::{self, Framing};
use crate::place::Socket;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How the peer ended its side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// An orderly end.
    Fin,
    /// A reset.
    Reset,
}

/// A message's bytes in the order they came, or how far they got.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    /// Everything from the first byte of the head.
    pub(super) bytes: Vec<u8>,
    /// How many of them are the head, its empty line included; `None` if the head did not end.
    pub(super) head: Option<usize>,
    /// The body, taken out of its chunks.
    pub(super) body: Vec<u8>,
    /// The peer ended in the middle, so.
    pub(super) cut: Option<Ending>,
}

#[derive(Debug)]
pub(super) struct Buffered {
    socket: Socket,
    unused: Vec<u8>,
    ended: Option<Ending>,
}

impl Buffered {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, unused: Vec::new(), ended: None }
    }

    /// Reads once more; an end of the connection is an `Err`.
    async fn fill(&mut self, seen: &mut impl FnMut(&[u8])) -> Result<(), Ending> {
        if let Some(ending) = self.ended {
            return Err(ending);
        }
        let before = self.unused.len();
        self.unused.reserve(16 * 1024);
        let ending = match self.socket.read_buf(&mut self.unused).await {
            Ok(0) => Ending::Fin,
            Ok(_) => {
                seen(&self.unused[before..]);
                return Ok(());
            }
            Err(_) => Ending::Reset,
        };
        self.ended = Some(ending);
        Err(ending)
    }

    /// One message: its head, then the body that `framing` finds in it. `seen` is shown every byte as it arrives.
    pub(super) async fn message(
        &mut self,
        framing: impl Fn(&[u8]) -> Framing,
        seen: &mut impl FnMut(&[u8]),
    ) -> Result<Taken, Ending> {
        let mut taken = Taken::default();
        let head = match self.until(b"\r\n\r\n", seen).await {
            Ok(head) => head,
            Err(ending) if self.unused.is_empty() => return Err(ending),
            Err(ending) => {
                taken.bytes = std::mem::take(&mut self.unused);
                taken.cut = Some(ending);
                return Ok(taken);
            }
        };
        taken.head = Some(head.len());
        taken.bytes.extend_from_slice(&head);
        let body = match framing(&head) {
            Framing::None => Ok(()),
            Framing::Length(length) => self.exactly(length, &mut taken, seen).await,
            Framing::Chunked => self.chunked(&mut taken, seen).await,
            Framing::ToTheEnd => match self.all_that_comes(&mut taken, seen).await {
                Ending::Fin => Ok(()),
                Ending::Reset => Err(Ending::Reset),
            },
        };
        taken.cut = body.err();
        Ok(taken)
    }

    /// Up to and including `mark`; on an end everything stays unused.
    async fn until(&mut self, mark: &[u8], seen: &mut impl FnMut(&[u8])) -> Result<Vec<u8>, Ending> {
        loop {
            if let Some(at) = message::find(&self.unused, mark) {
                return Ok(self.unused.drain(..at + mark.len()).collect());
            }
            self.fill(seen).await?;
        }
    }

    async fn exactly(&mut self, n: usize, taken: &mut Taken, seen: &mut impl FnMut(&[u8])) -> Result<(), Ending> {
        let mut missing = n;
        loop {
            let part = missing.min(self.unused.len());
            let bytes: Vec<u8> = self.unused.drain(..part).collect();
            taken.bytes.extend_from_slice(&bytes);
            taken.body.extend_from_slice(&bytes);
            missing -= part;
            if missing == 0 {
                return Ok(());
            }
            self.fill(seen).await?;
        }
    }

    async fn chunked(&mut self, taken: &mut Taken, seen: &mut impl FnMut(&[u8])) -> Result<(), Ending> {
        loop {
            let line = self.line(taken, seen).await?;
            let digits = line.split(|b| *b == b';').next().unwrap_or_default();
            let text = std::str::from_utf8(digits).unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(text, 16) else {
                // Not a chunk: the rest is whatever it is. Shown as bytes, and as a message that never ended.
                return Err(self.all_that_comes(taken, seen).await);
            };
            if size == 0 {
                while !self.line(taken, seen).await?.is_empty() {}
                return Ok(());
            }
            self.exactly(size, taken, seen).await?;
            self.line(taken, seen).await?;
        }
    }

    /// One line, without its CRLF.
    async fn line(&mut self, taken: &mut Taken, seen: &mut impl FnMut(&[u8])) -> Result<Vec<u8>, Ending> {
        match self.until(b"\r\n", seen).await {
            Ok(line) => {
                taken.bytes.extend_from_slice(&line);
                Ok(line[..line.len() - 2].to_vec())
            }
            Err(ending) => {
                taken.bytes.append(&mut self.unused);
                Err(ending)
            }
        }
    }

    async fn all_that_comes(&mut self, taken: &mut Taken, seen: &mut impl FnMut(&[u8])) -> Ending {
        let ending = self.end(seen).await;
        taken.bytes.extend_from_slice(&self.unused);
        taken.body.append(&mut self.unused);
        ending
    }

    /// Reads until the peer ends; what it sent stays unused.
    pub(super) async fn end(&mut self, seen: &mut impl FnMut(&[u8])) -> Ending {
        loop {
            if let Err(ending) = self.fill(seen).await {
                return ending;
            }
        }
    }

    /// The next `n` bytes; on an end everything stays unused.
    pub(super) async fn take(&mut self, n: usize) -> Result<Vec<u8>, Ending> {
        while self.unused.len() < n {
            self.fill(&mut |_| ()).await?;
        }
        Ok(self.unused.drain(..n).collect())
    }

    pub(super) fn take_unused(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unused)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.socket.flush().await
    }

    pub(super) async fn finish_writing(&mut self) -> io::Result<()> {
        self.socket.shutdown().await
    }

    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }
}

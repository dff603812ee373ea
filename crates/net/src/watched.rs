//! A stream that can be asked, from elsewhere on its thread, whether the peer has closed it or said something unasked.
//!
//! A connection that waits in a pool belongs to a task that reads it, and that task may not have had its turn yet when the
//! peer's close is already here. Before a request that cannot be repeated is sent, one look at the kernel tells.

use crate::Stream;
use rustix::net::{RecvFlags, recv};
use std::{
    cell::Cell,
    io,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that is watched.
#[derive(Debug)]
pub struct Watched {
    stream: Stream,
    open: Rc<Cell<Option<RawFd>>>,
}

/// Looks at a [`Watched`] stream.
#[derive(Clone, Debug)]
pub struct Watch(Rc<Cell<Option<RawFd>>>);

impl Watched {
    /// See [`Stream::abort_on_close`].
    pub fn abort_on_close(&self) {
        self.stream.abort_on_close();
    }

    /// Takes a stream, and gives the watch over it.
    #[must_use]
    pub fn new(stream: Stream) -> (Self, Watch) {
        let fd = stream.fd().as_raw_fd();
        let open = Rc::new(Cell::new(Some(fd)));
        (Self { stream, open: Rc::clone(&open) }, Watch(open))
    }
}

impl Watch {
    /// Whether the stream is open and the peer has neither closed it nor sent anything. One system call.
    #[must_use]
    #[expect(
        unsafe_code,
        reason = "the stream belongs to another task of this thread; its descriptor is only looked at"
    )]
    pub fn is_quiet(&self) -> bool {
        let Some(fd) = self.0.get() else { return false };
        // SAFETY: the cell holds the descriptor of a stream that `Watched` owns, and `Watched` empties the cell before it drops the
        // stream. Both sit on one thread (`Rc`), so the stream cannot be dropped while this runs.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let mut byte = [0u8];
        let looked = recv(fd, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.open.set(None);
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::net::TcpStream;

    async fn pair() -> (Watched, Watch, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().unwrap();
        let (watched, watch) = Watched::new(Stream::Tcp(ours));
        (watched, watch, theirs)
    }

    fn settles(condition: impl Fn() -> bool) -> bool {
        (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            condition()
        })
    }

    #[tokio::test]
    async fn a_close_and_a_byte_are_seen_before_anybody_reads() {
        let (_stream, watch, theirs) = pair().await;
        assert!(watch.is_quiet());
        drop(theirs);
        assert!(settles(|| !watch.is_quiet()));

        let (_stream, watch, mut theirs) = pair().await;
        theirs.write_all(b"x").unwrap();
        assert!(settles(|| !watch.is_quiet()));
    }

    #[tokio::test]
    async fn a_stream_that_is_gone_is_not_quiet() {
        let (stream, watch, _theirs) = pair().await;
        drop(stream);
        assert!(!watch.is_quiet());
    }
}

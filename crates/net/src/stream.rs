//! One connection, TCP or unix, perhaps with TLS over it.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{RecvFlags, recv},
};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsStream;

/// Up to this many bytes in pieces are copied together before they are written.
const GATHER_MAX: usize = 2048;

/// One connection.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
    /// Within TLS, over one of the others. Boxed: it is large, and the others need not be.
    Tls(Box<TlsStream<Stream>>),
}

/// The other side of an accepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address and port.
    Ip(SocketAddr),
    /// A process on this machine.
    Unix,
}

impl Peer {
    /// The address, where there is one; a v4-mapped v6 address is the v4 one.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip().to_canonical()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{}", SocketAddr::new(address.ip().to_canonical(), address.port())),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl Stream {
    /// Our own address, where there is one.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
            Self::Tls(stream) => stream.get_ref().0.local(),
        }
    }

    /// When this connection is closed, the peer gets a reset instead of an orderly end. The only way to show that an answer
    /// which ends with the connection (RFC 9112, section 6.3, rule 8) was cut: an orderly end would look complete.
    ///
    /// Within TLS the end is told by a `close_notify`, which is sent by `shutdown` and by nothing else; without it, and with the reset,
    /// the answer is cut for both layers.
    pub fn abort_on_close(&self) {
        match self {
            // Failing means that the connection is gone already.
            Self::Tcp(stream) => drop(socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))),
            Self::Unix(_) => {}
            Self::Tls(stream) => stream.get_ref().0.abort_on_close(),
        }
    }

    /// Waits for bytes and looks at them without taking them; 0 when the peer has ended. Of the socket: what is within TLS cannot be
    /// looked at.
    ///
    /// # Errors
    /// The kernel's word.
    pub async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let look = |fd: BorrowedFd<'_>, bytes: &mut [u8]| {
            let (seen, _) = recv(fd, bytes, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
            Ok(seen)
        };
        match self {
            Self::Tcp(stream) => stream.async_io(Interest::READABLE, || look(stream.as_fd(), bytes)).await,
            Self::Unix(stream) => stream.async_io(Interest::READABLE, || look(stream.as_fd(), bytes)).await,
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Waits until it is clear whether the first bytes that the peer sends are these, 32 at most, and takes none of them. A peer that ends
    /// before says that they are not. Of the socket, as for [`Stream::peek`]. Whoever reads before it is clear must register again.
    ///
    /// # Errors
    /// The kernel's word.
    pub fn poll_begins_with(&self, expected: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let look = || {
            let mut bytes = [0; 32];
            let (seen, _) = recv(self.fd(), &mut bytes[..expected.len()], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
            if seen == 0 || !expected.starts_with(&bytes[..seen]) {
                return Ok(false);
            }
            if seen == expected.len() {
                return Ok(true);
            }
            // To tokio this is a socket with nothing to read until more comes. Behind an end nothing comes, and it would be asked for ever.
            if ended(self.fd())? { Ok(false) } else { Err(io::ErrorKind::WouldBlock.into()) }
        };
        loop {
            let looked = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_io(Interest::READABLE, look)
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_io(Interest::READABLE, look)
                }
                Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            };
            match looked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                looked => return Poll::Ready(looked),
            }
        }
    }

    /// Makes the runtime look anew whether there is something to read: it has been told that there is nothing, while not all was taken.
    ///
    /// # Errors
    /// The kernel's word.
    pub fn register_again(self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream.into_std()?).map(Self::Tcp),
            Self::Unix(stream) => UnixStream::from_std(stream.into_std()?).map(Self::Unix),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether the peer has neither closed the connection nor sent anything that was not read, as the kernel knows. One system call.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let looked = recv(self.fd(), &mut [0_u8][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the connection has failed: the peer has reset it, or is known to be gone. One system call.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        rustix::net::sockopt::socket_error(self.fd()).map_or(true, |error| error.is_err())
    }

    /// Ends the socket at once, both ways and without a word of TLS. Whoever reads is woken.
    pub fn shut_down(&self) {
        // Failing means that it has ended already.
        let _ = rustix::net::shutdown(self.fd(), rustix::net::Shutdown::Both);
    }

    /// The socket beneath.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.get_ref().0.fd(),
        }
    }
}

/// Whether the peer has ended its side, behind what was not read yet.
fn ended(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut asked = [PollFd::from_borrowed_fd(fd, PollFlags::RDHUP)];
    poll(&mut asked, Some(&Timespec::default()))?;
    Ok(!asked[0].revents().is_empty())
}

/// `SIOCOUTQ` of asm-generic/sockios.h, which is `TIOCOUTQ`: man 7 tcp and man 7 unix have it.
const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;

impl Stream {
    /// Bytes that were written and that the peer's system has not acknowledged; for a unix socket, those that the peer has not read,
    /// and some for the kernel's own use. 0 where the system cannot tell. One system call.
    #[must_use]
    #[expect(unsafe_code, reason = "rustix knows no safe form of this question")]
    pub fn unsent(&self) -> u64 {
        // SAFETY: this request writes one `int` and touches nothing else (Linux, net/ipv4/tcp.c and net/unix/af_unix.c).
        let unsent =
            unsafe { rustix::ioctl::ioctl(self.fd(), rustix::ioctl::Getter::<SIOCOUTQ, std::ffi::c_int>::new()) };
        unsent.ok().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
    }
}

impl Stream {
    /// Bytes that can be written at once, by the kernel's own measure: what its send buffer may hold, less what it holds. `None` where the
    /// system cannot tell. One system call.
    #[must_use]
    #[expect(unsafe_code, reason = "no crate has a safe form of this question")]
    pub fn room(&self) -> Option<usize> {
        let mut meminfo = [0_u32; SK_MEMINFO_VARS];
        let mut length = libc::socklen_t::try_from(size_of_val(&meminfo)).ok()?;
        // SAFETY: SO_MEMINFO writes as many bytes as `length` says at most (Linux, net/core/sock.c), and the array has them.
        let result = unsafe {
            libc::getsockopt(
                self.fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                meminfo.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        // What TCP has queued, and what a unix socket has handed over.
        let held = meminfo[SK_MEMINFO_WMEM_QUEUED].max(meminfo[SK_MEMINFO_WMEM_ALLOC]);
        (result == 0).then(|| meminfo[SK_MEMINFO_SNDBUF].saturating_sub(held) as usize)
    }
}

/// What SO_MEMINFO tells, in this order (Linux, include/uapi/linux/sock_diag.h).
const SK_MEMINFO_WMEM_ALLOC: usize = 2;
const SK_MEMINFO_SNDBUF: usize = 3;
const SK_MEMINFO_WMEM_QUEUED: usize = 5;
const SK_MEMINFO_VARS: usize = 9;

macro_rules! either {
    ($self:ident, $method:ident($($arg:expr),*)) => {
        match $self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).$method($($arg),*),
            Stream::Unix(stream) => Pin::new(stream).$method($($arg),*),
            Stream::Tls(stream) => Pin::new(&mut **stream).$method($($arg),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // One send of a small copy costs the kernel less than a writev of two pieces: it has no vector to check and to walk.
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if let [one] = bufs {
            return either!(self, poll_write(cx, one));
        }
        if total > GATHER_MAX {
            return either!(self, poll_write_vectored(cx, bufs));
        }
        let mut gathered = [0; GATHER_MAX];
        let mut at = 0;
        for buf in bufs {
            gathered[at..at + buf.len()].copy_from_slice(buf);
            at += buf.len();
        }
        either!(self, poll_write(cx, &gathered[..total]))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn pair() -> (Stream, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = Stream::Tcp(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        (ours, listener.accept().unwrap().0)
    }

    fn settles(condition: impl Fn() -> bool) -> bool {
        (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            condition()
        })
    }

    #[tokio::test]
    async fn a_close_and_a_byte_are_seen_before_anybody_reads() {
        let (stream, theirs) = pair().await;
        assert!(stream.is_quiet());
        drop(theirs);
        assert!(settles(|| !stream.is_quiet()));

        let (stream, mut theirs) = pair().await;
        theirs.write_all(b"x").unwrap();
        assert!(settles(|| !stream.is_quiet()));
    }

    #[tokio::test]
    async fn first_bytes_are_known_as_soon_as_they_tell_and_are_still_there() {
        for (sent, expected) in [(&b"GET /"[..], false), (b"P", false), (b"PRO", false), (b"PRI * and more", true)] {
            let (tcp, theirs) = pair().await;
            let (unix, other) = std::os::unix::net::UnixStream::pair().unwrap();
            unix.set_nonblocking(true).unwrap();
            let unix = Stream::Unix(UnixStream::from_std(unix).unwrap());
            let peers: [(Stream, Box<dyn Write>); 2] = [(tcp, Box::new(theirs)), (unix, Box::new(other))];
            for (mut stream, mut peer) in peers {
                let begins = async |stream: &Stream, within| {
                    let begins = std::future::poll_fn(|cx| stream.poll_begins_with(b"PRI *", cx));
                    tokio::time::timeout(Duration::from_millis(within), begins).await
                };
                peer.write_all(sent).unwrap();
                if sent == b"P" {
                    assert!(begins(&stream, 50).await.is_err(), "it may be either");
                    stream = stream.register_again().unwrap();
                    assert_eq!(stream.read_u8().await.unwrap(), b'P', "what was looked at can be read");
                    continue;
                }
                assert_eq!(begins(&stream, 5000).await.unwrap().unwrap(), expected);
                assert_eq!(stream.read_u8().await.unwrap(), sent[0]);
            }
        }
    }

    #[tokio::test]
    async fn first_bytes_that_come_one_at_a_time_are_waited_for() {
        let (stream, mut theirs) = pair().await;
        for byte in b"PRI *" {
            let begins = std::future::poll_fn(|cx| stream.poll_begins_with(b"PRI *", cx));
            assert!(tokio::time::timeout(Duration::from_millis(20), begins).await.is_err());
            theirs.write_all(&[*byte]).unwrap();
        }
        let begins = std::future::poll_fn(|cx| stream.poll_begins_with(b"PRI *", cx));
        assert!(tokio::time::timeout(Duration::from_secs(5), begins).await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn a_peer_that_ends_within_its_first_bytes_is_not_waited_for() {
        for sent in [&b""[..], b"PR"] {
            let (stream, mut theirs) = pair().await;
            theirs.write_all(sent).unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            let begins = std::future::poll_fn(|cx| stream.poll_begins_with(b"PRI *", cx));
            assert!(!tokio::time::timeout(Duration::from_secs(5), begins).await.unwrap().unwrap());
        }
    }

    #[tokio::test]
    async fn a_stream_that_is_shut_down_has_ended_for_both() {
        let (mut stream, mut theirs) = pair().await;
        stream.shut_down();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0);
    }

    #[tokio::test]
    async fn how_much_can_be_written_at_once_is_known() {
        let (tcp, _theirs) = pair().await;
        let (unix, _other) = UnixStream::pair().unwrap();
        for mut stream in [tcp, Stream::Unix(unix)] {
            let at_first = stream.room().unwrap();
            assert!(at_first > 0);
            while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(50), stream.write(&[0; 4096])).await {}
            let left = stream.room().unwrap();
            // TCP's buffer may have grown once more behind the last byte.
            assert!(left < at_first / 4, "{left} of {at_first}");
        }
    }

    #[tokio::test]
    async fn a_reset_is_known_without_reading() {
        let (stream, theirs) = pair().await;
        assert!(!stream.is_broken());
        socket2::SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
        drop(theirs);
        assert!(settles(|| stream.is_broken()));
    }

    #[tokio::test]
    async fn what_a_peer_has_not_taken_is_known() {
        let (mut ours, mut theirs) = pair().await;
        assert_eq!(ours.unsent(), 0);
        // As much as anybody takes.
        let mut written = 0;
        while let Ok(Ok(bytes)) = tokio::time::timeout(Duration::from_millis(50), ours.write(&[0; 65536])).await {
            written += bytes as u64;
        }
        let before = ours.unsent();
        assert!(before > 0 && before < written, "{before} of {written}");

        theirs.read_exact(&mut vec![0; 1 << 19]).unwrap();

        assert!(settles(|| ours.unsent() < before));
    }
}

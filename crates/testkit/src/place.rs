//! Where a server of a test is, and a socket to or from it: TCP on loopback or a unix socket.
//!
//! Under everything else here. A `Place` prints as it is written in a configuration file.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    sync::atomic::{AtomicU16, Ordering},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
};
use tokio_rustls::TlsStream;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Place {
    /// A free port on 127.0.0.1, chosen by the kernel when the door is opened.
    #[must_use]
    pub fn loopback() -> Self {
        Self::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// As written in a configuration file or in the ready line.
    ///
    /// # Panics
    /// When it is neither `IP:PORT` nor `unix:/path`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("unix:") {
            Some(path) => Self::Unix(path.into()),
            None => Self::Tcp(text.parse().unwrap_or_else(|_| panic!("'{text}' is neither IP:PORT nor unix:/path"))),
        }
    }

    /// The port.
    ///
    /// # Panics
    /// When this is a unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp(address) => address.port(),
            Self::Unix(path) => panic!("{} has no port", path.display()),
        }
    }

    /// What a client writes into `Host` if nothing else is asked for.
    #[must_use]
    pub fn authority(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }

    /// A connection to it.
    ///
    /// # Errors
    /// What the system says.
    pub async fn connect(&self) -> io::Result<Socket> {
        self.connect_from(None).await
    }

    /// A connection to it from the given local address (such as 127.0.0.2, to be another client).
    ///
    /// # Errors
    /// What the system says.
    pub async fn connect_from(&self, from: Option<IpAddr>) -> io::Result<Socket> {
        match self {
            Self::Tcp(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                if let Some(ip) = from {
                    socket.bind(SocketAddr::new(ip, 0))?;
                }
                let stream = socket.connect(*address).await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
    /// Within TLS.
    Tls(Box<TlsStream<Socket>>),
}

impl Socket {
    /// What both sides agreed to speak within TLS.
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    /// Drops the connection so that a TCP peer gets a RST instead of a FIN.
    pub fn reset(self) {
        match self {
            Self::Tcp(stream) => stream.set_zero_linger().expect("SO_LINGER can be set on an open socket"),
            Self::Unix(_) => {}
            Self::Tls(stream) => match *stream {
                TlsStream::Client(stream) => stream.into_inner().0.reset(),
                TlsStream::Server(stream) => stream.into_inner().0.reset(),
            },
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    // A TLS library that gives up has one attempt to say why, in more than one piece.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub enum Door {
    /// Over TCP.
    Tcp(TcpListener),
    /// Over a unix socket.
    Unix(UnixListener),
}

impl Door {
    /// Binds and listens; returns where, with the port that the kernel chose.
    ///
    /// # Panics
    /// When the place is taken.
    #[must_use]
    pub fn open(place: &Place) -> (Self, Place) {
        match place {
            Place::Tcp(address) => {
                let socket = hold_port(*address);
                let address = socket.local_addr().expect("a bound socket has an address");
                (Self::listen(socket), Place::Tcp(address))
            }
            Place::Unix(path) => {
                let listener = UnixListener::bind(path).unwrap_or_else(|e| panic!("cannot bind {place}: {e}"));
                (Self::Unix(listener), place.clone())
            }
        }
    }

    /// Lets a held port accept.
    pub(crate) fn listen(socket: TcpSocket) -> Self {
        Self::Tcp(socket.listen(1024).expect("a bound socket can listen"))
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the system says.
    pub async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Unix(listener) => Ok(Socket::Unix(listener.accept().await?.0)),
        }
    }
}

/// Binds without listening: whoever connects is refused, and the kernel gives the port to nobody who asks for any.
pub(crate) fn hold_port(address: SocketAddr) -> TcpSocket {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // After a stop our own closed connections linger in TIME_WAIT on this port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        io::Result::Ok(socket)
    };
    bind().unwrap_or_else(|e| panic!("cannot bind {address}: {e}"))
}

/// A port on 127.0.0.1 that nobody uses: for listeners that a reload adds, whose port must be written into the file.
///
/// Taken from below the range in which the kernel chooses by itself, so that no other test is given it meanwhile.
///
/// # Panics
/// When all are taken.
#[must_use]
pub fn unused_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another test process begins elsewhere.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(step)) % COUNT;
        if std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no unused port between {FIRST} and {}", FIRST + COUNT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_printed_as_it_is_written_in_the_file() {
        for text in ["127.0.0.1:80", "[::1]:8080", "unix:/run/a.sock"] {
            assert_eq!(Place::parse(text).to_string(), text);
        }
    }

    #[tokio::test]
    async fn a_held_port_refuses_connections() {
        let held = hold_port(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = held.local_addr().unwrap();
        let refused = Place::Tcp(address).connect().await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}

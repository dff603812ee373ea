//! Listening sockets: one for each worker where the kernel can share an address between them (SO_REUSEPORT), so that
//! workers never wake for each other's connections.
//!
//! Bound on the control thread, before anything is swapped: a busy port refuses the change. Accepted from on a worker.

use crate::{Peer, Stream};
use evenkeel_model::Address;
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use std::{
    io,
    net::SocketAddr,
    os::unix::{fs::FileTypeExt, net::UnixListener as StdUnixListener, net::UnixStream as StdUnixStream},
    path::Path,
};

/// Connections that the kernel holds for us until we accept; the kernel caps it at net.core.somaxconn (listen(2)).
const BACKLOG: i32 = 4096;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("{0} is in use by another process")]
    Busy(Address),
    /// A port below 1024 without the right to it, or a folder without write permission.
    #[error("no permission to listen on {0}")]
    Denied(Address),
    /// The name of a listener has no address.
    #[error("{address}: the name cannot be resolved: {source}")]
    Unresolved {
        /// What was written.
        address: Address,
        /// The resolver's word.
        source: io::Error,
    },
    /// The kernel's word.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// What was written.
        address: Address,
        /// The kernel's word.
        source: io::Error,
    },
}

/// A bound socket, not yet part of a runtime.
#[derive(Debug)]
pub enum Listening {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix; all workers share one queue.
    Unix(StdUnixListener),
}

/// A listening socket in a worker's runtime.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(tokio::net::TcpListener),
    /// Unix.
    Unix(tokio::net::UnixListener),
}

/// Binds `count` sockets to one address. The second value is the address in the end: port 0 has become a number.
///
/// # Errors
/// [`BindError`]; then nothing stays bound.
pub fn bind(address: &Address, count: usize) -> Result<(Vec<Listening>, Address), BindError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Busy(address.clone()),
        io::ErrorKind::PermissionDenied => BindError::Denied(address.clone()),
        _ => BindError::Io { address: address.clone(), source },
    };
    let ip = match address {
        Address::Unix(path) => {
            let first = bind_unix(path).map_err(io)?;
            let mut sockets = Vec::with_capacity(count);
            for _ in 1..count {
                sockets.push(Listening::Unix(first.try_clone().map_err(io)?));
            }
            sockets.push(Listening::Unix(first));
            return Ok((sockets, address.clone()));
        }
        Address::Ip(ip) => *ip,
        Address::Host(name, port) => {
            let unresolved = |source| BindError::Unresolved { address: address.clone(), source };
            let mut found = std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), *port)).map_err(unresolved)?;
            found.next().ok_or_else(|| unresolved(io::ErrorKind::NotFound.into()))?
        }
    };
    let (sockets, local) = bind_tcp(ip, count).map_err(io)?;
    Ok((sockets, Address::Ip(local)))
}

fn bind_tcp(address: SocketAddr, count: usize) -> io::Result<(Vec<Listening>, SocketAddr)> {
    // The first socket is bound without SO_REUSEPORT: with it, a second process of the same user would be let in silently
    // (socket(7)). Once bound it sets the option, and the others may join.
    let first = tcp_socket(address)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    let local = first.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut sockets = vec![first];
    for _ in 1..count {
        let socket = tcp_socket(local)?;
        socket.set_reuse_port(true)?;
        socket.bind(&local.into())?;
        sockets.push(socket);
    }
    // Listening begins only when all are bound: connections are spread over the sockets that listen.
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok((sockets.into_iter().map(|s| Listening::Tcp(s.into())).collect(), local))
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // Only lets us bind while old connections of the port are in TIME_WAIT; a listening socket still refuses (socket(7)).
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn bind_unix(path: &Path) -> io::Result<StdUnixListener> {
    let listener = match StdUnixListener::bind(path) {
        // A socket file outlives its process. It is stale if nobody answers there.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path)?;
            StdUnixListener::bind(path)
        }
        other => other,
    }?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn is_stale(path: &Path) -> bool {
    let socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    socket && StdUnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

impl Listening {
    /// Moves the socket into the runtime of the calling thread.
    ///
    /// # Errors
    /// The kernel's word.
    pub fn into_runtime(self) -> io::Result<Listener> {
        match self {
            Self::Tcp(socket) => tokio::net::TcpListener::from_std(socket).map(Listener::Tcp),
            Self::Unix(socket) => tokio::net::UnixListener::from_std(socket).map(Listener::Unix),
        }
    }
}

impl Listener {
    /// Waits for a connection.
    ///
    /// # Errors
    /// The kernel's word; EMFILE and ENFILE mean that no descriptor is left.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Takes a connection if one waits.
    ///
    /// # Errors
    /// As for [`Listener::accept`].
    pub fn poll_accept(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<(Stream, Peer)>> {
        match self {
            Self::Tcp(socket) => socket.poll_accept(cx).map_ok(|(stream, peer)| {
                // As in `connect`; failing means that the connection is gone already, and reading will say so.
                let _ = stream.set_nodelay(true);
                (Stream::Tcp(stream), Peer::Ip(peer))
            }),
            Self::Unix(socket) => socket.poll_accept(cx).map_ok(|(stream, _)| (Stream::Unix(stream), Peer::Unix)),
        }
    }
}

/// A classic BPF program (Linux, Documentation/networking/filter.rst). A listening socket shows it the TCP header of whatever comes for it;
/// it drops SYN without ACK and lets everything else pass.
const NO_SYN: [SockFilter; 4] = [
    // The byte of flags (RFC 9293, section 3.1).
    SockFilter::new(0x30, 0, 0, 13), // ldb [13]
    SockFilter::new(0x45, 0, 1, 2),  // jset #SYN
    SockFilter::new(0x06, 0, 0, 0),  // ret #0: drop
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

impl Listener {
    /// From now on the queue only shrinks. Between the last look at it and the close another connection could come, and would be reset;
    /// so new ones are not answered any more, and are refused or find a successor when they ask again a second later (RFC 6298). Those
    /// that are half open come to their end. A unix socket is left alone: who removes its file has closed it to new ones.
    pub fn shut_the_door(&self) {
        if let Self::Tcp(socket) = self {
            // Without it, what comes in the last moment is reset, as everywhere else.
            let _ = SockRef::from(socket).attach_filter(&NO_SYN);
        }
    }

    /// Takes what is at the head of the queue now. [`Listener::poll_accept`] may not know yet that there is something.
    ///
    /// # Errors
    /// `WouldBlock`: there is nothing. Otherwise as for [`Listener::accept`].
    pub fn take(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = SockRef::from(socket).accept()?;
                let stream = tokio::net::TcpStream::from_std(nonblocking(stream)?.into())?;
                let _ = stream.set_nodelay(true);
                let peer = peer.as_socket().ok_or(io::ErrorKind::ConnectionAborted)?;
                Ok((Stream::Tcp(stream), Peer::Ip(peer)))
            }
            Self::Unix(socket) => {
                let (stream, _) = SockRef::from(socket).accept()?;
                Ok((Stream::Unix(tokio::net::UnixStream::from_std(nonblocking(stream)?.into())?), Peer::Unix))
            }
        }
    }
}

fn nonblocking(socket: Socket) -> io::Result<Socket> {
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, time::Duration};
    use tokio::io::AsyncReadExt;

    #[test]
    fn workers_share_a_port_and_a_stranger_is_refused() {
        let (sockets, local) = bind(&"127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_eq!(sockets.len(), 3);
        assert_ne!(local.port(), Some(0));
        assert!(matches!(bind(&local, 2), Err(BindError::Busy(address)) if address == local));
        drop(sockets);
        bind(&local, 2).unwrap();
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let address: Address = format!("unix:{}/s", folder.path().display()).parse().unwrap();
        let (sockets, _) = bind(&address, 2).unwrap();
        assert!(matches!(bind(&address, 1), Err(BindError::Busy(_))));
        drop(sockets);
        bind(&address, 1).unwrap();
    }

    #[tokio::test]
    async fn every_connection_reaches_one_of_the_sockets() {
        let (sockets, local) = bind(&"127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let Address::Ip(local) = local else { panic!("an IP address") };
        let clients: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(local).unwrap()).collect();
        let (seen, mut accepted) = tokio::sync::mpsc::unbounded_channel();
        for socket in sockets {
            let seen = seen.clone();
            tokio::spawn(async move {
                let listener = socket.into_runtime().unwrap();
                while let Ok((_, peer)) = listener.accept().await {
                    seen.send(peer).unwrap();
                }
            });
        }
        for _ in &clients {
            assert!(matches!(accepted.recv().await.unwrap(), Peer::Ip(a) if a.ip().is_loopback()));
        }
    }

    #[tokio::test]
    async fn a_shut_door_lets_in_who_stands_before_it_and_nobody_else() {
        let (sockets, local) = bind(&"127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let Address::Ip(local) = local else { panic!("an IP address") };
        let listener = sockets.into_iter().next().unwrap().into_runtime().unwrap();
        let mut early = std::net::TcpStream::connect(local).unwrap();

        listener.shut_the_door();

        let late = Duration::from_millis(50);
        assert_eq!(std::net::TcpStream::connect_timeout(&local, late).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (mut stream, peer) = listener.take().unwrap();
        assert!(matches!(peer, Peer::Ip(peer) if peer == early.local_addr().unwrap()));
        assert_eq!(listener.take().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        early.write_all(b"x").unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        drop(listener);
        let refused = std::net::TcpStream::connect(local).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn the_queue_of_a_unix_socket_can_be_taken_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let address: Address = format!("unix:{}", path.display()).parse().unwrap();
        let listener = bind(&address, 1).unwrap().0.into_iter().next().unwrap().into_runtime().unwrap();
        let mut early = StdUnixStream::connect(&path).unwrap();

        let (mut stream, peer) = listener.take().unwrap();

        assert_eq!(peer, Peer::Unix);
        assert_eq!(listener.take().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        early.write_all(b"x").unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    }
}

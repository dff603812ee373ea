//! Listening sockets: one for each worker where the kernel can share an address between them (SO_REUSEPORT), so that
//! workers never wake for each other's connections.
//!
//! Bound on the control thread, before anything is swapped: a busy port refuses the change. Accepted from on a worker.

use crate::{Peer, Stream};
use evenkeel_model::Address;
use socket2::{Domain, Protocol, Socket, Type};
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

#[cfg(test)]
mod tests {
    use super::*;

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
}

//! Makes a connection to a target within a time.

use crate::{Stream, Target};
use evenkeel_model::Address;
use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{sleep, timeout},
};

/// The longest pause between two tries at a unix socket whose queue is full. The queue moves when its server accepts, which no event tells.
const QUEUE_PAUSE_MAX: Duration = Duration::from_millis(50);

/// Why there is no connection. Not one byte of a request was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name was never resolved.
    #[error("the name has no address yet")]
    NoAddress,
    /// No answer in time.
    #[error("no connection after {waited:?}")]
    TimedOut {
        /// How long we waited.
        waited: Duration,
    },
    /// The kernel's word: refused, unreachable, out of descriptors.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Of several requests that waited for one connection each is told.
impl Clone for ConnectError {
    fn clone(&self) -> Self {
        match self {
            Self::NoAddress => Self::NoAddress,
            Self::TimedOut { waited } => Self::TimedOut { waited: *waited },
            Self::Io(error) => Self::Io(match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            }),
        }
    }
}

/// Connects to a target. A name with many addresses is tried in the resolver's order, each with an even share of what is left
/// of the time.
///
/// # Errors
/// [`ConnectError`], of the last address tried.
pub async fn connect(target: &Target, limit: Duration) -> Result<Stream, ConnectError> {
    connect_port(target, None, limit).await
}

/// Connects to a target, at another port if one is given (probes may ask elsewhere).
///
/// # Errors
/// [`ConnectError`], of the last address tried.
pub async fn connect_port(target: &Target, port: Option<u16>, limit: Duration) -> Result<Stream, ConnectError> {
    if let Address::Unix(path) = target.address() {
        return match timeout(limit, connect_unix(path)).await {
            Ok(stream) => Ok(Stream::Unix(stream?)),
            Err(_) => Err(ConnectError::TimedOut { waited: limit }),
        };
    }
    let addresses = target.addresses().ok_or(ConnectError::NoAddress)?;
    let begun = Instant::now();
    let mut last = ConnectError::NoAddress;
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = limit.saturating_sub(begun.elapsed()) / left;
        let mut address = *address;
        if let Some(port) = port {
            address.set_port(port);
        }
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small messages both ways: waiting to fill a segment (RFC 896) would add a round trip to each.
                stream.set_nodelay(true)?;
                return Ok(Stream::Tcp(stream));
            }
            Ok(Err(error)) => last = error.into(),
            Err(_) => last = ConnectError::TimedOut { waited: begun.elapsed() },
        }
    }
    Err(last)
}

/// Connects to a unix socket, and waits while its queue is full. For TCP the kernel waits; here it says EAGAIN at once to a socket that does
/// not block (man 2 connect), and there is nothing to poll. So this tries again, after 1 ms at first and more and more rarely.
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let mut pause = Duration::from_millis(1);
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        sleep(pause).await;
        pause = (pause * 2).min(QUEUE_PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A unix socket whose queue is full, and what fills it.
    fn full(
        folder: &Path,
    ) -> (std::os::unix::net::UnixListener, std::sync::Arc<Target>, std::os::unix::net::UnixStream) {
        let path = folder.join("app.sock");
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        // A backlog of 0 holds one connection.
        socket.listen(0).unwrap();
        let first = std::os::unix::net::UnixStream::connect(&path).unwrap();
        (socket.into(), Target::new(Address::Unix(path.into())), first)
    }

    #[tokio::test]
    async fn a_full_queue_of_a_unix_socket_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (listener, target, _first) = full(folder.path());
        let mut connecting = std::pin::pin!(connect(&target, Duration::from_secs(60)));
        assert!(timeout(Duration::from_millis(20), connecting.as_mut()).await.is_err(), "there is no room yet");

        listener.accept().unwrap();

        connecting.await.unwrap();
    }

    #[tokio::test]
    async fn a_queue_that_stays_full_is_waited_for_no_longer_than_any_connection() {
        let folder = tempfile::tempdir().unwrap();
        let (_listener, target, _first) = full(folder.path());
        let limit = Duration::from_millis(100);
        let error = connect(&target, limit).await.unwrap_err();
        assert!(matches!(error, ConnectError::TimedOut { waited } if waited == limit), "{error}");
    }

    #[tokio::test]
    async fn a_refused_connection_says_so_at_once() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let target = Target::new(Address::Ip(address));
        let error = connect(&target, Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused), "{error}");
    }

    #[tokio::test]
    async fn a_name_without_address_is_an_error_of_its_own() {
        let target = Target::new("nowhere.invalid:80".parse().unwrap());
        assert!(matches!(connect(&target, Duration::from_secs(1)).await, Err(ConnectError::NoAddress)));
    }

    #[tokio::test]
    async fn a_probe_may_ask_at_another_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Target::new("127.0.0.1:1".parse().unwrap());
        assert!(connect_port(&target, Some(port), Duration::from_secs(5)).await.is_ok());
    }
}

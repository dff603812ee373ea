//! The admin listener: accepts, bounds and ends connections.
//!
//! Given a bound socket by the binary; each request goes to `answer`. One question a connection: scrapes and probes come seconds
//! apart, so keeping connections would save nothing, and so one limit on the life of a connection bounds every way to hold one.

use crate::{
    Operations,
    answer::{Reach, answer},
};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Connections at a time; more wait in the kernel's queue. An operator, Prometheus and a few probes need ten.
pub const CONNECTIONS_MAX: usize = 64;

/// How long a client may take to send the head of its request. Loopback and data centres need milliseconds.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection lives at most. Longer than any scrape or reload takes; a client that does not read its answer
/// holds one of [`CONNECTIONS_MAX`] places no longer than this.
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes that one connection buffers: no head that we answer is longer.
const BUFFER_MAX: usize = 16 * 1024;

/// How long we leave accepting alone after it failed, most likely for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket that already listens.
#[derive(Debug)]
pub enum Socket {
    /// Off loopback only `/metrics`, `/livez` and `/readyz` are served.
    Tcp(std::net::TcpListener),
    /// Everything is served: the permissions of the file say to whom.
    Unix(std::os::unix::net::UnixListener),
}

impl From<std::net::TcpListener> for Socket {
    fn from(listener: std::net::TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<std::os::unix::net::UnixListener> for Socket {
    fn from(listener: std::os::unix::net::UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// The running admin listener. Dropping it stops it.
#[must_use = "dropping it stops the admin listener"]
#[derive(Debug)]
pub struct Serving {
    address: Option<SocketAddr>,
    accepting: JoinHandle<()>,
    stop: watch::Sender<()>,
}

impl Serving {
    /// Where it listens, with the port that the kernel chose; `None` for a unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Stops accepting, and waits until the socket is closed. Questions already asked are still answered, the one
    /// whose reload moved this listener among them.
    pub async fn stop(self) {
        drop(self.stop);
        // The only error is a panic while accepting: then the socket is closed as well.
        let _ = self.accepting.await;
    }
}

/// Answers on `socket` until the returned [`Serving`] is stopped or dropped. Must be called within a tokio runtime.
///
/// # Errors
/// When the runtime cannot take the socket.
pub fn serve(socket: impl Into<Socket>, operations: Arc<dyn Operations>) -> io::Result<Serving> {
    let (listener, address) = Listener::take(socket.into())?;
    let (stop, stopped) = watch::channel(());
    let room = Room {
        reach: reach(address),
        listener,
        operations,
        places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        stopped,
    };
    Ok(Serving { address, accepting: tokio::spawn(room.accept()), stop })
}

/// The unspecified address is off loopback: who comes over it from here could as well come from elsewhere.
fn reach(address: Option<SocketAddr>) -> Reach {
    match address {
        None => Reach::File,
        Some(address) if address.ip().to_canonical().is_loopback() => Reach::Machine,
        Some(_) => Reach::Network,
    }
}

/// A socket, in the runtime's hands.
enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// With the address that it listens on, if that is one of the network.
    fn take(socket: Socket) -> io::Result<(Self, Option<SocketAddr>)> {
        Ok(match socket {
            Socket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                (Self::Tcp(tokio::net::TcpListener::from_std(listener)?), Some(address))
            }
            Socket::Unix(listener) => {
                listener.set_nonblocking(true)?;
                (Self::Unix(tokio::net::UnixListener::from_std(listener)?), None)
            }
        })
    }
}

/// What accepts for one listener.
struct Room {
    listener: Listener,
    reach: Reach,
    operations: Arc<dyn Operations>,
    places: Arc<Semaphore>,
    stopped: watch::Receiver<()>,
}

impl Room {
    async fn accept(self) {
        // `changed` fails once the sender is gone: nothing is ever sent.
        let mut stopped = self.stopped.clone();
        tokio::select! {
            _ = stopped.changed() => {}
            () = self.accept_on() => {}
        }
    }

    /// Never ends by itself.
    async fn accept_on(&self) {
        loop {
            let place = self.places.clone().acquire_owned().await.expect("the semaphore is never closed");
            let accepted = match &self.listener {
                Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| self.open(stream, place)),
                Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| self.open(stream, place)),
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "the admin listener could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Serves one connection in a task of its own, which outlives the listener by [`CONNECTION_TIME_MAX`] at most.
    fn open(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, place: OwnedSemaphorePermit) {
        let (reach, operations) = (self.reach, Arc::clone(&self.operations));
        let service = service_fn(move |request: Request<Incoming>| {
            let operations = Arc::clone(&operations);
            async move { Ok::<_, Infallible>(answer(request, reach, operations).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(BUFFER_MAX)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            match timeout(CONNECTION_TIME_MAX, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "an admin connection ended early"),
                Err(_) => tracing::debug!("an admin connection took too long"),
            }
            drop(place);
        });
    }
}

//! Endpoints that nobody can connect to: one refuses, one says nothing.

use crate::place::{Place, hold_port};
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

/// An address where nobody answers. Prints as its address in a configuration file.
#[derive(Debug)]
pub struct DeadEndpoint {
    place: Place,
    _held: Held,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for what their drop does")]
enum Held {
    Port(TcpSocket),
    Queue(TcpListener, Vec<TcpStream>),
}

impl DeadEndpoint {
    /// Refuses every connection: a port taken and not listened on. Must be called on a runtime.
    ///
    /// # Panics
    /// When the system has no port left.
    #[must_use]
    pub fn refusing() -> Self {
        let socket = hold_port(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = socket.local_addr().expect("a bound socket has an address");
        Self { place: Place::Tcp(address), _held: Held::Port(socket) }
    }

    /// Answers no SYN, as a machine that is gone: its queue of connections is full and nobody takes one out.
    ///
    /// # Panics
    /// When the system has no port left, or a queue without end.
    pub async fn silent() -> Self {
        let socket = hold_port(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = socket.local_addr().expect("a bound socket has an address");
        let listener = socket.listen(1).expect("a bound socket can listen");
        let mut queue = Vec::new();
        // Linux takes one more than it was told, then drops each SYN (listen(2), tcp(7)).
        while let Ok(connected) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queue.push(connected.expect("a queue that is not full accepts"));
            assert!(queue.len() < 100, "the queue of {address} does not fill");
        }
        Self { place: Place::Tcp(address), _held: Held::Queue(listener, queue) }
    }

    /// Where nobody answers.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }
}

impl fmt::Display for DeadEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

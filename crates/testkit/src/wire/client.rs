//! A client on a bare socket: sends exactly these bytes, shows exactly those that came back.

use super::{
    buffered::{Buffered, Ending},
    message::{RawResponse, response_framing},
};
use crate::{
    eventually::in_time,
    place::{Place, Socket},
};
use std::{io, net::IpAddr, time::Duration};

/// A client on a bare socket. Dropping it closes the connection.
#[derive(Debug)]
pub struct Wire {
    connection: Buffered,
}

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// When nobody accepts there.
    pub async fn to(place: &Place) -> Self {
        let socket = in_time("a connection", place.connect()).await;
        Self { connection: Buffered::new(socket.unwrap_or_else(|e| panic!("cannot connect to {place}: {e}"))) }
    }

    /// Over a connection that is there already.
    #[must_use]
    pub fn over(socket: Socket) -> Self {
        Self { connection: Buffered::new(socket) }
    }

    /// Connects from another local address, such as 127.0.0.2.
    ///
    /// # Panics
    /// When nobody accepts there.
    pub async fn from_address(from: IpAddr, place: &Place) -> Self {
        let socket = in_time("a connection", place.connect_from(Some(from))).await;
        Self { connection: Buffered::new(socket.unwrap_or_else(|e| panic!("cannot connect to {place}: {e}"))) }
    }

    /// Connects, sends and reads one answer: for what needs no more.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn exchange(place: &Place, request: impl AsRef<[u8]>) -> RawResponse {
        let mut wire = Self::to(place).await;
        wire.send(request).await;
        wire.response().await
    }

    /// Sends these bytes.
    ///
    /// # Panics
    /// When the peer has closed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.try_send(bytes).await;
        sent.unwrap_or_else(|e| panic!("the peer closed while we sent: {e}"));
    }

    /// Sends these bytes, if the peer takes them.
    ///
    /// # Errors
    /// What the system says when the peer has closed.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        in_time("the peer takes what we send", self.connection.send(bytes.as_ref())).await
    }

    /// Sends these bytes one at a time, with a pause after each, until all are sent or the peer has closed.
    /// Returns how many were taken.
    pub async fn drip(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) -> usize {
        for (sent, byte) in bytes.as_ref().iter().enumerate() {
            if self.connection.send(&[*byte]).await.is_err() {
                return sent;
            }
            tokio::time::sleep(pause).await;
        }
        bytes.as_ref().len()
    }

    /// The next response, whatever its status, 1xx included.
    ///
    /// # Panics
    /// When the connection ends before its first byte.
    pub async fn response(&mut self) -> RawResponse {
        self.response_to("GET").await
    }

    /// The next response, to a request with this method (the answer to HEAD has no body).
    ///
    /// # Panics
    /// When the connection ends before its first byte.
    pub async fn response_to(&mut self, method: &str) -> RawResponse {
        match self.try_response_to(method).await {
            Ok(response) => response,
            Err(ending) => panic!("instead of a response the connection ended: {ending:?}"),
        }
    }

    /// The next response, or how the connection ended instead.
    ///
    /// # Errors
    /// How the connection ended.
    pub async fn try_response(&mut self) -> Result<RawResponse, Ending> {
        self.try_response_to("GET").await
    }

    async fn try_response_to(&mut self, method: &str) -> Result<RawResponse, Ending> {
        let mut unseen = |_: &[u8]| ();
        let message = self.connection.message(|head| response_framing(head, method), &mut unseen);
        in_time("a response", message).await.map(RawResponse::new)
    }

    /// The next so many bytes, whatever they are.
    ///
    /// # Panics
    /// When the connection ends before.
    pub async fn bytes(&mut self, n: usize) -> Vec<u8> {
        match in_time(&format!("{n} bytes"), self.connection.take(n)).await {
            Ok(bytes) => bytes,
            Err(ending) => panic!("instead of {n} bytes the connection ended: {ending:?}"),
        }
    }

    /// Waits until the peer ends the connection; returns what it still sent, and how it ended.
    pub async fn rest(&mut self) -> (Vec<u8>, Ending) {
        let ending = in_time("the peer ends the connection", self.connection.end(&mut |_| ())).await;
        (self.connection.take_unused(), ending)
    }

    /// Waits until the peer ends the connection without another byte.
    ///
    /// # Panics
    /// When it sends more.
    pub async fn closed(&mut self) -> Ending {
        let (rest, ending) = self.rest().await;
        assert!(rest.is_empty(), "instead of an end there came {:?}", String::from_utf8_lossy(&rest));
        ending
    }

    /// Ends our side only (FIN); the peer can still answer.
    ///
    /// # Panics
    /// When the peer has closed.
    pub async fn finish(&mut self) {
        self.connection.finish_writing().await.expect("the peer still listens");
    }

    /// Ends our side only (FIN), if the peer has not ended the connection already.
    pub async fn finish_if_open(&mut self) {
        // The only errors are those of a connection that is over.
        let _ = self.connection.finish_writing().await;
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        self.connection.into_socket().reset();
    }
}

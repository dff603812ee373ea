//! The bytes behind a head, in both directions.

mod download;
mod incoming;
mod joined;
mod upload;

pub(crate) use download::{Download, Limits};
pub(crate) use incoming::Incoming;
pub(crate) use joined::{Join, Joined};
pub(crate) use upload::{Fault, Upload};

use crate::{
    connection::{ClientConnection, Tunnel, Turn},
    request::{End, Exchange},
    upstream::{Slot, Switched},
};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use std::{
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// The body of a request or response. Streamed, never collected.
#[derive(Default)]
pub struct Body {
    kind: Kind,
    /// Whose body this is; present in an answer on its way to a client.
    exchange: Option<Box<Exchange>>,
    /// Where a request came from.
    connection: Option<Rc<ClientConnection>>,
    /// The request's turn on its connection; present in an answer on its way to a client. After `exchange`: it ends last.
    turn: Option<Turn>,
    /// The place that a request has on a connection of HTTP/2; taken as long as its body is.
    slot: Option<Rc<Slot>>,
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Upload(Upload),
    Download(Box<Download>),
    /// No bytes of HTTP: what follows a 101.
    Switched(Box<Switched>),
}

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client's side: gone, too slow, too large, malformed.
    #[error("the request's body ended early")]
    Request,
    /// The endpoint's side: gone, too slow, malformed.
    #[error("the response's body ended early")]
    Response,
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    fn of(kind: Kind) -> Self {
        Self { kind, exchange: None, connection: None, turn: None, slot: None }
    }

    /// What a client sends. `body_max` in bytes.
    pub(crate) fn upload(incoming: Incoming, connection: Rc<ClientConnection>, body_max: Option<u64>) -> Self {
        let kind = if incoming.is_end_stream() {
            Kind::Empty
        } else {
            Kind::Upload(Upload::new(incoming, &connection, body_max))
        };
        let mut body = Self::of(kind);
        body.connection = Some(connection);
        body
    }

    /// No bytes of a client.
    pub(crate) fn empty_of(connection: Rc<ClientConnection>) -> Self {
        let mut body = Self::default();
        body.connection = Some(connection);
        body
    }

    pub(crate) fn download(download: Download) -> Self {
        Self::of(Kind::Download(Box::new(download)))
    }

    /// What follows a 101.
    pub(crate) fn switched(endpoint: Switched) -> Self {
        Self::of(Kind::Switched(Box::new(endpoint)))
    }

    /// Takes all content off an answer that ends with its head: to HEAD, or with a status that has none. The answer is complete by that.
    pub(crate) fn ends_with_head(&mut self) {
        match &mut self.kind {
            Kind::Full(_) => self.kind = Kind::Empty,
            // A stream of HTTP/2 may end in a frame behind the head, which is not waited for.
            Kind::Download(download) if !download.is_end_stream() => {
                download.complete();
                self.kind = Kind::Empty;
            }
            Kind::Empty | Kind::Upload(_) | Kind::Download(_) | Kind::Switched(_) => {}
        }
    }

    /// Leaves what follows a 101 to the client's connection, which opens the tunnel once the 101 is written.
    pub(crate) fn open_tunnel(&mut self) {
        if let Some(tunnel) = self.take_tunnel()
            && let Some(connection) = tunnel.exchange.connection().cloned()
        {
            connection.will_tunnel(tunnel);
        }
    }

    /// What follows an agreement to switch, if this is no body of HTTP.
    pub(crate) fn take_tunnel(&mut self) -> Option<Tunnel> {
        match std::mem::take(&mut self.kind) {
            Kind::Switched(endpoint) => Some(Tunnel { exchange: self.exchange.take()?, endpoint }),
            other => {
                self.kind = other;
                None
            }
        }
    }

    /// The same client's bytes for another attempt; only while they can begin again.
    pub(crate) fn again(upload: Option<&Upload>) -> Self {
        let kind = upload.map_or(Kind::Empty, |upload| Kind::Upload(upload.begin_again()));
        Self::of(kind)
    }

    pub(crate) fn belongs_to(&mut self, exchange: Box<Exchange>) {
        self.exchange = Some(exchange);
    }

    pub(crate) fn holds(&mut self, slot: Rc<Slot>) {
        self.slot = Some(slot);
    }

    pub(crate) fn carries(&mut self, turn: Option<Turn>) {
        self.turn = turn;
    }

    pub(crate) fn connection(&self) -> Option<&Rc<ClientConnection>> {
        self.connection.as_ref()
    }

    /// All of a body that is not streamed.
    pub(crate) fn full(&self) -> Option<Bytes> {
        match &self.kind {
            Kind::Full(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    pub(crate) fn as_upload(&self) -> Option<&Upload> {
        match &self.kind {
            Kind::Upload(upload) => Some(upload),
            Kind::Empty | Kind::Full(_) | Kind::Download(_) | Kind::Switched(_) => None,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Empty => "Body::Empty",
            Kind::Full(_) => "Body::Full",
            Kind::Upload(_) => "Body::Upload",
            Kind::Download(_) => "Body::Download",
            Kind::Switched(_) => "Body::Switched",
        })
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(Bytes::from(text))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let kind = if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) };
        Self::of(kind)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(turn) = &this.turn {
            std::task::ready!(turn.poll_asks(cx));
        }
        if let Some(slot) = &this.slot {
            slot.upload_begins();
        }
        let frame = match &mut this.kind {
            Kind::Empty | Kind::Switched(_) => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Upload(upload) => upload.poll_frame(cx),
            Kind::Download(download) => download.poll_frame(cx, this.exchange.as_deref_mut()),
        };
        if let (Poll::Ready(Some(Ok(frame))), Some(exchange)) = (&frame, &mut this.exchange)
            && let Some(data) = frame.data_ref()
        {
            exchange.sent(data.len());
            if let Some(turn) = &this.turn {
                turn.offers(data.len());
            }
        }
        frame
    }

    // Both are forwarded to the last one: losing the length would turn it into chunks, losing the end costs a write.
    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty | Kind::Switched(_) => true,
            Kind::Full(_) => false,
            Kind::Upload(upload) => upload.is_end_stream(),
            Kind::Download(download) => download.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty | Kind::Switched(_) => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Upload(upload) => upload.size_hint(),
            Kind::Download(download) => download.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Kind::Upload(upload) = &self.kind {
            upload.turns_to_endpoint();
        }
        // A 101 that a layer took away was never an answer.
        let unopened = matches!(self.kind, Kind::Switched(_));
        if self.exchange.is_some() && !unopened && self.is_end_stream() {
            if let Kind::Download(download) = &mut self.kind {
                download.complete();
            }
            if let Some(exchange) = &mut self.exchange {
                exchange.ends(End::Complete);
            }
        }
    }
}

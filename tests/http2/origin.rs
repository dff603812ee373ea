//! Endpoints that speak HTTP/2: by a library, in plain text or within TLS, or frame by frame.

use bytes::Bytes;
use evenkeel_testkit::{Door, FrameWire, Place, Socket, TlsServer, in_time};
use h2::{RecvStream, server::SendResponse};
use http::{Request, Response};
use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::{AbortHandle, JoinSet},
};

/// What is answered in HTTP/1.1, where a client chooses that.
const OLD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold";

/// An endpoint that speaks HTTP/2 by the crate `h2`; each stream is a task.
pub(super) struct H2Origin {
    pub(super) place: Place,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<http::request::Parts>>>,
    tls: Arc<Mutex<Option<TlsServer>>>,
    accepting: AbortHandle,
}

/// A request, and where its answer goes.
pub(super) type Stream = (Request<RecvStream>, SendResponse<Bytes>);

impl H2Origin {
    pub(super) async fn start<F>(answer: impl Fn(Stream) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        Self::open(roomy(), None, answer)
    }

    pub(super) async fn with<F>(
        builder: h2::server::Builder,
        answer: impl Fn(Stream) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        Self::open(builder, None, answer)
    }

    /// Within TLS; a client that does not choose HTTP/2 is answered "old".
    pub(super) async fn secured<F>(
        tls: &TlsServer,
        answer: impl Fn(Stream) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        Self::open(roomy(), Some(tls.clone()), answer)
    }

    fn open<F>(
        builder: h2::server::Builder,
        tls: Option<TlsServer>,
        answer: impl Fn(Stream) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        let (door, place) = Door::open(&Place::loopback());
        let (count, heads) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<_>>>::default());
        let tls = Arc::new(Mutex::new(tls));
        let (connections, seen, within) = (Arc::clone(&count), Arc::clone(&heads), Arc::clone(&tls));
        let accepting = tokio::spawn(async move {
            // They end with this task.
            let mut open = JoinSet::new();
            while let Ok(socket) = door.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let tls = within.lock().expect("nobody panics with it").clone();
                let (builder, answer, seen) = (builder.clone(), answer.clone(), Arc::clone(&seen));
                open.spawn(async move {
                    let secured = tls.is_some();
                    let socket = match tls {
                        Some(tls) => tls.accept(socket).await?,
                        None => socket,
                    };
                    if secured && socket.protocol() != Some(b"h2") {
                        return old(socket).await;
                    }
                    let mut connection = builder.handshake(socket).await.map_err(std::io::Error::other)?;
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let (head, body) = request.into_parts();
                        seen.lock().expect("nobody panics with it").push(head.clone());
                        tokio::spawn(answer((Request::from_parts(head, body), respond)));
                    }
                    Ok(())
                });
            }
        });
        Self { place, connections, heads, tls, accepting: accepting.abort_handle() }
    }

    pub(super) async fn echo() -> Self {
        Self::start(echo).await
    }

    /// From now on new connections are greeted so.
    pub(super) fn greets(&self, tls: &TlsServer) {
        *self.tls.lock().expect("nobody panics with it") = Some(tls.clone());
    }

    /// Ends with all its connections.
    pub(super) fn dies(&self) {
        self.accepting.abort();
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn heads(&self) -> Vec<http::request::Parts> {
        self.heads.lock().expect("nobody panics with it").clone()
    }

    /// The last request.
    pub(super) fn head(&self) -> http::request::Parts {
        self.heads().pop().expect("a request")
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        self.dies();
    }
}

/// An endpoint of which a test plays every frame.
pub(super) struct FrameOrigin {
    pub(super) place: Place,
    door: Door,
}

impl FrameOrigin {
    pub(super) fn start() -> Self {
        let (door, place) = Door::open(&Place::loopback());
        Self { place, door }
    }

    /// The next connection, greeted with these settings.
    pub(super) async fn accept(&self, settings: &[(u16, u32)]) -> FrameWire {
        FrameWire::accepted(self.accept_bare().await, settings).await
    }

    /// The next connection, not greeted yet.
    pub(super) async fn accept_bare(&self) -> Socket {
        in_time("a connection", self.door.accept()).await.expect("a connection")
    }
}

/// As much room as servers give: h2 derives from it how many tiny frames may wait.
fn roomy() -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder.initial_connection_window_size(8 << 20);
    builder
}

/// Speaks just enough of HTTP/1.1 to be told apart: requests without a body are answered, one for a WebSocket is agreed to.
async fn old(mut socket: Socket) -> std::io::Result<()> {
    let mut head = Vec::new();
    loop {
        head.push(socket.read_u8().await?);
        if head.ends_with(b"\r\n\r\n") {
            let asks = String::from_utf8_lossy(&head).contains("upgrade: websocket");
            let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nold";
            socket.write_all(if asks { switch } else { OLD }).await?;
            socket.flush().await?;
            head.clear();
        }
    }
}

/// Sends back what comes, frame by frame, trailers included.
pub(super) async fn echo((request, mut respond): Stream) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    let mut send = respond.send_response(Response::new(()), false)?;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        send.send_data(data, false)?;
    }
    match body.trailers().await? {
        Some(trailers) => send.send_trailers(trailers),
        None => send.send_data(Bytes::new(), true),
    }
}

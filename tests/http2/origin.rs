//! An endpoint that speaks HTTP/2.

use bytes::Bytes;
use evenkeel_testkit::Place;
use h2::{RecvStream, server::SendResponse};
use http::{Request, Response};
use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::net::TcpListener;

/// An endpoint that speaks HTTP/2 by the crate `h2`; each stream is a task.
pub(super) struct H2Origin {
    pub(super) place: Place,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<http::request::Parts>>>,
}

/// A request, and where its answer goes.
pub(super) type Stream = (Request<RecvStream>, SendResponse<Bytes>);

impl H2Origin {
    pub(super) async fn start<F>(answer: impl Fn(Stream) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        // As much room as servers give: h2 derives from it how many tiny frames may wait.
        let mut builder = h2::server::Builder::new();
        builder.initial_connection_window_size(8 << 20);
        Self::with(builder, answer).await
    }

    pub(super) async fn with<F>(
        builder: h2::server::Builder,
        answer: impl Fn(Stream) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let place = Place::Tcp(listener.local_addr().expect("an address"));
        let (connections, heads) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (count, seen) = (Arc::clone(&connections), Arc::clone(&heads));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (builder, answer, seen) = (builder.clone(), answer.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let Ok(mut connection) = builder.handshake(socket).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let (head, body) = request.into_parts();
                        seen.lock().expect("nobody panics with it").push(head.clone());
                        tokio::spawn(answer((Request::from_parts(head, body), respond)));
                    }
                });
            }
        });
        Self { place, connections, heads }
    }

    pub(super) async fn echo() -> Self {
        Self::start(echo).await
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

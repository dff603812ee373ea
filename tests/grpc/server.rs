//! A server of gRPC: notes that are sent back, counted out, added up, discussed, or held.

use evenkeel_testkit::Place;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_stream::{
    Stream, StreamExt,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Code, Request, Response, Status, Streaming, body::Body, server::Grpc};
use tonic_health::server::{HealthReporter, HealthService};
use tonic_prost::ProstCodec;
use tower::{Service as _, service_fn};

/// The message of all methods.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Note {
    #[prost(string, tag = "1")]
    pub(super) text: String,
    #[prost(uint64, tag = "2")]
    pub(super) number: u64,
}

impl Note {
    pub(super) fn new(text: impl Into<String>, number: u64) -> Self {
        Self { text: text.into(), number }
    }
}

/// One message, sent back with the metadata whose names begin with `x-`.
pub(super) const ECHO: &str = "/test.Notes/Echo";
/// The status that the note's number is, with its text and some bytes as details.
pub(super) const FAIL: &str = "/test.Notes/Fail";
/// As many notes as the number says; behind them ABORTED if there is a text.
pub(super) const COUNT: &str = "/test.Notes/Count";
/// How many notes came, and their numbers added up.
pub(super) const SUM: &str = "/test.Notes/Sum";
/// Each note is sent back as it comes.
pub(super) const CHAT: &str = "/test.Notes/Chat";
/// One note, and then nothing until it is cancelled.
pub(super) const HOLD: &str = "/test.Notes/Hold";

/// What a message may have at most, above what tonic allows by itself.
pub(super) const MESSAGE_MAX: usize = 64 << 20;

/// The server, on a thread of its own.
pub(super) struct Server {
    pub(super) place: Place,
    pub(super) health: HealthReporter,
    seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    calls: AtomicUsize,
    held: AtomicUsize,
    connections: AtomicUsize,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::with(tonic::transport::Server::builder())
    }

    /// Ends its connections when they are so old, in good order.
    pub(super) fn aging(age: Duration) -> Self {
        Self::with(tonic::transport::Server::builder().max_connection_age(age))
    }

    fn with(server: tonic::transport::Server) -> Self {
        let (tell, place) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let (health, seen) = (HealthReporter::new(), Arc::<Seen>::default());
        let (reporter, sees) = (health.clone(), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
                tell.send(listener.local_addr().expect("an address")).expect("somebody waits for it");
                tokio::select! {
                    () = serve(server, listener, reporter, sees) => {}
                    _ = stopped => {}
                }
            });
            // With the runtime go all of its connections, whatever they carry.
        });
        let place = Place::Tcp(place.recv().expect("the server has an address"));
        Self { place, health, seen, stop: Some(stop), thread: Some(thread) }
    }

    /// Ends it in the middle of everything.
    pub(super) fn kill(&mut self) {
        if let (Some(stop), Some(thread)) = (self.stop.take(), self.thread.take()) {
            let _ = stop.send(());
            thread.join().expect("the server's thread does not panic");
        }
    }

    /// Calls that have begun, health apart.
    pub(super) fn calls(&self) -> usize {
        self.seen.calls.load(Relaxed)
    }

    /// Calls that are being held now.
    pub(super) fn held(&self) -> usize {
        self.seen.held.load(Relaxed)
    }

    /// Connections accepted so far.
    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn serve(server: tonic::transport::Server, listener: TcpListener, health: HealthReporter, seen: Arc<Seen>) {
    let accepted = Arc::clone(&seen);
    let incoming = TcpListenerStream::new(listener).map(move |socket| {
        accepted.connections.fetch_add(1, Relaxed);
        socket.and_then(|socket| socket.set_nodelay(true).map(|()| socket))
    });
    let health = tonic_health::pb::health_server::HealthServer::new(HealthService::from_health_reporter(health));
    let service = service_fn(move |request: http::Request<Body>| {
        let (mut health, seen) = (health.clone(), Arc::clone(&seen));
        async move {
            if request.uri().path().starts_with("/grpc.health.v1.Health/") {
                return health.call(request).await;
            }
            Ok::<_, Infallible>(answer(request, seen).await)
        }
    });
    server.serve_with_incoming(service, incoming).await.expect("the listener is ours");
}

async fn answer(request: http::Request<Body>, seen: Arc<Seen>) -> http::Response<Body> {
    seen.calls.fetch_add(1, Relaxed);
    let codec = ProstCodec::<Note, Note>::default();
    let mut grpc = Grpc::new(codec).max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX);
    match request.uri().path() {
        ECHO => grpc.unary(service_fn(echo), request).await,
        FAIL => grpc.unary(service_fn(fail), request).await,
        COUNT => grpc.server_streaming(service_fn(count), request).await,
        SUM => grpc.client_streaming(service_fn(sum), request).await,
        CHAT => grpc.streaming(service_fn(chat), request).await,
        HOLD => grpc.server_streaming(service_fn(move |_| hold(Arc::clone(&seen))), request).await,
        _ => Status::unimplemented("there is no such method").into_http(),
    }
}

async fn echo(request: Request<Note>) -> Result<Response<Note>, Status> {
    let (metadata, _, note) = request.into_parts();
    let mut response = Response::new(note);
    for (name, value) in metadata.into_headers().iter().filter(|(name, _)| name.as_str().starts_with("x-")) {
        response.metadata_mut().as_mut().append(name, value.clone());
    }
    Ok(response)
}

async fn fail(request: Request<Note>) -> Result<Response<Note>, Status> {
    let note = request.into_inner();
    let code = Code::from(i32::try_from(note.number).expect("a code"));
    Err(Status::with_details(code, note.text, vec![0, 1, 255].into()))
}

async fn count(request: Request<Note>) -> Result<Response<impl Stream<Item = Result<Note, Status>>>, Status> {
    let note = request.into_inner();
    let notes = (0..note.number).map(|n| Ok(Note::new("", n)));
    let end = (!note.text.is_empty()).then(|| Err(Status::aborted(note.text)));
    Ok(Response::new(tokio_stream::iter(notes.chain(end))))
}

async fn sum(request: Request<Streaming<Note>>) -> Result<Response<Note>, Status> {
    let (mut notes, mut came, mut sum) = (request.into_inner(), 0_u64, 0);
    while let Some(note) = notes.message().await? {
        came += 1;
        sum += note.number;
    }
    Ok(Response::new(Note::new(came.to_string(), sum)))
}

async fn chat(request: Request<Streaming<Note>>) -> Result<Response<Streaming<Note>>, Status> {
    Ok(Response::new(request.into_inner()))
}

async fn hold(seen: Arc<Seen>) -> Result<Response<impl Stream<Item = Result<Note, Status>>>, Status> {
    let (send, notes) = mpsc::channel(1);
    let held = Held::one_more(seen);
    send.send(Ok(Note::new("held", 0))).await.expect("nobody has left yet");
    // The sender lives as long as the stream: it never ends by itself.
    Ok(Response::new(ReceiverStream::new(notes).map(move |note| {
        let _until_dropped = (&held, &send);
        note
    })))
}

/// A call that is being held.
struct Held(Arc<Seen>);

impl Held {
    fn one_more(seen: Arc<Seen>) -> Self {
        seen.held.fetch_add(1, Relaxed);
        Self(seen)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Relaxed);
    }
}

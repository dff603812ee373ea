//! One built-in endpoint: a small HTTP server with a temper, which anybody may kill for a while.
//!
//! Started by `fleet` in its thread; knows nothing of the proxy before it.

use crate::temper::{Mood, Temper};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep},
};

/// How long we wait before accepting or binding is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// A running endpoint.
#[derive(Debug)]
struct Endpoint {
    temper: Temper,
    born: Instant,
    asked: AtomicU64,
}

/// Serves on `listener`, dies when told to, comes back on the same address, for ever.
pub(crate) async fn live(listener: TcpListener, address: SocketAddr, temper: Temper) {
    let endpoint = Arc::new(Endpoint { temper, born: Instant::now(), asked: AtomicU64::new(0) });
    let mut listener = listener;
    loop {
        serve_until_killed(listener, &endpoint).await;
        sleep(endpoint.temper.nap).await;
        listener = come_back(address).await;
    }
}

/// Returns with the listener and every connection closed.
async fn serve_until_killed(listener: TcpListener, endpoint: &Arc<Endpoint>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(converse(stream, Arc::clone(endpoint)))),
                Err(_) => sleep(AGAIN).await,
            },
            Some(ended) = connections.join_next() => if let Ok(Ended::Killed) = ended { return },
        }
    }
}

async fn come_back(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            // Somebody took the port meanwhile. The picture shows us as dead, and that is what we are.
            Err(_) => sleep(AGAIN).await,
        }
    }
}

/// How a connection ended.
enum Ended {
    Normally,
    /// Somebody asked over this connection for the end of the endpoint, and has been answered.
    Killed,
}

async fn converse(stream: TcpStream, endpoint: Arc<Endpoint>) -> Ended {
    let killed = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request: Request<Incoming>| {
        let (endpoint, killed) = (Arc::clone(&endpoint), Arc::clone(&killed));
        async move {
            if request.uri().path() == "/kill" && request.method() == Method::POST {
                killed.store(true, Ordering::Relaxed);
            }
            Ok::<_, Infallible>(endpoint.answer(&request).await)
        }
    });
    // Without timeouts, and whatever ends it: the clients are our own proxy, its probes and the person who watches.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if killed.load(Ordering::Relaxed) { Ended::Killed } else { Ended::Normally }
}

impl Endpoint {
    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let name = self.temper.name;
        match (request.uri().path(), request.method()) {
            ("/kill", &Method::POST) => {
                let mut answer = say(StatusCode::OK, format!("{name} goes away for {} s", self.temper.nap.as_secs()));
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                answer
            }
            ("/kill", _) => {
                let mut answer = say(StatusCode::METHOD_NOT_ALLOWED, "use POST".to_owned());
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
                answer
            }
            ("/health", _) => match self.mood() {
                Mood::Well => say(StatusCode::OK, "ok".to_owned()),
                Mood::Uneasy | Mood::Sick => say(StatusCode::INTERNAL_SERVER_ERROR, format!("{name} is not well")),
            },
            _ => {
                sleep(self.temper.thinks_about(self.asked.fetch_add(1, Ordering::Relaxed))).await;
                match self.mood() {
                    Mood::Well | Mood::Uneasy => say(StatusCode::OK, format!("hello from {name}")),
                    Mood::Sick => say(StatusCode::INTERNAL_SERVER_ERROR, format!("{name} is sick")),
                }
            }
        }
    }

    fn mood(&self) -> Mood {
        self.temper.mood(self.born.elapsed())
    }
}

fn say(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text + "\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

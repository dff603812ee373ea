//! A running origin: what it has counted, what it will answer, and how it is stopped and started again.

use super::{answer::Answer, builder::OriginBuilder, serve};
use crate::{
    place::{Door, Place, hold_port},
    tls_server::TlsServer,
};
use bytes::Bytes;
use http::HeaderMap;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{net::TcpSocket, task::AbortHandle};

/// The path that a probe asks; answered by the health switch and counted apart.
pub(super) const HEALTH: &str = "/health";

/// Requests remembered; more would only fill memory under load.
const SEEN_MAX: usize = 1_000;

/// A well-behaved endpoint. Prints as its address in a configuration file.
#[derive(Debug)]
pub struct Origin {
    place: Place,
    shared: Arc<Shared>,
    running: Running,
}

#[derive(Debug)]
enum Running {
    Accepting(AbortHandle),
    /// Stopped; the port stays ours, so that it refuses and no other test gets it.
    Stopped(Option<TcpSocket>),
}

/// A request as the origin got it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its target, as in the request line.
    pub target: String,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Seen {
    /// The first value of a field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All values of a field.
    #[must_use]
    pub fn header_all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }
}

/// What the connections of an origin share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) closes_after_each_response: bool,
    pub(super) tls: Option<TlsServer>,
    pub(super) connections: AtomicUsize,
    pub(super) open: AtomicUsize,
    pub(super) in_flight: AtomicUsize,
    pub(super) cancelled: AtomicUsize,
    pub(super) probes: AtomicUsize,
    pub(super) requests: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) otherwise: Answer,
    pub(super) answers: HashMap<String, Answer>,
    pub(super) healthy: bool,
    pub(super) seen: VecDeque<Seen>,
}

impl Default for State {
    fn default() -> Self {
        Self { otherwise: Answer::echo(), answers: HashMap::new(), healthy: true, seen: VecDeque::new() }
    }
}

impl State {
    pub(super) fn remember(&mut self, seen: Seen) {
        if self.seen.len() == SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(seen);
    }
}

impl Shared {
    pub(super) fn new(name: String, closes_after_each_response: bool, tls: Option<TlsServer>, state: State) -> Self {
        Self {
            name,
            closes_after_each_response,
            tls,
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            probes: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            state: Mutex::new(state),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state")
    }
}

impl Origin {
    /// An endpoint that speaks HTTP/1.1 and echoes.
    #[must_use]
    pub fn http1() -> OriginBuilder {
        OriginBuilder::new()
    }

    pub(super) fn open(place: &Place, shared: Shared) -> Self {
        let (door, place) = Door::open(place);
        let shared = Arc::new(shared);
        let accepting = serve::spawn(door, Arc::clone(&shared));
        Self { place, shared, running: Running::Accepting(accepting) }
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Connections accepted since the start, those of probes included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Requests since the start, probes of `/health` not counted.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Requests for `/health` since the start.
    #[must_use]
    pub fn probes(&self) -> usize {
        self.shared.probes.load(Ordering::Relaxed)
    }

    /// Requests being answered now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// Requests whose client went away before the answer.
    #[must_use]
    pub fn cancelled(&self) -> usize {
        self.shared.cancelled.load(Ordering::Relaxed)
    }

    /// The last thousand requests, oldest first, without probes.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.iter().cloned().collect()
    }

    /// The last request.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn last_seen(&self) -> Seen {
        self.shared.state().seen.back().cloned().expect("the origin has seen a request")
    }

    /// From now on `/health` answers 200 or 500.
    pub fn set_healthy(&self, healthy: bool) {
        self.shared.state().healthy = healthy;
    }

    /// From now on this path is answered so.
    pub fn set_answer(&self, path: &str, answer: Answer) {
        self.shared.state().answers.insert(path.to_owned(), answer);
    }

    /// Stops listening and drops every connection where it stands, as a killed process does. The port refuses from now on.
    ///
    /// # Panics
    /// When it is stopped already.
    pub async fn stop(&mut self) {
        let Running::Accepting(accepting) = &self.running else { panic!("{} is stopped already", self.shared.name) };
        accepting.abort();
        let what = "the stopped origin lets go of its sockets";
        crate::eventually(what, || accepting.is_finished() && self.open_connections() == 0).await;
        let held = match &self.place {
            Place::Tcp(address) => Some(hold_port(*address)),
            Place::Unix(path) => {
                std::fs::remove_file(path).expect("the socket file is ours");
                None
            }
        };
        self.running = Running::Stopped(held);
    }

    /// Starts again on the same port; counters go on.
    ///
    /// # Panics
    /// When it was not stopped.
    pub fn restart(&mut self) {
        let Running::Stopped(held) = &mut self.running else { panic!("{} is running already", self.shared.name) };
        let door = match held.take() {
            Some(socket) => Door::listen(socket),
            None => Door::open(&self.place).0,
        };
        self.running = Running::Accepting(serve::spawn(door, Arc::clone(&self.shared)));
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Running::Accepting(accepting) = &self.running {
            accepting.abort();
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

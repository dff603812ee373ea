//! The demo's own clients: a gentle, even stream of requests, and what they see of the answers.
//!
//! Each client asks, waits for the answer, and asks again when its turn comes: a slow answer delays only that client's next
//! question, and what was missed is not made up for. So there is never a burst.

use crate::histogram::Histogram;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::{
    error::Error as _,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::oneshot,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

/// Connections that are kept open.
pub const CLIENTS: u32 = 8;

/// Requests a second, of all clients together.
pub const REQUESTS_PER_SECOND: u32 = 200;

/// A client that waits longer than this has given up: a failure.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the clients have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Requests that have ended.
    pub(crate) requests: u64,
    /// Those of them without a good answer (2xx).
    pub(crate) failures: u64,
    /// The last of these, in a few words.
    pub(crate) last_failure: Option<String>,
    /// How long the good ones took.
    pub(crate) times: Histogram,
}

impl Seen {
    fn add(&mut self, outcome: Result<(), String>, took: Duration) {
        self.requests += 1;
        match outcome {
            Ok(()) => self.times.add(took),
            Err(why) => {
                self.failures += 1;
                self.last_failure = Some(why);
            }
        }
    }
}

/// The running load. Dropping it stops it.
#[must_use = "dropping it stops the load"]
#[derive(Debug)]
pub struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts [`CLIENTS`] clients that send [`REQUESTS_PER_SECOND`] requests for `/` to `target`, in a thread of their own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&seen);
        let thread = std::thread::Builder::new().name("demo-load".to_owned()).spawn(move || {
            runtime.block_on(async {
                let begin = Instant::now();
                for number in 0..CLIENTS {
                    // The clients' turns are spread evenly.
                    let first = begin + Duration::from_secs(1) * number / REQUESTS_PER_SECOND;
                    tokio::spawn(client(target, first, Arc::clone(&shared)));
                }
                // Ends, with an error, when the sender is dropped. A request on its way is then not counted.
                let _ = stopped.await;
            });
        })?;
        Ok(Self { seen, stop: Some(stop), thread: Some(thread) })
    }

    /// Requests that have ended, and how many of them had no good answer.
    #[must_use]
    pub fn counted(&self) -> (u64, u64) {
        let seen = lock(&self.seen);
        (seen.requests, seen.failures)
    }

    pub(crate) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The only error is a panic over there, which has been reported already.
            let _ = thread.join();
        }
    }
}

/// Counts are whole after every statement, so a panic of another holder has broken nothing.
fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One client: a question at each of its turns, for ever.
async fn client(target: SocketAddr, first: Instant, seen: Arc<Mutex<Seen>>) {
    let mut turns = interval_at(first, Duration::from_secs(1) * CLIENTS / REQUESTS_PER_SECOND);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = None;
    loop {
        turns.tick().await;
        let asked = Instant::now();
        let outcome = match timeout(PATIENCE, ask(target, &mut connection)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        if outcome.is_err() {
            connection = None;
        }
        lock(&seen).add(outcome, asked.elapsed());
    }
}

type Connection = SendRequest<Empty<Bytes>>;

/// One question on the connection that is open, or a new one.
async fn ask(target: SocketAddr, connection: &mut Option<Connection>) -> Result<(), String> {
    if let Some(open) = connection
        && open.ready().await.is_err()
    {
        *connection = None;
    }
    let sender = match connection {
        Some(open) => open,
        None => connection.insert(connect(target).await?),
    };
    let answer = match sender.try_send_request(question(target)).await {
        Ok(answer) => answer,
        Err(mut failed) => match failed.take_message() {
            // The connection was closed before a byte of the request had left: nobody has seen it, so it may go again.
            Some(unsent) => {
                *sender = connect(target).await?;
                sender.send_request(unsent).await.map_err(|error| plain(&error))?
            }
            None => return Err(plain(&failed.into_error())),
        },
    };
    let status = answer.status();
    // The whole answer, or it does not count.
    answer.into_body().collect().await.map_err(|error| plain(&error))?;
    if status.is_success() { Ok(()) } else { Err(status.to_string()) }
}

async fn connect(target: SocketAddr) -> Result<Connection, String> {
    let stream = TcpStream::connect(target).await.map_err(|error| error.to_string())?;
    // Small requests should not wait for the acknowledgement of the one before (Nagle).
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| plain(&error))?;
    // Its errors reach us through the sender.
    tokio::spawn(connection);
    Ok(sender)
}

fn question(target: SocketAddr) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    let host = target.to_string().try_into().expect("an address is a field value");
    request.headers_mut().insert(header::HOST, host);
    request
}

/// hyper says what it was doing; what went wrong is in the source.
fn plain(error: &hyper::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader, Write},
        net::{Shutdown, TcpListener},
        sync::atomic::{AtomicU32, Ordering},
        time::Instant,
    };

    /// Answers `answer` to every request, on so many connections as are opened; `once`: one request on each.
    fn origin(answer: &'static str, once: bool) -> (SocketAddr, Arc<AtomicU32>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU32::new(0));
        let opened = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                opened.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let requests = BufReader::new(stream.try_clone().unwrap()).lines();
                    for _end_of_head in requests.map_while(Result::ok).filter(String::is_empty) {
                        if stream.write_all(answer.as_bytes()).is_err() || once {
                            break;
                        }
                    }
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        (address, connections)
    }

    fn wait_for(load: &Load, requests: u64) -> Seen {
        let start = Instant::now();
        loop {
            let seen = load.seen();
            if seen.requests >= requests {
                return seen;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "only {} requests", seen.requests);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_load_is_even_and_keeps_its_connections() {
        let (target, connections) = origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false);
        let begin = Instant::now();
        let load = Load::start(target).unwrap();

        let seen = wait_for(&load, 100);

        // Never a burst: each client takes one turn at a time.
        let soonest = Duration::from_secs(1) * (100 - CLIENTS) / REQUESTS_PER_SECOND;
        assert!(begin.elapsed() >= soonest, "{:?}", begin.elapsed());
        assert_eq!(seen.failures, 0, "{:?}", seen.last_failure);
        assert_eq!(seen.times.count(), seen.requests);
        assert_eq!(connections.load(Ordering::SeqCst), CLIENTS);
    }

    #[test]
    fn a_connection_closed_between_two_requests_is_no_failure() {
        let (target, connections) = origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true);
        let load = Load::start(target).unwrap();

        let seen = wait_for(&load, 50);

        assert_eq!(seen.failures, 0, "{:?}", seen.last_failure);
        assert!(connections.load(Ordering::SeqCst) >= 50);
    }

    #[test]
    fn an_error_a_torn_answer_and_silence_are_failures_with_their_reason() {
        let (error, _) = origin("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", false);
        let (torn, _) = origin("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntorn", true);
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (target, reason) in [(error, "503"), (torn, "end of file"), (nobody, "refused")] {
            let load = Load::start(target).unwrap();
            let seen = wait_for(&load, 8);
            assert_eq!((seen.failures, seen.times.count()), (seen.requests, 0));
            let why = seen.last_failure.unwrap();
            assert!(why.contains(reason), "{why}");
        }
    }
}

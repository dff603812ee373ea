//! An endpoint that writes down what came, read by the strictest of parsers, and answers by what is asked for.

use super::strict::{self, Message, Parsed};
use evenkeel_testkit::eventually;
use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// What the endpoint does with a request.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    pub(super) then: Then,
}

/// What the endpoint does after its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Waits for the next request.
    Goes,
    Closes,
}

/// What came on one connection.
#[derive(Clone, Debug, Default)]
struct Record {
    requests: Vec<Message>,
    /// Behind the last whole request: the beginning of another, or what is none.
    left: Vec<u8>,
    fault: Option<String>,
    ended: bool,
}

type Answering = Arc<dyn Fn(&Message) -> Reply + Send + Sync>;

/// The endpoint. Prints as its address in a configuration file.
pub(super) struct Scribe {
    address: SocketAddr,
    records: Arc<Mutex<Vec<Record>>>,
    accepting: AbortHandle,
}

/// A moment in what came.
pub(super) struct Mark(Vec<usize>);

/// What came since a mark.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    /// Whole requests, each with the number of its connection.
    pub(super) requests: Vec<(usize, Message)>,
    /// What is no request.
    pub(super) faults: Vec<String>,
}

impl Scribe {
    pub(super) async fn start(answer: impl Fn(&Message) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a free port");
        let records = Arc::default();
        let accepting = tokio::spawn(accept(listener, Arc::new(answer), Arc::clone(&records))).abort_handle();
        Self { address, records, accepting }
    }

    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        lock(&self.records)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.records().iter().map(|record| record.requests.len()).collect())
    }

    pub(super) fn since(&self, mark: &Mark) -> Arrived {
        let mut arrived = Arrived::default();
        for (number, record) in self.records().iter().enumerate() {
            let seen = mark.0.get(number).copied().unwrap_or(0);
            arrived.requests.extend(record.requests[seen..].iter().map(|request| (number, request.clone())));
            if mark.0.get(number).is_none() || record.requests.len() > seen {
                arrived.faults.extend(record.fault.clone());
            }
        }
        arrived
    }

    /// Waits until no connection has an unfinished request on it: what was begun has been broken off visibly.
    pub(super) async fn nothing_is_half_said(&self) {
        eventually("what was begun has ended", || {
            self.records().iter().all(|record| record.left.is_empty() || record.ended)
        })
        .await;
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Display for Scribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

fn lock(records: &Mutex<Vec<Record>>) -> MutexGuard<'_, Vec<Record>> {
    records.lock().expect("nobody panics while holding the records")
}

async fn accept(listener: TcpListener, answer: Answering, records: Arc<Mutex<Vec<Record>>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let number = {
            let mut records = lock(&records);
            records.push(Record::default());
            records.len() - 1
        };
        connections.spawn(serve(stream, number, Arc::clone(&answer), Arc::clone(&records)));
    }
}

async fn serve(mut stream: TcpStream, number: usize, answer: Answering, records: Arc<Mutex<Vec<Record>>>) {
    let mut buffer = Vec::new();
    loop {
        let reply = match strict::request(&buffer) {
            Parsed::Whole(request, used) => {
                buffer.drain(..used);
                let reply = answer(&request);
                lock(&records)[number].requests.push(request);
                reply
            }
            Parsed::Part => {
                lock(&records)[number].left.clone_from(&buffer);
                match stream.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => continue,
                }
            }
            Parsed::Fault(why) => {
                lock(&records)[number].fault = Some(format!("{why} in {:?}", String::from_utf8_lossy(&buffer)));
                break;
            }
        };
        // The proxy may have had enough of the answer before its end.
        let sent = stream.write_all(&reply.bytes).await;
        if sent.is_err() || reply.then == Then::Closes {
            break;
        }
    }
    let mut records = lock(&records);
    records[number].left = buffer;
    records[number].ended = true;
}

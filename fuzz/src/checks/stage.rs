//! A proxy in this process between a client that sends any bytes and an endpoint that reads with the strictest of parsers, or answers
//! with any bytes.
//!
//! Over unix sockets, which have no ports to run out of. The client ends its side behind its bytes and is served all the same, so
//! nobody ever waits for a timeout.

use super::super::strict::{self, Message, Parsed};
use evenkeel_config::parse;
use evenkeel_proxy::{Proxy, Snapshot};
use std::{
    env, fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process,
    sync::{LazyLock, Mutex, MutexGuard},
    thread,
    time::Duration,
};

/// Bytes of an input that are looked at: below every limit of the proxy, so that no answer is about those.
pub(super) const INPUT_MAX: usize = 4096;

/// A target that the endpoint answers with any bytes, and one that it answers well.
const ANY: &str = "/any";
const GOOD: &str = "/good";

/// For so long the endpoint waits for another request behind any bytes, before it takes them for unfinished and closes.
const PATIENCE: Duration = Duration::from_millis(20);

/// What came of some bytes.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Whole requests that the endpoint got.
    pub(super) requests: Vec<Message>,
    /// Everything that the client got.
    pub(super) answers: Vec<u8>,
}

#[derive(Debug, Default)]
struct Arrived {
    requests: Vec<Message>,
    faults: Vec<String>,
}

static ARRIVED: Mutex<Arrived> = Mutex::new(Arrived { requests: Vec::new(), faults: Vec::new() });

/// What the endpoint answers to [`ANY`].
static REPLY: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// Targets may be replayed by several tests of a process.
static TURN: Mutex<()> = Mutex::new(());

/// The proxy, and where it listens. It lives as long as the process.
static STAGE: LazyLock<(PathBuf, Proxy)> = LazyLock::new(|| {
    let folder = env::temp_dir().join(format!("evenkeel-fuzz-{}", process::id()));
    fs::create_dir_all(&folder).expect("a folder for sockets");
    let (web, endpoint) = (folder.join("web"), folder.join("endpoint"));
    let listener = UnixListener::bind(&endpoint).expect("a socket for the endpoint");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    let text = format!(
        "[listeners.web]\nlisten = \"unix:{}\"\nhalf_closed_clients = \"serve\"\n\
         [[routes]]\nupstream = \"site\"\n[upstreams.site]\nendpoints = [\"unix:{}\"]\n",
        web.display(),
        endpoint.display()
    );
    let (config, problems) = parse(&text, "fuzz.toml");
    let config = config.unwrap_or_else(|| panic!("{}", problems.render(false)));
    let snapshot = Snapshot::build(config, 1, None).expect("the configuration is sound");
    (web, Proxy::builder(snapshot).run().expect("the proxy runs"))
});

fn arrived() -> MutexGuard<'static, Arrived> {
    ARRIVED.lock().expect("nobody panics while holding what arrived")
}

/// One connection of the endpoint.
fn serve(mut stream: UnixStream) {
    let mut bytes = Vec::new();
    let mut part = [0; 8192];
    loop {
        match strict::request(&bytes) {
            Parsed::Whole(request, used) => {
                bytes.drain(..used);
                let reply = reply_to(&request);
                // Before its client can know.
                arrived().requests.push(request);
                let patience = reply.is_unfinished.then_some(PATIENCE);
                if stream.set_read_timeout(patience).and_then(|()| stream.write_all(&reply.bytes)).is_err() {
                    return;
                }
            }
            Parsed::Part => match stream.read(&mut part) {
                Ok(0) | Err(_) => return,
                Ok(n) => bytes.extend_from_slice(&part[..n]),
            },
            Parsed::Fault(why) => {
                let bytes = String::from_utf8_lossy(&bytes).into_owned();
                return arrived().faults.push(format!("{why} in {bytes:?}"));
            }
        }
    }
}

struct Reply {
    bytes: Vec<u8>,
    /// Perhaps.
    is_unfinished: bool,
}

fn reply_to(request: &Message) -> Reply {
    let any = REPLY.lock().expect("nobody panics while holding the reply").clone();
    match any.filter(|_| request.word(1) == ANY) {
        Some(bytes) => Reply { bytes, is_unfinished: true },
        None => {
            // Without a body where it can be, so that nobody has to know which method it answers.
            let good = if request.word(1) == GOOD {
                "200 OK\r\ncontent-length: 4\r\n\r\ngood"
            } else {
                "204 No Content\r\n\r\n"
            };
            Reply { bytes: format!("HTTP/1.1 {good}").into_bytes(), is_unfinished: false }
        }
    }
}

/// One connection of a client: sends these bytes, ends its side, and gives all that comes back.
fn converse(bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(&STAGE.0).expect("the proxy accepts");
    // It may have refused, and closed, before the end.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    answers
}

/// Has a request answered with these bytes. Gives what its client gets, and what another one gets then for a request that is answered
/// well, perhaps over the same connection to the endpoint.
pub(super) fn answers_with(bytes: &[u8], method: &str) -> (Vec<u8>, Vec<u8>) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let reply = |bytes| *REPLY.lock().expect("nobody panics while holding the reply") = bytes;
    reply(Some(bytes.to_vec()));
    let any = converse(format!("{method} {ANY} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    let good = converse(format!("GET {GOOD} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    reply(None);
    (any, good)
}

/// Sends these bytes on one connection and waits for its end. What reaches the endpoint is well-formed.
pub(super) fn sends(bytes: &[u8]) -> Outcome {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *arrived() = Arrived::default();
    let answers = converse(bytes);
    let Arrived { requests, faults } = std::mem::take(&mut *arrived());
    assert!(faults.is_empty(), "the endpoint got what is no request: {faults:?}");
    Outcome { requests, answers }
}

impl Outcome {
    /// The final answers, to requests none of which is a HEAD.
    pub(super) fn statuses(&self) -> Vec<u16> {
        let (mut statuses, mut rest) = (Vec::new(), self.answers.as_slice());
        while !rest.is_empty() {
            match strict::response(rest, "GET", true) {
                Parsed::Whole(answer, used) => {
                    rest = &rest[used..];
                    if answer.status() >= 200 {
                        statuses.push(answer.status());
                    }
                }
                other => panic!("the client got what is no answer: {other:?}"),
            }
        }
        statuses
    }
}

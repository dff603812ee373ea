//! What the tests of this crate share: an endpoint to ask, a log to read, a wait with an end.

use evenkeel_balance::{Endpoint, Generation};
use evenkeel_model::{Address, Duration, UpstreamName};
use std::{
    fmt::{Debug, Write},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, ThreadId},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tracing::{Event, Metadata, Subscriber, field::Field, span};

/// Every test of this folder comes by here before anything is logged.
pub(crate) fn upstream() -> UpstreamName {
    LazyLock::force(&LOG);
    "site".parse().unwrap()
}

pub(crate) fn endpoint(address: &str) -> Arc<Endpoint> {
    Endpoint::new(address.parse().unwrap(), Generation::default())
}

/// Waits for a condition; ten seconds are a fault.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("waited in vain: {what}");
}

/// An HTTP server on a port of its own that answers every request with one status, and counts connections.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) address: Address,
    status: Arc<AtomicU16>,
    connections: Arc<AtomicUsize>,
}

impl Origin {
    pub(crate) async fn answering(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self {
            address: Address::Ip(listener.local_addr().unwrap()),
            status: Arc::new(status.into()),
            connections: Arc::default(),
        };
        tokio::spawn(origin.clone().serve(listener));
        origin
    }

    pub(crate) fn answers(&self, status: u16) {
        self.status.store(status, SeqCst);
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    async fn serve(self, listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            self.connections.fetch_add(1, SeqCst);
            let answer = format!("HTTP/1.1 {} X\r\nContent-Length: 0\r\n\r\n", self.status.load(SeqCst));
            tokio::spawn(async move {
                let mut head = [0; 1024];
                if stream.read(&mut head).await.is_ok() {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    }
}

/// The log of all tests. One for the process and there before the first line: tracing remembers for each line of code whether
/// anybody wants it, and a log that comes and goes with its test would be forgotten at times.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    log
});

/// One line for each event, `LEVEL message field=value ..`, with the thread that wrote it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(ThreadId, String)>>>);

/// The lines of this test, which has a thread to itself, that speak of `text`.
pub(crate) fn logged(text: &str) -> Vec<String> {
    let me = thread::current().id();
    let lines = LOG.0.lock().unwrap();
    lines.iter().filter(|(thread, line)| *thread == me && line.contains(text)).map(|(_, line)| line.clone()).collect()
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("evenkeel_health")
    }
    fn event(&self, event: &Event<'_>) {
        let mut line = event.metadata().level().to_string();
        event.record(&mut |field: &Field, value: &dyn Debug| {
            let _ = match field.name() {
                "message" => write!(line, " {value:?}"),
                name => write!(line, " {name}={value:?}"),
            };
        });
        self.0.lock().unwrap().push((thread::current().id(), line));
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

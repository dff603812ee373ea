//! Many clients that say nothing, half a head, send one byte a second, or take one: what each costs in memory, and that they delay nobody.
//!
//! 512 of them, or as many as `EVENKEEL_SLOW_CLIENTS` says; `.ci/run` asks for 5 000 where descriptors allow. They come over unix sockets:
//! what the kernel holds for a TCP connection over loopback would hide that a client takes nothing.

use evenkeel_testkit::{Answer, Origin, Proxy};
use std::{
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime,
    sync::oneshot,
    task::LocalSet,
};

/// What a slow client does, and the bytes that it may cost: 5 000 of all kinds together must stay below 120 MB, also in a build without
/// optimisation; an allocator gives no exact measure.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Nothing.
    Silent,
    /// Sends a head, byte by byte.
    Begins,
    /// Sends a body.
    Sends,
    /// Takes an answer.
    Takes,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Silent, Self::Begins, Self::Sends, Self::Takes];

    const fn bytes_max(self) -> u64 {
        match self {
            Self::Silent | Self::Begins => 16 << 10,
            Self::Sends | Self::Takes => 24 << 10,
        }
    }

    const fn request(self) -> &'static [u8] {
        match self {
            Self::Silent => b"",
            Self::Begins => b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
            Self::Sends => b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
            Self::Takes => b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
        }
    }
}

/// More than the kernel holds for a client.
const LARGE: usize = 1 << 20;

/// Rounds of ordinary traffic, of which the quietest counts: other processes make a machine slower, never faster.
const ROUNDS: usize = 12;
const REQUESTS: usize = 400;

/// p99 with them, in terms of p99 without: one and a half, and what a scheduler's turn may take. Where other tests run at the same time, it
/// can only be seen that nobody waits for the slow ones.
fn is_as_quick(with: Duration, without: Duration, alone: bool) -> bool {
    with <= if alone { without * 3 / 2 + Duration::from_micros(200) } else { without * 4 + Duration::from_millis(5) }
}

#[tokio::test]
async fn many_slow_clients_cost_no_more_than_their_buffers_and_delay_nobody() {
    let asked = env::var("EVENKEEL_SLOW_CLIENTS").map(|n| n.parse().expect("a number of clients"));
    let (clients, alone) = (asked.clone().unwrap_or(512), asked.is_ok());
    let each = clients / Kind::ALL.len();
    assert!(evenkeel_net::raise_limit() > clients * 3, "{clients} slow clients need more descriptors");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let large = Answer::text(vec![b'x'; LARGE]);
    let origin = Origin::http1().on_unix(folder.path().join("origin")).at("/large", large).start().await;
    let path = folder.path().join("slow");
    let patient = "timeouts = { request_head = \"1h\", body_stall = \"1h\" }";
    let listener = format!("[listeners.slow]\nlisten = \"unix:{}\"\n{patient}", path.display());
    let proxy = Proxy::with_upstream(&origin).more(&listener).start().await;
    let port = proxy.web().port();
    let quickest = move |good: Box<dyn Fn(Duration) -> bool + Send>| {
        tokio::task::spawn_blocking(move || {
            let mut best = Duration::MAX;
            for _ in 0..ROUNDS {
                best = best.min(p99(port));
                if good(best) {
                    break;
                }
            }
            best
        })
    };
    let without = quickest(Box::new(|_| false)).await.expect("the rounds end");

    let mut slow = Vec::new();
    for kind in Kind::ALL {
        let before = resident(proxy.id());
        slow.push(Slow::start(&path, kind, each));
        let all = number(slow.len() * each);
        let listener = [("listener", "slow")];
        proxy.metrics_show("all are there", |m| m.sum("evenkeel_connections", &listener) >= all).await;
        // Each of them has had its turn, and what it costs is there, once the bytes of some seconds have passed.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let cost = resident(proxy.id()).saturating_sub(before) / each as u64;
        println!("{kind:?}: {cost} bytes for each of {each}");
        assert!(cost <= kind.bytes_max(), "{cost} bytes for each of {each} clients: {kind:?}");
    }
    let with = quickest(Box::new(move |with| is_as_quick(with, without, alone))).await.expect("the rounds end");

    println!("p99 {without:?} without, {with:?} with {clients} slow clients");
    assert!(is_as_quick(with, without, alone), "p99 was {without:?}, and {with:?} with {clients} slow clients");
    let metrics = proxy.metrics().await;
    let left = metrics.sum("evenkeel_connections", &[("listener", "slow")]);
    assert!(left >= number(Kind::ALL.len() * each), "{left} of {clients} are left");
    let waiting = metrics.sum("evenkeel_requests_in_flight", &[]);
    assert!(waiting >= number(2 * each), "{waiting} of {clients} have asked and are not answered");
    slow.into_iter().for_each(Slow::stop);
}

fn number(of: usize) -> f64 {
    f64::from(u32::try_from(of).expect("a small number"))
}

/// Bytes of a process in memory. proc(5): the second number of statm, in pages.
pub(super) fn resident(process: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{process}/statm")).expect("the process lives");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * rustix::param::page_size() as u64
}

/// Of as many requests over one kept connection, the time that one in a hundred takes longer than.
fn p99(port: u16) -> Duration {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the proxy accepts");
    socket.set_nodelay(true).expect("a socket");
    let mut took: Vec<_> = (0..REQUESTS).map(|_| exchange(&mut socket)).collect();
    took.sort_unstable();
    took[REQUESTS * 99 / 100]
}

fn exchange(socket: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    socket.write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is taken");
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        let n = socket.read(&mut part).expect("an answer");
        assert!(n > 0, "the connection ended");
        answer.extend_from_slice(&part[..n]);
    }
    begun.elapsed()
}

/// Slow clients, on a thread of their own.
struct Slow {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Slow {
    fn start(path: &Path, kind: Kind, clients: usize) -> Self {
        let path = path.to_owned();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let local = LocalSet::new();
            for _ in 0..clients {
                local.spawn_local(slow(path.clone(), kind));
            }
            runtime.block_on(local.run_until(async { drop(stopped.await) }));
        });
        Self { stop, thread }
    }

    fn stop(self) {
        drop(self.stop);
        self.thread.join().expect("it ends");
    }
}

async fn slow(path: PathBuf, kind: Kind) {
    let mut socket = loop {
        match UnixStream::connect(&path).await {
            Ok(socket) => break socket,
            // The queue is full.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    socket.write_all(kind.request()).await.expect("it is taken");
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match kind {
            Kind::Silent => {}
            Kind::Begins | Kind::Sends => socket.write_all(b"x").await.expect("it is taken"),
            Kind::Takes => drop(socket.read_u8().await.expect("it goes on")),
        }
    }
}

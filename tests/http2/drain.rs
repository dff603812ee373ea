//! Drains under load: each request is answered, or GOAWAY has said that nobody looked at it.
//!
//! The clients are single frames, so that they know what they were told and when. Some stop at the first GOAWAY, as most libraries do; some
//! go on until they hear of the last stream; of some even more is on its way then, as of those that are far away.

use super::talk::h2c;
use evenkeel_testkit::{
    Answer, Authority, Builder, Frame, FrameWire, Origin, Place, Proxy, Signal, TlsClient, eventually, in_time,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

const REFUSED_STREAM: u32 = 7;
/// GOAWAY that refuses nothing yet (RFC 9113, section 6.8).
const NO_LAST_STREAM: u32 = 0x7fff_ffff;
/// `:status: 200` in an answer's head (RFC 7541, appendix A).
const OK: u8 = 0x80 | 8;
const AT_A_TIME: usize = 16;
const CLIENTS: usize = 9;

/// When a client asks for nothing more.
#[derive(Clone, Copy)]
enum Until {
    FirstGoaway,
    LastStream,
    /// So many requests later.
    Later(u32),
}

/// What became of one client's requests.
#[derive(Default, Debug)]
struct Tally {
    answered: usize,
    /// Reset with the word that nothing was done.
    refused: usize,
    /// Above the last stream of GOAWAY.
    left_out: usize,
    /// All others: nobody can say what became of them.
    lost: Vec<String>,
    /// The last streams that it was told.
    told: Vec<u32>,
}

/// Keeps requests in flight until the connection ends.
async fn load(mut wire: FrameWire, until: Until, answers: Arc<AtomicUsize>) -> Tally {
    let (mut tally, mut open, mut next) = (Tally::default(), BTreeSet::new(), 1);
    let (mut quiet, mut behind) = (false, 0);
    // However many answers come.
    wire.send(Frame::new(Frame::WINDOW_UPDATE, 0, 0, 0x4000_0000_u32.to_be_bytes())).await;
    loop {
        while behind > 0 || !quiet && open.len() < AT_A_TIME {
            behind = u32::saturating_sub(behind, 1);
            if wire.try_send(&Frame::get(next, "/slow").bytes()).await.is_err() {
                break;
            }
            open.insert(next);
            next += 2;
        }
        let Some(frame) = wire.frame().await else { break };
        match frame.kind {
            Frame::PING | Frame::SETTINGS if frame.flags & Frame::ACK == 0 => {
                let payload = if frame.kind == Frame::PING { &frame.payload[..] } else { &[] };
                // It may have closed by now.
                let _ = wire.try_send(&Frame::new(frame.kind, Frame::ACK, 0, payload).bytes()).await;
            }
            Frame::GOAWAY => {
                assert_eq!(frame.goaway_code(), Some(0), "nobody is to blame");
                let last = u32::from_be_bytes(frame.payload[..4].try_into().expect("four bytes"));
                quiet |= matches!(until, Until::FirstGoaway) || last < NO_LAST_STREAM;
                if let (Until::Later(requests), true) = (until, last < NO_LAST_STREAM) {
                    behind = requests;
                }
                tally.told.push(last);
            }
            Frame::RST_STREAM => {
                open.remove(&frame.stream);
                match frame.number() {
                    Some(REFUSED_STREAM) => tally.refused += 1,
                    code => tally.lost.push(format!("stream {}: reset with {code:?}", frame.stream)),
                }
            }
            Frame::HEADERS if frame.payload.first() != Some(&OK) => {
                tally.lost.push(format!("stream {}: not answered with 200", frame.stream));
            }
            _ => {}
        }
        if frame.ends_stream() && open.remove(&frame.stream) {
            tally.answered += 1;
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
    let last = tally.told.last().copied().unwrap_or(NO_LAST_STREAM);
    for stream in open {
        if stream > last {
            tally.left_out += 1;
        } else {
            tally.lost.push(format!("stream {stream}: no answer, and the last is {last}"));
        }
    }
    tally
}

/// Who connects, and how.
#[derive(Clone)]
enum Door {
    Plain,
    Secured(TlsClient),
}

impl Door {
    async fn open(&self, place: &Place) -> FrameWire {
        match self {
            Self::Plain => FrameWire::to(place, &[]).await,
            Self::Secured(client) => FrameWire::begun(client.socket(place).await, &[]).await,
        }
    }
}

async fn origin() -> Origin {
    Origin::http1().at("/slow", Answer::text("done").after(Duration::from_millis(20))).start().await
}

fn plain(origin: &Origin) -> (Builder, Door) {
    (h2c(origin), Door::Plain)
}

fn secured(origin: &Origin) -> (Builder, Door) {
    let authority = Authority::new("Test Authority");
    let builder = Proxy::with_upstream(origin).listener("tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]");
    authority.server(&["a.test"]).make().write(builder.folder(), "a");
    let client = TlsClient::new(&authority, "a.test").but(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    (builder, Door::Secured(client))
}

/// Clients at work; from now on all of them are.
async fn clients(door: &Door, place: &Place) -> JoinSet<Tally> {
    let answers = Arc::<AtomicUsize>::default();
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let wire = door.open(place).await;
        let until = [Until::FirstGoaway, Until::LastStream, Until::Later(20)][n % 3];
        clients.spawn(load(wire, until, Arc::clone(&answers)));
    }
    eventually("clients are answered", || answers.load(Ordering::Relaxed) > 20 * CLIENTS * AT_A_TIME).await;
    clients
}

async fn nothing_was_lost(clients: JoinSet<Tally>, origin: &Origin) {
    let tallies = in_time("the end of every connection", clients.join_all()).await;
    for tally in &tallies {
        println!("{tally:?}");
        assert!(tally.lost.is_empty(), "{tally:?}");
        let [first, .., last] = tally.told[..] else { panic!("told once: {tally:?}") };
        assert!(first == NO_LAST_STREAM && last < NO_LAST_STREAM, "in two steps: {tally:?}");
    }
    // What is said to be untouched was not seen by an endpoint either.
    assert_eq!(origin.requests(), tallies.iter().map(|tally| tally.answered).sum::<usize>());
}

async fn stops_in_good_order(how: fn(&Origin) -> (Builder, Door)) {
    let origin = origin().await;
    let (builder, door) = how(&origin);
    let mut proxy = builder.start().await;
    let clients = clients(&door, proxy.web()).await;

    proxy.signal(Signal::Term);

    nothing_was_lost(clients, &origin).await;
    assert_eq!(proxy.exit().await.code, Some(0));
}

#[tokio::test]
async fn a_process_that_stops_loses_no_stream() {
    stops_in_good_order(plain).await;
}

#[tokio::test]
async fn a_process_that_stops_loses_no_stream_within_tls() {
    stops_in_good_order(secured).await;
}

async fn leaves_in_good_order(how: fn(&Origin) -> (Builder, Door)) {
    let origin = origin().await;
    let (builder, door) = how(&origin);
    let proxy = builder.more("[listeners.other]\nlisten = \"127.0.0.1:0\"").start().await;
    let clients = clients(&door, proxy.web()).await;

    let upstream = format!("[[routes]]\nupstream = \"site\"\n[upstreams.site]\nendpoints = [\"{origin}\"]\n");
    proxy.reload_with(&format!("[listeners.other]\nlisten = \"127.0.0.1:0\"\n{upstream}")).await;

    nothing_was_lost(clients, &origin).await;
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_listener_that_is_taken_away_loses_no_stream() {
    leaves_in_good_order(plain).await;
}

#[tokio::test]
async fn a_listener_that_is_taken_away_loses_no_stream_within_tls() {
    leaves_in_good_order(secured).await;
}

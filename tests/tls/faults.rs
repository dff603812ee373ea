//! What goes wrong with TLS after its handshake: the connection ends, it is counted by kind, and the log tells it once.

use super::{get, site};
use evenkeel_testkit::{Authority, Place, Proxy, Socket, TlsClient, Wire, eventually};
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
};

const FAULTS: &str = "evenkeel_tls_faults_total";

/// What somebody on the way does to what passes. 0 is nothing.
#[derive(Clone, Copy)]
enum Way {
    OneBitFlipped = 1,
    /// Other bytes instead, which are no record.
    Replaced,
}

/// One direction of a connection on which somebody sits.
#[derive(Clone, Default)]
struct Meddler(Arc<AtomicU8>);

impl Meddler {
    fn does(&self, way: Way) {
        self.0.store(way as u8, Ordering::SeqCst);
    }

    async fn pass(self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
            let piece = &mut buffer[..bytes];
            match self.0.load(Ordering::SeqCst) {
                way if way == Way::OneBitFlipped as u8 => piece[bytes - 1] ^= 1,
                way if way == Way::Replaced as u8 => piece.fill(99),
                _ => {}
            }
            if to.write_all(piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    }
}

/// A connection within TLS, and who sits on its way there and back.
async fn meddled(client: &TlsClient, place: &Place) -> (Wire, Meddler, Meddler) {
    let (forth, back) = (Meddler::default(), Meddler::default());
    let (near, far) = UnixStream::pair().expect("a pair of sockets");
    let (there, here) = (tokio::io::split(place.connect().await.expect("somebody accepts")), tokio::io::split(far));
    tokio::spawn(forth.clone().pass(here.0, there.1));
    tokio::spawn(back.clone().pass(there.0, here.1));
    (Wire::over(client.over(Socket::Unix(near)).await), forth, back)
}

fn clients(authority: &Authority) -> [TlsClient; 2] {
    [TlsClient::new(authority, "a.test"), TlsClient::old(authority, "a.test")]
}

async fn counts(proxy: &Proxy, kind: &str, goal: u32) {
    let (what, goal) = (format!("{goal} times {kind}"), f64::from(goal));
    let metrics = proxy.metrics_show(&what, |m| (m.sum(FAULTS, &[("kind", kind)]) - goal).abs() < 0.5).await;
    assert!((metrics.sum(FAULTS, &[]) - goal).abs() < 0.5, "and nothing else: {}", metrics.text());
    proxy.metrics_show("the connection is over", |m| m.sum("evenkeel_connections", &[]) < 0.5).await;
}

const REQUEST: &str = "GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[tokio::test]
async fn records_that_were_changed_on_the_way_end_their_connection_and_reach_no_endpoint() {
    for (way, kind) in [(Way::OneBitFlipped, "bad_record"), (Way::Replaced, "malformed")] {
        let (authority, origin, builder) = site().await;
        let proxy = builder.workers(1).start().await;
        for (n, client) in (1..).zip(clients(&authority)) {
            let (mut wire, forth, _back) = meddled(&client, proxy.web()).await;
            assert_eq!(get(&mut wire, "a.test").await.status, 200);

            forth.does(way);
            wire.send(REQUEST).await;

            wire.closed().await;
            counts(&proxy, kind, n).await;
        }
        assert_eq!(origin.requests(), 2, "one before each");
        assert_eq!(proxy.log().matches("TLS failed after its handshake").count(), 1, "{}", proxy.log());
        let handshakes = proxy.metrics().await.sum("evenkeel_tls_handshakes_total", &[("result", "full")]);
        assert!((handshakes - 2.0).abs() < 0.5, "they went well: {handshakes}");
    }
}

#[tokio::test]
async fn a_client_that_gives_up_with_an_alert_is_counted() {
    let (authority, origin, builder) = site().await;
    let proxy = builder.workers(1).start().await;
    for (n, client) in (1..).zip(clients(&authority)) {
        let (mut wire, _forth, back) = meddled(&client, proxy.web()).await;
        assert_eq!(get(&mut wire, "a.test").await.status, 200);

        // It cannot read its answer, and says so (RFC 8446, section 6.2: bad_record_mac).
        back.does(Way::OneBitFlipped);
        wire.send(REQUEST).await;
        eventually("it was asked", || origin.requests() == 2 * n as usize).await;

        wire.closed().await;
        counts(&proxy, "alert", n).await;
    }
}

#[tokio::test]
async fn nobody_is_to_blame_for_an_end_in_good_order_or_without_a_word() {
    let (authority, _origin, builder) = site().await;
    let proxy = builder.start().await;
    for client in clients(&authority) {
        let (mut wire, ..) = meddled(&client, proxy.web()).await;
        assert_eq!(get(&mut wire, "a.test").await.status, 200);
        wire.finish().await;
        wire.closed().await;
        let (mut wire, ..) = meddled(&client, proxy.web()).await;
        assert_eq!(get(&mut wire, "a.test").await.status, 200);
        drop(wire);
    }
    counts(&proxy, "bad_record", 0).await;
}

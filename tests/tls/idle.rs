//! What connections within TLS cost in memory while nothing is asked: 300 of each kind, or as many as `EVENKEEL_IDLE_CLIENTS` says;
//! `.ci/run` asks for 2 000 where descriptors allow.

use super::{get, site};
use crate::slow_clients::resident;
use evenkeel_testkit::{Answer, Authority, Frame, FrameWire, Proxy, Secured, TlsClient};
use std::{any::Any, env};

/// What the client has done before it fell silent.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Its handshake, and nothing more.
    Greeted,
    /// A request.
    Asked,
    /// The same in TLS 1.2.
    AskedOld,
    /// HTTP/2's begin, and nothing more.
    Http2Greeted,
    /// A request of HTTP/2.
    Http2,
    /// Fifty requests of HTTP/2 whose answers are all different.
    Http2Often,
}

impl Kind {
    /// What such a connection may cost. Of HTTP/1.1 that is rustls with a buffer of 4 KiB, and hyper with two of 8 KiB, of which one page each
    /// is in use. h2 has 8 KiB to read, 16 KiB to write and 4 KiB for heads, and its tables once a stream was there.
    const fn bytes_max(self) -> u64 {
        match self {
            Self::Greeted | Self::Asked | Self::AskedOld => 24 << 10,
            Self::Http2Greeted | Self::Http2 => 32 << 10,
            Self::Http2Often => 56 << 10,
        }
    }

    const ALL: [Self; 6] =
        [Self::Greeted, Self::Asked, Self::AskedOld, Self::Http2Greeted, Self::Http2, Self::Http2Often];
}

/// Each with a value that HPACK remembers. A table of 4 KiB has room for more.
const ANSWERS: u32 = 50;

#[tokio::test]
async fn an_idle_connection_costs_little_whatever_it_has_done() {
    let clients = env::var("EVENKEEL_IDLE_CLIENTS").map_or(300, |n| n.parse().expect("a number of clients"));
    assert!(evenkeel_net::raise_limit() > clients * 2, "{clients} clients need more descriptors");
    for kind in Kind::ALL {
        // So many requests take a while, and a client that answers no PING is given up after 40 s.
        let clients = if matches!(kind, Kind::Http2Often) { clients.min(300) } else { clients };
        let (authority, origin, builder) = site().await;
        let proxy = builder.listener("timeouts = { request_head = \"1h\", idle = \"1h\" }").start().await;
        for number in 0..ANSWERS {
            origin.set_answer(&format!("/{number}"), Answer::text("x").header("x-number", &number.to_string()));
        }
        // What is there once and for all: pools, tables, and what an allocator keeps for later.
        let mut open = connected(kind, &authority, &proxy, 50).await;
        let before = resident(proxy.id());

        open.extend(connected(kind, &authority, &proxy, clients).await);

        let all = f64::from(u32::try_from(open.len()).expect("not so many"));
        proxy.metrics_show("all are there", |m| m.sum("evenkeel_connections", &[]) >= all).await;
        let cost = resident(proxy.id()).saturating_sub(before) / clients as u64;
        println!("{kind:?}: {cost} bytes for each of {clients}");
        assert!(cost <= kind.bytes_max(), "{cost} bytes for each of {clients} clients: {kind:?}");
    }
}

async fn connected(kind: Kind, authority: &Authority, proxy: &Proxy, clients: usize) -> Vec<Box<dyn Any>> {
    let mut open = Vec::new();
    for _ in 0..clients {
        open.push(one(kind, authority, proxy).await);
    }
    open
}

/// A connection whose client says nothing more.
async fn one(kind: Kind, authority: &Authority, proxy: &Proxy) -> Box<dyn Any> {
    let client = match kind {
        Kind::AskedOld => TlsClient::old(authority, "a.test"),
        _ => TlsClient::new(authority, "a.test"),
    };
    match kind {
        Kind::Greeted => Box::new(client.connect(proxy.web()).await),
        Kind::Asked | Kind::AskedOld => {
            let Secured { mut wire, .. } = client.connect(proxy.web()).await;
            assert_eq!(get(&mut wire, "a.test").await.status, 200);
            Box::new(wire)
        }
        Kind::Http2Greeted | Kind::Http2 | Kind::Http2Often => {
            let client = client.but(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
            let mut wire = FrameWire::begun(client.socket(proxy.web()).await, &[]).await;
            let requests = match kind {
                Kind::Http2 => 1,
                Kind::Http2Often => ANSWERS,
                _ => 0,
            };
            for number in 0..requests {
                let (stream, path) = (2 * number + 1, format!("/{number}"));
                let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", &path)];
                wire.send(Frame::headers(stream, &fields, true)).await;
                while !wire.frame_on(stream).await.expect("an answer").ends_stream() {}
            }
            Box::new(wire)
        }
    }
}

//! Requests that an endpoint of HTTP/2 has never looked at (RFC 9113, section 8.7): they go elsewhere or again, whatever their method, for a time.

use super::origin::{FrameOrigin, H2Origin};
use evenkeel_testkit::{Builder, Frame, FrameWire, Proxy, in_time};
use h2::Reason;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

fn h2c_endpoint(endpoint: impl std::fmt::Display) -> Builder {
    Proxy::with_upstream(endpoint).upstream("protocol = \"h2c\"").workers(1)
}

/// The number of the next stream on which a request comes; `None` at the end of the connection.
async fn request(wire: &mut FrameWire) -> Option<u32> {
    loop {
        let frame = wire.frame().await?;
        if frame.kind == Frame::HEADERS {
            return Some(frame.stream);
        }
    }
}

fn goaway(last: u32) -> Frame {
    Frame::new(Frame::GOAWAY, 0, 0, [last.to_be_bytes(), 0_u32.to_be_bytes()].concat())
}

/// Serves so many requests on each connection, and looks at no other: as nginx does with `keepalive_requests`.
async fn serves_few(origin: FrameOrigin, requests: usize, connections: Arc<AtomicUsize>) {
    loop {
        let mut wire = origin.accept(&[]).await;
        connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            for served in 1..=requests {
                let Some(stream) = request(&mut wire).await else { return };
                if served == requests {
                    wire.send(goaway(stream)).await;
                }
                wire.send(Frame::headers(stream, &[(":status", "204")], true)).await;
            }
            while wire.frame().await.is_some() {}
        });
    }
}

#[tokio::test]
async fn a_request_is_sent_until_the_endpoint_looks_at_it() {
    let origin = FrameOrigin::start();
    let proxy = h2c_endpoint(&origin.place).upstream("timeouts.connect = \"20s\"").start().await;
    let client = proxy.client();
    let asked = tokio::spawn(async move { client.post("/", "pay").send().await.status });

    for _ in 0..10 {
        let mut wire = origin.accept(&[]).await;
        assert_eq!(request(&mut wire).await, Some(1));
        wire.send(goaway(0)).await;
    }
    let mut wire = origin.accept(&[]).await;
    wire.frame_of(Frame::HEADERS, 1).await.expect("the same request");
    assert_eq!(wire.frame_of(Frame::DATA, 1).await.expect("its body").payload, b"pay");
    wire.send(Frame::headers(1, &[(":status", "204")], true)).await;

    assert_eq!(in_time("an answer", asked).await.unwrap(), 204);
}

#[tokio::test]
async fn an_endpoint_that_serves_few_requests_on_a_connection_serves_many_at_a_time() {
    let origin = FrameOrigin::start();
    let proxy = h2c_endpoint(&origin.place).upstream("timeouts.connect = \"20s\"").start().await;
    let connections = Arc::<AtomicUsize>::default();
    tokio::spawn(serves_few(origin, 10, Arc::clone(&connections)));

    let clients: Vec<_> = (0..80)
        .map(|_| {
            let client = proxy.client();
            tokio::spawn(async move { client.post("/", "pay").repeat(5).statuses().await })
        })
        .collect();

    for statuses in clients {
        assert_eq!(in_time("answers", statuses).await.unwrap(), [204; 5]);
    }
    let connections = connections.load(Ordering::Relaxed);
    assert!((40..=60).contains(&connections), "{connections} connections for 400 requests");
}

#[tokio::test]
async fn a_request_that_is_never_looked_at_has_the_time_of_a_connection_and_makes_few() {
    let origin = FrameOrigin::start();
    let proxy = h2c_endpoint(&origin.place).upstream("timeouts.connect = \"500ms\"").start().await;
    let connections = Arc::<AtomicUsize>::default();
    let made = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let mut wire = origin.accept(&[]).await;
            made.fetch_add(1, Ordering::Relaxed);
            request(&mut wire).await;
            wire.send(goaway(0)).await;
        }
    });
    let begun = Instant::now();

    assert_eq!(proxy.client().get("/").send().await.status, 502);

    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    let connections = connections.load(Ordering::Relaxed);
    assert!((4..60).contains(&connections), "{connections} connections");
    proxy.counts_local("upstream_reset", 1).await;
}

#[tokio::test]
async fn a_request_that_one_endpoint_refuses_goes_to_another() {
    let refused = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&refused);
    let refusing = H2Origin::start(move |(_, mut respond)| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            respond.send_reset(Reason::REFUSED_STREAM);
            Ok(())
        }
    })
    .await;
    let good = H2Origin::echo().await;
    let proxy = Proxy::with_endpoints([&refusing.place, &good.place])
        .upstream("protocol = \"h2c\"\nbalance = \"round_robin\"")
        .workers(1)
        .start()
        .await;

    assert_eq!(proxy.client().post("/", "pay").repeat(4).statuses().await, [200; 4]);

    let refused = refused.load(Ordering::Relaxed);
    assert!((2..=12).contains(&refused), "three times for each that went there first: {refused}");
}

//! Two hundred clients that stop in the middle: what each of them costs.

use super::{
    memory::Memory,
    talk::{Talk, h2c, request},
};
use bytes::Bytes;
use evenkeel_testkit::{Answer, Frame, FrameWire, Origin, Proxy, RawOrigin, Script, in_time};
use std::time::{Duration, Instant};
use tokio::{sync::watch, task::JoinSet};

const CLIENTS: usize = 200;
/// What a client may be sent before it says anything (RFC 9113, section 6.9.2).
const WINDOW: usize = 65_535;
/// Far above what any buffer on the way holds.
const BODY: usize = 8 << 20;
/// Nobody is given up while we look.
const PATIENT: &str = "timeouts.body_stall = \"10m\"";

/// Waits until no byte has come from clients, or gone to them, for a while.
async fn nothing_moves(proxy: &Proxy) {
    let (mut last, mut since) = (-1.0, Instant::now());
    let begun = Instant::now();
    while since.elapsed() < Duration::from_millis(700) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it goes on and on: {last} bytes");
        let bytes = proxy.metrics().await.sum("evenkeel_bytes_total", &[]);
        if (bytes - last).abs() > 0.5 {
            (last, since) = (bytes, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// KiB that each client has cost at most. 91 to 98 were seen for an answer (its 64 of us and the endpoint's connection), 370 to 383 for an
/// upload (its window of 256, in the pieces in which it came).
fn costs(memory: &Memory, what: &str, bound: u64) {
    let each = memory.grown() / CLIENTS as u64;
    println!("{what}: at most {each} KiB for each of {CLIENTS} clients");
    assert!(each < bound, "{what}: {each} KiB for each client");
}

#[tokio::test]
async fn an_answer_that_is_not_taken_costs_its_buffer_and_little_more() {
    let origin = Origin::http1().at("/large", Answer::text(Bytes::from(vec![b'x'; BODY]))).start().await;
    let proxy = h2c(&origin).listener(PATIENT).start().await;
    assert_eq!(Talk::to(proxy.web()).await.ask(request("GET", "/")).await.unwrap().status, 200);
    let memory = Memory::of(&proxy);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut wire = FrameWire::to(proxy.web(), &[]).await;
        clients.spawn(async move {
            wire.send(Frame::get(1, "/large")).await;
            let mut taken = 0;
            while taken < WINDOW {
                taken += wire.frame_of(Frame::DATA, 1).await.expect("a part of it").payload.len();
            }
            wire
        });
    }
    let wires = in_time("every window is full", clients.join_all()).await;
    nothing_moves(&proxy).await;

    costs(&memory, "an answer that is not taken", 160);

    drop(wires);
    proxy.is_idle().await;
}

#[tokio::test]
async fn an_upload_that_is_stuck_costs_its_window_and_little_more() {
    let (gate, _) = watch::channel(false);
    let stuck = RawOrigin::start(Script::new().reads_head().waits_for(&gate).stalls()).await;
    let proxy = h2c(&stuck).listener(PATIENT).start().await;
    let memory = Memory::of(&proxy);
    let body = Bytes::from(vec![b'x'; BODY]);
    let mut held = Vec::new();
    for _ in 0..CLIENTS {
        let talk = Talk::to(proxy.web()).await;
        let (answer, mut upload) = talk.begin(request("POST", "/"), false).await.unwrap();
        upload.send_data(body.clone(), false).unwrap();
        held.push((talk, answer, upload));
    }
    nothing_moves(&proxy).await;

    costs(&memory, "an upload that is stuck", 512);

    drop(held);
    proxy.is_idle().await;
}

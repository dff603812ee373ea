//! TCP listeners: bytes that are passed on as they are, to the same upstreams, with the same care.

mod carrying;
mod ending;
mod endpoints;
mod names;
mod opening;
mod secured;

use evenkeel_testkit::{Builder, Metrics, Proxy};
use std::fmt::Display;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

const SESSIONS: &str = "evenkeel_tcp_sessions_total";

/// A tcp listener with these lines, that leads to `site`: these endpoints, with these lines.
fn leading(listener: &str, endpoints: impl IntoIterator<Item = impl Display>, upstream: &str) -> Builder {
    let endpoints: Vec<_> = endpoints.into_iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
    Proxy::with_config(&format!(
        "[listeners.db]\nlisten = \"127.0.0.1:0\"\nprotocol = \"tcp\"\nupstream = \"site\"\n{listener}\n\
         [upstreams.site]\nendpoints = [{}]\n{upstream}\n[access_log]\noutput = \"access.log\"\n",
        endpoints.join(", ")
    ))
}

fn to(endpoint: impl Display) -> Builder {
    leading("", [endpoint], "")
}

/// Waits until so many sessions, exactly, have ended so.
async fn ended(proxy: &Proxy, result: &str, sessions: u32) -> Metrics {
    let (what, goal) = (format!("{sessions} sessions: {result}"), f64::from(sessions));
    proxy.metrics_show(&what, |m| (m.sum(SESSIONS, &[("result", result)]) - goal).abs() < 0.5).await
}

/// Waits until no connection is open, to clients or to endpoints, and none is in flight.
async fn is_quiet(proxy: &Proxy) {
    for gauge in ["evenkeel_connections", "evenkeel_upstream_connections", "evenkeel_endpoint_requests_in_flight"] {
        proxy.metrics_show(&format!("{gauge} is 0"), |m| m.sum(gauge, &[]).abs() < 0.5).await;
    }
}

/// An endpoint that says everything again until its client ends; its address.
async fn echo() -> String {
    each(async |mut socket: TcpStream| {
        let (mut read, mut write) = socket.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    })
    .await
}

/// An endpoint that does this with each connection; its address.
async fn each<F: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    address
}

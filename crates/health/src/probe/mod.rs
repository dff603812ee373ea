//! Asks one endpoint one question, within a time.
//!
//! Called by `prober`; what comes back is judged by `threshold`. Runs on the control thread, never on a worker, and does not
//! know what the answer will lead to.

mod failure;
mod grpc;
mod http;
mod patience;
mod tcp;
#[cfg(test)]
mod tests;

pub(crate) use failure::Failure;

use ::http::uri::Scheme;
use evenkeel_model::{Probe, ProbeKind};
use evenkeel_net::{Target, tls::ClientTls};

/// Asks. The timeout covers everything: the connection, the question, and the answer as far as it is read.
pub(crate) async fn ask(target: &Target, probe: &Probe, tls: Option<&ClientTls>) -> Result<(), Failure> {
    let exchange = async {
        let opened = tcp::connect(target, probe, tls).await?;
        match &probe.kind {
            ProbeKind::Tcp => Ok(()),
            ProbeKind::Http(http) => Box::pin(http::ask(opened, target.address(), http)).await,
            ProbeKind::Grpc(grpc) => Box::pin(grpc::ask(opened, target.address(), grpc)).await,
        }
    };
    patience::within(probe.timeout, exchange).await.unwrap_or(Err(Failure::NoAnswer { limit: probe.timeout }))
}

/// Carries out an exchange on a connection that hyper drives. Whatever ends the connection also reaches the exchange, after the bytes that
/// came before it; so it never decides alone.
async fn over<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let driver = async {
        connection.await;
        std::future::pending().await
    };
    tokio::select! {
        judged = exchange => judged,
        never = driver => never,
    }
}

/// `http` or `https`.
fn scheme(secured: bool) -> Scheme {
    if secured { Scheme::HTTPS } else { Scheme::HTTP }
}

/// What is asked, as a person would say it: `GET /health`, `GET /health at port 9000`, `grpc "shop.v1.Orders"`, `connect`.
pub(crate) fn describe(probe: &Probe) -> String {
    let what = match &probe.kind {
        ProbeKind::Tcp => "connect".to_owned(),
        ProbeKind::Http(http) => format!("{} {}", http.method, http.path),
        ProbeKind::Grpc(grpc) => format!("grpc {:?}", grpc.service),
    };
    match probe.port {
        Some(port) => format!("{what} at port {port}"),
        None => what,
    }
}

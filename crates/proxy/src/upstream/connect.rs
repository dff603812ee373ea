//! Makes a connection to an endpoint. `lease` decides what is to be spoken on it, `http1` and `http2` speak.

use super::{
    announcement::Announcement,
    attempt::{Failure, Sent},
    identity::Identity,
};
use crate::{
    error::ProxyError,
    request::Exchange,
    worker::{LocalEndpoint, LocalUpstream, Worker},
};
use evenkeel_model::{Address, Protocol};
use evenkeel_net::{ConnectError, Stream, tls::Inside};
use evenkeel_telemetry::ConnectResult;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// As [`open`], for a request, which may have little time left.
pub(super) async fn open_for(
    upstream: &LocalUpstream,
    endpoint: &LocalEndpoint,
    identity: &mut Identity,
    only: Option<Protocol>,
    exchange: &Exchange,
) -> Result<(Stream, Protocol), Failure> {
    let total = upstream.part.settings.timeouts.total;
    let time = |limit: Duration| exchange.time_left(total).map_or(limit, |left| left.min(limit));
    let inside = only.map_or(Inside::Agreed, Inside::Only);
    let opened = open(upstream, endpoint, identity, inside, time, exchange.worker()).await;
    opened.map_err(|error| match exchange.time_left(total) {
        // Nobody else need be asked: there is no time left for an answer.
        Some(Duration::ZERO) => time_is_up(endpoint.part.target.address().clone()),
        _ => Failure { error, sent: Sent::Nothing },
    })
}

/// A request has no time left for an answer.
pub(super) fn time_is_up(endpoint: Address) -> Failure {
    Failure { error: ProxyError::TimeIsUp { endpoint }, sent: Sent::Answered }
}

/// A connection, the PROXY header, TLS: each of the latter where the upstream has it. The header comes before TLS, as HAProxy sends it.
/// `inside` is what is spoken within TLS, `time` how much of a timeout there is. Counts how it
/// ends, and notes in `identity` how it was made.
pub(super) async fn open(
    upstream: &LocalUpstream,
    endpoint: &LocalEndpoint,
    identity: &mut Identity,
    inside: Inside,
    time: impl Fn(Duration) -> Duration,
    worker: &Worker,
) -> Result<(Stream, Protocol), ProxyError> {
    let (timeouts, address) = (upstream.part.settings.timeouts, endpoint.part.target.address());
    let count = |result| upstream.part.cells.cell(worker.id).connects(result).inc();
    let connected = evenkeel_net::connect(&endpoint.part.target, time(timeouts.connect)).await;
    let announced = match (connected, &identity.announcement) {
        (Ok(stream), Some(announcement)) => announce(stream, announcement).await,
        (connected, _) => connected,
    };
    let stream = announced.map_err(|cause| {
        let timed_out = matches!(cause, ConnectError::TimedOut { .. });
        count(if timed_out { ConnectResult::TimedOut } else { ConnectResult::Failed });
        ProxyError::ConnectFailed { endpoint: address.clone(), cause }
    })?;
    let Some(tls) = &upstream.part.tls else {
        count(ConnectResult::Ok);
        // Only one is spoken without TLS.
        return Ok((stream, upstream.part.settings.protocol.offers()[0]));
    };
    let connected = tls.connect(stream, address, inside, time(timeouts.tls)).await.map_err(|cause| {
        count(ConnectResult::TlsFailed);
        ProxyError::TlsFailed { endpoint: address.clone(), cause }
    })?;
    count(ConnectResult::Ok);
    identity.tls = Some(connected.identity);
    Ok((connected.stream, connected.protocol))
}

/// A new socket has room for these few bytes, so this does not wait.
async fn announce(mut stream: Stream, announcement: &Announcement) -> Result<Stream, ConnectError> {
    stream.write_all(&announcement.header()).await?;
    Ok(stream)
}

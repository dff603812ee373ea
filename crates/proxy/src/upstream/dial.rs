//! Attempts until there is a connection to an endpoint, for a client whose bytes are passed on as they are.
//!
//! Nothing of the client's is sent before an endpoint is connected, so every attempt is one at a request that was never sent: the next
//! endpoint is tried at once, three distinct ones at most. What happens after that is the two ends' business and never repeated.

use super::{
    connect,
    identity::Identity,
    pool::Switched,
    send::{ENDPOINTS_MAX, Tried},
};
use crate::{
    connection::{ClientConnection, Session},
    error::ProxyError,
    snapshot::Blamed,
    worker::LocalUpstream,
};
use evenkeel_balance::HashKey;
use evenkeel_net::tls::Inside;
use evenkeel_telemetry::{RetryOutcome, SessionResult};
use std::rc::Rc;

/// Connects to an endpoint of `upstream`, for one client alone.
pub(crate) async fn dial(
    upstream: &Rc<LocalUpstream>,
    client: &ClientConnection,
    session: &mut Session,
) -> Result<Switched, SessionResult> {
    let worker = client.worker();
    let settings = &upstream.part.settings;
    let cells = upstream.part.cells.cell(worker.id);
    let key = client.peer().ip().map_or(HashKey(0), HashKey::of_ip);
    let mut tried = Tried::default();
    let pick = |tried: &Tried| upstream.picker.borrow_mut().pick(key, tried.as_slice(), &mut worker.random());
    while tried.len() < ENDPOINTS_MAX
        && let Some(index) = pick(&tried)
    {
        let endpoint = &upstream.endpoints[index as usize];
        session.attempt_begins(endpoint, endpoint.part.endpoint.begin());
        let mut identity = Identity::wanted(upstream, Some(client));
        let connected = connect::open(upstream, endpoint, &mut identity, Inside::Bytes, |limit| limit, worker).await;
        if tried.len() > 0 {
            let outcome = if connected.is_ok() { RetryOutcome::Answered } else { RetryOutcome::Failed };
            cells.retries(outcome).inc();
        }
        match connected {
            Ok((stream, _)) => return Ok(Switched::from_the_begin(stream, endpoint, settings.timeouts.tunnel_idle)),
            Err(error) => session.tell_failure(error.reason(), &error),
        }
        tried.add(index);
    }
    if tried.len() > 0 {
        return Err(SessionResult::ConnectFailed);
    }
    let name = &settings.name;
    let error = ProxyError::NoEndpoint { upstream: name.clone() };
    let blamed = Blamed { upstream: name.as_str(), endpoint: "" };
    upstream.part.no_endpoint.tell(blamed, error.reason(), 0, &error, worker.timers.now());
    Err(SessionResult::NoEndpoint)
}

//! Attempts until there is an answer.
//!
//! Three rules, from safe to careful. A pooled connection that the endpoint had closed costs nothing: the same endpoint is asked
//! again over another one. A request that was never sent goes to another endpoint at once, whatever its method, to three distinct
//! ones at most. One that was sent and got no byte of an answer is sent once more, if its method is idempotent (RFC 9110, section
//! 9.2.2), nothing of its body was taken, and the upstream's retry budget has room: in a full outage every request would be sent
//! twice. It goes to another endpoint; and if there is none, but it was lost on a connection that had been idle, over a new connection to
//! the same one, which may only have closed what it had waited on for too long (RFC 9112, section 9.3.1; docs/decisions/0009).
//!
//! One that an endpoint of HTTP/2 has not looked at is sent again as if it never had been: elsewhere, and where all others have been tried, to the
//! same ones again, for the time of a connection (`left_out`).

use super::{
    attempt::{self, Failure, Sent},
    http2,
    lease::Over,
    left_out::LeftOut,
    replay::Replay,
};
use crate::{
    body::Body, connection::ClientConnection, error::ProxyError, request::Exchange, snapshot::Blamed,
    worker::LocalUpstream,
};
use evenkeel_balance::Flag;
use evenkeel_model::Protocol;
use evenkeel_telemetry::RetryOutcome;
use http::{Request, Response};
use std::rc::Rc;

/// Distinct endpoints that are tried for a request, or a session, of which nothing was sent.
pub(super) const ENDPOINTS_MAX: usize = 3;

/// Sends a request to an endpoint of `upstream` and gives the head of its answer.
pub(crate) async fn send(
    upstream: &Rc<LocalUpstream>,
    request: &mut Request<Body>,
    exchange: &mut Exchange,
) -> Result<Response<Body>, ProxyError> {
    if exchange.upload().is_some_and(|upload| upload.too_large()) {
        return Err(ProxyError::BodyTooLarge);
    }
    upstream.part.retries.on_request(exchange.worker().timers.now());
    settle_upgrade(upstream, exchange)?;
    let mut replay = Replay::of(request, upstream, exchange);
    let mut tried = Tried::default();
    let mut resent = false;
    let mut crossed: Option<u32> = None;
    let mut left_out = LeftOut::default();
    let mut last: Option<ProxyError> = None;
    loop {
        let all = left_out.is_now() && tried.len() >= ENDPOINTS_MAX;
        let picked = if all { None } else { pick(upstream, &tried, exchange) };
        let picked = picked.map(|index| (index, Over::Pooled)).or_else(|| Some((crossed.take()?, Over::Fresh)));
        let Some((index, over)) = picked else {
            if Box::pin(left_out.next_round()).await {
                tried = Tried::default();
                continue;
            }
            break;
        };
        let endpoint = &upstream.endpoints[index as usize];
        exchange.attempt_begins(endpoint, endpoint.part.endpoint.begin());
        let failure = match attempt::run(upstream, endpoint, over, &mut replay, exchange).await {
            Ok(response) => {
                retried(upstream, exchange, RetryOutcome::Answered);
                return Ok(response);
            }
            Err(failure) => failure,
        };
        retried(upstream, exchange, RetryOutcome::Failed);
        let Failure { error, sent } = failure;
        if sent == Sent::Crossed {
            crossed = Some(index);
        }
        tried.add(index);
        let again = match sent {
            Sent::Nothing => tried.len() < ENDPOINTS_MAX || left_out.is_now(),
            Sent::LeftOut => {
                left_out.again(endpoint.pool.http2().answers(), http2::limit(upstream, exchange));
                true
            }
            Sent::Unanswered | Sent::Crossed => {
                !std::mem::replace(&mut resent, true) && replay.is_idempotent() && in_budget(upstream, exchange)
            }
            Sent::Answered => false,
        };
        let again = again && replay.is_possible(exchange);
        tell(&error, sent, again, exchange);
        if !again {
            return Err(error);
        }
        last = Some(error);
    }
    Err(last.unwrap_or_else(|| no_endpoint(upstream, exchange)))
}

/// Tells the operator of a failed attempt. What belongs to the life of a connection and is made good is none: an endpoint had closed what was
/// idle, or left out what it would not begin.
fn tell(error: &ProxyError, sent: Sent, again: bool, exchange: &mut Exchange) {
    if again && matches!(sent, Sent::Crossed | Sent::LeftOut) {
        return;
    }
    let next = if again { "; it is tried again" } else { "" };
    exchange.tell_failure(error.reason(), &format_args!("{error}{next}"));
}

fn no_endpoint(upstream: &LocalUpstream, exchange: &mut Exchange) -> ProxyError {
    let name = &upstream.part.settings.name;
    let error = ProxyError::NoEndpoint { upstream: name.clone() };
    let (blamed, id) = (Blamed { upstream: name.as_str(), endpoint: "" }, exchange.request_id());
    upstream.part.no_endpoint.tell(blamed, error.reason(), id, &error, exchange.worker().timers.now());
    error
}

/// HTTP/2 has no Upgrade (RFC 9113, section 8.6). A server may ignore it, and so do we (RFC 9110, section 7.8).
fn settle_upgrade(upstream: &LocalUpstream, exchange: &mut Exchange) -> Result<(), ProxyError> {
    if upstream.part.settings.protocol.offers().contains(&Protocol::Http11) {
        return Ok(());
    }
    if exchange.extended().is_some() {
        return Err(ProxyError::UpgradeRefused);
    }
    exchange.stays_http();
    Ok(())
}

fn pick(upstream: &LocalUpstream, tried: &Tried, exchange: &Exchange) -> Option<u32> {
    if let Some(owner) = exchange.connection().filter(|client| client.owns_connections())
        && let Some(index) = owned(upstream, tried, owner)
    {
        return Some(index);
    }
    let mut random = exchange.worker().random();
    upstream.picker.borrow_mut().pick(exchange.hash_key(), tried.as_slice(), &mut random)
}

/// Where this client has a connection of its own, which it has authenticated or is about to: elsewhere it would have to start anew, as with
/// HAProxy, which goes back to the same server after a 401 ("option prefer-last-server"). Not where no new request may go.
fn owned(upstream: &LocalUpstream, tried: &Tried, owner: &ClientConnection) -> Option<u32> {
    let mut endpoints = (0_u32..).zip(&upstream.endpoints);
    let (index, _) = endpoints.find(|(index, endpoint)| {
        let flags = endpoint.part.endpoint.flags();
        let usable = !flags.draining() && !flags.has(Flag::Unhealthy);
        usable && endpoint.pool.has_owned(owner.owner_id()) && !tried.as_slice().contains(index)
    })?;
    Some(index)
}

fn in_budget(upstream: &LocalUpstream, exchange: &Exchange) -> bool {
    let worker = exchange.worker();
    let granted = upstream.part.retries.try_spend(worker.timers.now());
    if !granted {
        upstream.part.cells.cell(worker.id).retry_budget_exhausted.inc();
    }
    granted
}

/// Counts how an attempt after the first one ended.
fn retried(upstream: &LocalUpstream, exchange: &Exchange, outcome: RetryOutcome) {
    if exchange.attempts > 1 {
        upstream.part.cells.cell(exchange.worker().id).retries(outcome).inc();
    }
}

/// The endpoints that were tried.
#[derive(Default)]
pub(super) struct Tried {
    indexes: [u32; ENDPOINTS_MAX + 1],
    count: usize,
}

impl Tried {
    pub(super) fn add(&mut self, index: u32) {
        if let Some(place) = self.indexes.get_mut(self.count) {
            *place = index;
            self.count += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        &self.indexes[..self.count]
    }
}

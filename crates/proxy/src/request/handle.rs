//! One request, from its head to the head of its answer. Start reading here.
//!
//! Called by `service` for every request; what follows the head of the answer is the business of `body`.
//! Never fails: whatever goes wrong becomes an answer of our own (a service that fails would end its connection without a word).

use super::{Exchange, forwarded, respond, target, upgrade, websocket};
use crate::{
    body::Body,
    error::ProxyError,
    filter::{self, Flow},
    malformed, upstream,
    worker::Worker,
};
use http::{Request, Response};
use std::rc::Rc;

/// Answers one request. It is lent from floor to floor and leaves its place once, when it is sent: a head is hundreds of bytes to move.
pub(crate) async fn handle(worker: &Rc<Worker>, request: &mut Request<Body>) -> Response<Body> {
    let mut exchange = Exchange::begin(worker, request);
    let mut response = match answer(request, &mut exchange).await {
        Ok(response) => response,
        Err(error) => respond::with_error(&error, &mut exchange),
    };
    exchange.answered(&mut response);
    response
}

async fn answer(request: &mut Request<Body>, exchange: &mut Exchange) -> Result<Response<Body>, ProxyError> {
    // A request sees one snapshot from its first byte to its last, of which it holds only what it needs once it leaves.
    let snapshot = exchange.snapshot();
    let config = snapshot.shared().config();
    websocket::translate(request, exchange)?;
    target::check(request, &config.limits).inspect_err(|error| keep(error, request, exchange))?;
    target::check_connection(request, exchange)?;
    // Cleaned before anything is judged by it: a route sees the fields that its endpoint will see.
    let asked = forwarded::prepare_request(request, config, exchange);
    let asked = asked.inspect_err(|error| keep(error, request, exchange))?;
    exchange.authenticates_connection(asked.connection_auth);
    let index = target::find_route(request, exchange).ok_or(ProxyError::NoRoute)?;
    let route = &config.routes[index as usize];
    exchange.routed(snapshot.route(index));
    if let (Some(max), Some(upload)) = (route.body_max, exchange.upload()) {
        upload.at_most(max.0);
    }
    upgrade::settle(request, asked.upgrade, &route.upgrades, exchange)?;
    if let Flow::Answer(mut response) = filter::on_request(route, request, exchange).await? {
        if exchange.extended().is_some() && response.status().is_success() {
            // To this client it would be a WebSocket, with nobody behind it.
            return Err(ProxyError::UpgradeRefused);
        }
        respond::by_filter(&mut response, exchange);
        filter::on_response(&route.filters, &mut response, exchange)?;
        return Ok(response);
    }
    // A route without upstream has a filter that answers every request; `config` saw to it.
    let upstream = Rc::clone(snapshot.upstream_of(index).ok_or(ProxyError::NoRoute)?);
    drop(snapshot);
    exchange.leaves();
    let mut response = upstream::send(&upstream, request, exchange).await?;
    filter::on_response(exchange.response_filters(), &mut response, exchange)?;
    Ok(response)
}

/// What breaks HTTP is shown to the operator.
fn keep(error: &ProxyError, request: &Request<Body>, exchange: &Exchange) {
    if let ProxyError::MalformedRequest(cause) = error {
        malformed::request(request, *cause, exchange);
    }
}

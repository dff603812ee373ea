//! One attempt: a connection, the request, the head of the answer.

use super::{
    http1::Broken,
    identity::Identity,
    lease::{Coming, Lease, Over},
    pool,
    replay::Replay,
};
use crate::{
    body::{Body, Download, Fault, Join, Limits},
    error::{MalformedRequest, MalformedResponse, ProxyError},
    malformed,
    request::{Exchange, agree_on_websocket, detach, prepare_response},
    worker::{LocalEndpoint, LocalUpstream, Timer},
};
use evenkeel_net::tls::refused_later;
use http::{Request, Response, StatusCode};
use hyper::client::conn::TrySendError;
use std::{
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

/// How much of a request had reached the endpoint when the attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Not one byte.
    Nothing,
    /// Perhaps all of it; but the endpoint, which speaks HTTP/2, says that it has not looked at it.
    LeftOut,
    /// Some, and not one byte came back.
    Unanswered,
    /// The same over a connection that had been idle: most likely the endpoint was about to close it.
    Crossed,
    /// It was answered, or it is the client who failed: no other endpoint would do better.
    Answered,
}

/// Why an attempt failed.
pub(super) struct Failure {
    pub(super) error: ProxyError,
    pub(super) sent: Sent,
}

/// Pooled connections in a row that may turn out to be dead before a new one is made.
const STALE_MAX: usize = 2;

/// Makes one attempt at one endpoint.
pub(super) async fn run(
    upstream: &Rc<LocalUpstream>,
    endpoint: &Rc<LocalEndpoint>,
    connection: Over,
    replay: &mut Replay<'_>,
    exchange: &mut Exchange,
) -> Result<Response<Body>, Failure> {
    let identity = Identity::wanted(upstream, exchange.connection().map(|client| &**client));
    let mut stale = if connection == Over::Fresh { STALE_MAX } else { 0 };
    loop {
        let idle = if stale < STALE_MAX { Over::Pooled } else { Over::Fresh };
        let lease = Lease::obtain(upstream, endpoint, &identity, idle, !replay.is_repeatable(), exchange).await?;
        exchange.connected();
        let reused = lease.is_reused();
        // An endpoint may end any connection of HTTP/2 in good order, a new one as well.
        let again = stale < STALE_MAX && (reused || matches!(lease, Lease::Http2(_)));
        let failure = match over(lease, upstream, replay, exchange).await {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        match failure.sent {
            // The endpoint had closed it while it was idle, or before it looked at this stream: no fault of anybody.
            Sent::Nothing | Sent::LeftOut if again && replay.is_possible(exchange) => stale += 1,
            Sent::Unanswered if reused => return Err(Failure { sent: Sent::Crossed, ..failure }),
            _ => return Err(failure),
        }
    }
}

async fn over(
    mut lease: Lease,
    upstream: &LocalUpstream,
    replay: &mut Replay<'_>,
    exchange: &mut Exchange,
) -> Result<Response<Body>, Failure> {
    let timeouts = upstream.part.settings.timeouts;
    let begun = Instant::now();
    let mut patience = Patience {
        head: lease.timer(),
        limit: timeouts.response_head,
        since: lease.now(),
        total: exchange.time_left(timeouts.total).map(|left| {
            let timer = lease.timer();
            timer.set(left);
            timer
        }),
    };
    let answer = match &mut lease {
        Lease::Http1(lease) => {
            if exchange.has_connection_auth() {
                lease.is_authenticated_by(exchange.connection());
            }
            let (request, agreed) = replay.lend(exchange);
            let answer = pin!(lease.send(request, agreed, exchange.connection().cloned()));
            let answer = patience.wait(exchange, answer).await;
            answer.map(|response| response.map(Coming::Http1)).map_err(|lost| lost.map(Lost::Http1))
        }
        Lease::Http2(stream) => {
            let answer = pin!(stream.send(replay.request(exchange)));
            let answer = patience.wait(exchange, answer).await;
            answer
                .map(|response| response.map(Coming::Http2))
                .map_err(|lost| lost.map(|lost| Lost::Http2(Box::new(lost))))
        }
    };
    match answer {
        Ok(response) => {
            replay.end(exchange);
            accept(response, lease, begun, upstream, replay.is_head(), exchange)
        }
        Err(Ended::Lost(mut lost)) => {
            let returned = lost.take_request().map(|request| replay.returned(request)).is_some();
            Err(judge(&lost, returned, &lease, exchange))
        }
        Err(late @ (Ended::HeadLate | Ended::TotalLate)) => {
            let waited = patience.waited(exchange, lease.now());
            // A call's own deadline may be shorter than any good answer takes, and its client may have used that up.
            if let (Lease::Http2(stream), true) = (&lease, waited >= timeouts.connect) {
                stream.timed_out();
            }
            let endpoint = exchange.endpoint_address();
            let error = match late {
                Ended::TotalLate if exchange.waits_for_client() && !exchange.is_call() => ProxyError::RequestTooSlow,
                Ended::TotalLate => ProxyError::TimeIsUp { endpoint },
                _ => ProxyError::UpstreamTimedOut { endpoint, waited: timeouts.response_head },
            };
            Err(Failure { error, sent: Sent::Answered })
        }
    }
}

/// Whose fault a failed exchange is, and whether it may be tried again. `returned`: hyper gave the request back.
fn judge(lost: &Lost, returned: bool, lease: &Lease, exchange: &Exchange) -> Failure {
    if let Some(fault) = exchange.upload().and_then(|upload| upload.fault()) {
        let error = match fault {
            Fault::TooLarge => ProxyError::BodyTooLarge,
            Fault::Stalled => ProxyError::RequestStalled,
            Fault::TooSlow => ProxyError::RequestTooSlow,
            Fault::Malformed => ProxyError::MalformedRequest(MalformedRequest::Body),
            Fault::Gone => ProxyError::ClientClosed,
        };
        return Failure { error, sent: Sent::Answered };
    }
    match (lost, lease) {
        (Lost::Http1(broken), Lease::Http1(lease)) => judge_http1(broken, lease, exchange),
        (Lost::Http2(failed), Lease::Http2(stream)) => stream.judge(failed.error(), returned, exchange),
        _ => unreachable!("what is lost was on this lease"),
    }
}

fn judge_http1(broken: &Broken, lease: &pool::Lease, exchange: &Exchange) -> Failure {
    let endpoint = exchange.endpoint_address();
    let error = match broken {
        Broken::Head(fault) => {
            malformed::response(fault, Some(&lease.unread()), exchange);
            ProxyError::MalformedResponse { endpoint, cause: MalformedResponse::Unparsable }
        }
        Broken::Io(error) => match refused_later(error) {
            Some(cause) => ProxyError::TlsFailed { endpoint, cause },
            None => ProxyError::UpstreamReset { endpoint, cause: broken.to_string().into() },
        },
        Broken::Closed | Broken::Body(_) | Broken::Request => {
            ProxyError::UpstreamReset { endpoint, cause: broken.to_string().into() }
        }
    };
    Failure { error, sent: lease.sent() }
}

/// The head of an answer is here: judges it, notes what its connection is still good for, and ties the body to it.
fn accept(
    mut response: Response<Coming>,
    mut lease: Lease,
    begun: Instant,
    upstream: &LocalUpstream,
    head: bool,
    exchange: &mut Exchange,
) -> Result<Response<Body>, Failure> {
    let now = Instant::now();
    exchange.head_arrived(now);
    if let Lease::Http2(stream) = &lease {
        stream.head_arrived();
        if exchange.is_http2() {
            detach(response.headers_mut());
        }
    }
    upstream.part.cells.cell(exchange.worker().id).duration.observe(now.duration_since(begun));
    let broken = |cause| {
        let error = ProxyError::MalformedResponse { endpoint: exchange.endpoint_address(), cause };
        Failure { error, sent: Sent::Answered }
    };
    let length = response.body().size_hint().exact();
    let manner =
        prepare_response(&mut response, length, exchange.upgrade(), exchange.client_version()).map_err(|cause| {
            malformed::response_head(cause, &response, exchange);
            broken(cause)
        })?;
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    agree_on_websocket(&mut response, exchange).map_err(|cause| {
        malformed::response_head(cause, &response, exchange);
        broken(cause)
    })?;
    if switches {
        let idle = upstream.part.settings.timeouts.tunnel_idle;
        let switched = match lease {
            Lease::Http1(lease) => lease.switch(idle),
            Lease::Http2(_) => None,
        };
        let switched = switched.ok_or_else(|| broken(MalformedResponse::Unparsable))?;
        return Ok(response.map(|_| Body::switched(switched)));
    }
    if let Lease::Http1(lease) = &mut lease {
        if manner.last {
            lease.is_the_last();
        }
        if manner.connection_auth {
            lease.is_authenticated_by(exchange.connection());
        }
        if let Some(seconds) = manner.idle {
            lease.idle_at_most(seconds);
        }
    }
    let timeouts = upstream.part.settings.timeouts;
    let total = exchange.time_left(timeouts.total);
    let limits = Limits { stall: timeouts.body_stall, rate: timeouts.body_rate, total };
    let close_delimited = !head && exchange.connection().is_some_and(|c| c.is_http10());
    // Nobody else counts frames.
    let join = if exchange.is_http2() { Join::WhatIsThere } else { Join::Never };
    Ok(response
        .map(|coming| Body::download(Download::new(coming, lease, limits, close_delimited && length.is_none(), join))))
}

/// What has happened instead of the head of an answer.
enum Lost {
    Http1(Broken),
    /// With the request, if hyper has not begun to write it. Boxed: an answer must not be as large as a request to be handed on.
    Http2(Box<TrySendError<Request<Body>>>),
}

impl Lost {
    fn take_request(&mut self) -> Option<Request<Body>> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(failed) => failed.take_message(),
        }
    }
}

/// Why there is no head of an answer.
enum Ended<E> {
    Lost(E),
    /// The endpoint had its time for it.
    HeadLate,
    /// The time for the request as a whole is over.
    TotalLate,
}

impl<E> Ended<E> {
    fn map<T>(self, lost: impl FnOnce(E) -> T) -> Ended<T> {
        match self {
            Self::Lost(error) => Ended::Lost(lost(error)),
            Self::HeadLate => Ended::HeadLate,
            Self::TotalLate => Ended::TotalLate,
        }
    }
}

/// How long the head of an answer is waited for. The endpoint's time runs while it has the turn: from the last part of the body that it has
/// taken, and not while its client has sent no more.
struct Patience {
    head: Timer,
    limit: Duration,
    /// What `head` counts from, in milliseconds of the worker's clock.
    since: u64,
    /// Runs whoever is waited for.
    total: Option<Timer>,
}

impl Patience {
    async fn wait<T, E>(
        &mut self,
        exchange: &Exchange,
        mut answer: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, Ended<E>> {
        self.head.set_since(self.since, self.limit);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(Ended::Lost));
            }
            if self.total.as_ref().is_some_and(|total| total.poll(cx).is_ready()) {
                return Poll::Ready(Err(Ended::TotalLate));
            }
            while self.head.poll(cx).is_ready() {
                let turn = exchange.endpoint_since();
                if turn <= self.since {
                    return Poll::Ready(Err(Ended::HeadLate));
                }
                self.since = turn;
                self.head.set_since(turn, self.limit);
            }
            Poll::Pending
        })
        .await
    }

    /// How long the endpoint had its turn; zero while its client is waited for.
    fn waited(&self, exchange: &Exchange, now: u64) -> Duration {
        Duration::from_millis(now.saturating_sub(exchange.endpoint_since().max(self.since)))
    }
}

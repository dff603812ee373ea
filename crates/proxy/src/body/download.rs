//! What an endpoint sends behind a response's head.
//!
//! With the last byte the connection goes back to its pool. A body that breaks off is never made to look complete: the error
//! goes on to whoever writes it, who ends the client's connection without the closing chunk or the missing bytes.

use super::{
    BodyError, Join, Joined,
    incoming::poll_http2,
    upload::{Fault, without_forbidden},
};
use crate::{
    malformed,
    request::{End, Exchange},
    upstream::{Broken, Coming, Lease},
    worker::{Pace, Timer},
};
use bytes::Bytes;
use evenkeel_model::RateMin;
use evenkeel_telemetry::Reason;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Without a byte.
    pub(crate) stall: Duration,
    /// Below this rate.
    pub(crate) rate: Option<RateMin>,
    /// As a whole, counted from its head.
    pub(crate) total: Option<Duration>,
}

/// An endpoint's answer on its way to a client.
pub(crate) struct Download {
    source: Joined<Source>,
    /// Set while we wait for bytes; a clock of its own only when there was a first wait. And since when, on the worker's clock.
    stall: Option<Timer>,
    waits_since: u64,
    stall_after: Duration,
    rate: Option<RateMin>,
    pace: Pace,
    /// Runs out when the whole answer is too late.
    total: Option<Timer>,
    /// The client can see the end only in the end of its connection (HTTP/1.0, no length).
    close_delimited: bool,
}

impl Download {
    pub(crate) fn new(coming: Coming, lease: Lease, limits: Limits, close_delimited: bool, join: Join) -> Self {
        let total = limits.total.map(|total| {
            let timer = lease.timer();
            timer.set(total);
            timer
        });
        Self {
            source: Joined::new(Source { coming, lease: Some(lease), broken: None }, join),
            stall: None,
            waits_since: 0,
            stall_after: limits.stall,
            rate: limits.rate,
            pace: Pace::default(),
            total,
            close_delimited,
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        exchange: Option<&mut Exchange>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.total.as_ref().is_some_and(|total| total.poll(cx).is_ready()) {
            return self.cut(Reason::TotalTimeout, exchange);
        }
        match self.source.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.moves(&frame, exchange.as_deref());
                if frame.is_data() {
                    if self.source.is_end_stream() {
                        self.complete();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                // Nothing follows trailers (RFC 9112, section 7.1.2), and nothing more is asked for.
                self.complete();
                if let Some(exchange) = exchange {
                    if let Some(trailers) = frame.trailers_ref() {
                        exchange.trailers(trailers);
                    }
                    exchange.ends(End::Complete);
                }
                Poll::Ready(Some(Ok(without_forbidden(frame, &[]))))
            }
            Poll::Ready(None) => {
                self.complete();
                if let Some(exchange) = exchange {
                    exchange.ends(End::Complete);
                }
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(reason))) => self.cut(reason, exchange),
            Poll::Pending => self.poll_stall(cx, exchange),
        }
    }

    fn lease(&self) -> Option<&Lease> {
        self.source.body().lease.as_ref()
    }

    /// A part has come, for which its endpoint was waited for; and its client may have waited for it too.
    fn moves(&self, frame: &Frame<Bytes>, exchange: Option<&Exchange>) {
        if let Some(stall) = &self.stall {
            stall.clear();
        }
        if let (Some(least), Some(data), Some(lease)) = (self.rate, frame.data_ref(), self.lease()) {
            self.pace.not_before(exchange.map_or(0, Exchange::endpoint_since));
            self.pace.moved(least, lease.now(), data.len() as u64);
        }
        if let Some(upload) = exchange.and_then(Exchange::upload) {
            upload.answer_moves();
        }
    }

    /// Nothing has come: wait no longer than the upstream allows, while it is the endpoint's turn. An endpoint that takes more and more of the
    /// request does not stall, though its answer rests, and one that has taken all that its client has sent is not the one to be waited for.
    fn poll_stall(
        &mut self,
        cx: &Context<'_>,
        exchange: Option<&mut Exchange>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(lease) = &self.source.body().lease else { return Poll::Pending };
        let now = lease.now();
        let turn = exchange.as_deref().map_or(0, Exchange::endpoint_since);
        self.pace.not_before(turn);
        let left = self.rate.map(|least| self.pace.waits(least, now));
        let limit = left.map_or(self.stall_after, |left| left.min(self.stall_after));
        let timer = self.stall.get_or_insert_with(|| lease.timer());
        if !timer.is_set() {
            self.waits_since = now;
            timer.set(limit);
        }
        while timer.poll(cx).is_ready() {
            if turn <= self.waits_since {
                let too_slow = left == Some(Duration::ZERO);
                return self.cut(if too_slow { Reason::UpstreamTooSlow } else { Reason::UpstreamStalled }, exchange);
            }
            self.waits_since = turn;
            timer.set_since(turn, limit);
        }
        Poll::Pending
    }

    fn cut(
        &mut self,
        reason: Reason,
        exchange: Option<&mut Exchange>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let lease = self.source.body_mut().lease.take();
        if let Some(exchange) = exchange {
            if reason == Reason::UpstreamProtocol {
                malformed::response_body(lease.as_ref().and_then(Lease::unread).as_deref(), exchange);
            }
            exchange.ends(End::Cut(reason));
            if self.close_delimited {
                exchange.abort_connection();
            }
        }
        Poll::Ready(Some(Err(BodyError::Response)))
    }

    /// The last byte is here: the connection may serve another request.
    pub(super) fn complete(&mut self) {
        if let Some(lease) = self.source.body_mut().lease.take() {
            lease.give_back();
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

/// What an endpoint sends, part by part, over the connection that it comes by.
struct Source {
    coming: Coming,
    lease: Option<Lease>,
    /// It has broken off, which is told in the next turn: what came before is to leave first.
    broken: Option<Reason>,
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Reason>>> {
        let reason = |malformed| if malformed { Reason::UpstreamProtocol } else { Reason::UpstreamReset };
        match (&mut self.coming, &self.lease) {
            (Coming::Http1(body), Some(Lease::Http1(lease))) => {
                let frame = ready!(lease.poll_body(body, cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|broken| reason(matches!(broken, Broken::Body(_))))))
            }
            (Coming::Http2(incoming), _) => {
                let frame = ready!(poll_http2(incoming, cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|fault| reason(fault == Fault::Malformed))))
            }
            // It has been read to its end.
            (Coming::Http1(_), _) => Poll::Ready(None),
        }
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = Reason;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Reason>>> {
        if let Some(reason) = self.broken {
            return Poll::Ready(Some(Err(reason)));
        }
        let part = ready!(self.poll(cx));
        if let Some(Err(reason)) = part {
            self.broken = Some(reason);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(part)
    }

    fn is_end_stream(&self) -> bool {
        self.coming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.coming.size_hint()
    }
}

//! Drives one connection of HTTP/1.1 from request to request: reads a head, has it answered, writes the answer, keeps the time and notices
//! the end. One task does all of it.

use super::{
    answer,
    head::HeadFault,
    linger,
    wire::{Begun, Ended, Wire},
};
use crate::{
    body::Body,
    connection::{
        client::{ClientConnection, Stage},
        tunnel::{self, Unopened},
        turn::Answering,
    },
    malformed,
    worker::faults,
};
use evenkeel_net::Stream;
use evenkeel_telemetry::Reason;
use http::{Request, Response, StatusCode};
use std::{convert::Infallible, future::poll_fn, pin::pin, rc::Rc, task::Poll};
use tower::Service;

/// What follows an answer.
enum Next {
    /// Another request.
    Request,
    /// The end of the connection; the client may still be sending.
    End { lingers: bool },
    /// No HTTP.
    Tunnel,
}

/// Serves a connection until it ends.
pub(in crate::connection) async fn serve<S>(service: S, stream: Stream, connection: Rc<ClientConnection>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    let wire = Wire::new(stream, &connection);
    let _unopened = Unopened(Rc::clone(&connection));
    let next = loop {
        let next = match poll_fn(|cx| wire.poll_request(cx)).await {
            Ok(begun) => one(&service, begun, &wire).await,
            Err(ended) => Err(ended),
        };
        match next {
            Ok(Next::Request) => {}
            other => break other,
        }
    };
    match next {
        Ok(Next::Request) => unreachable!("the loop goes on"),
        Ok(Next::Tunnel) => open(&wire, connection),
        Ok(Next::End { lingers }) => close(&[], lingers, &wire).await,
        Err(ended) => give_up(ended, &wire, &connection).await,
    }
}

/// One request and its answer.
async fn one<S>(service: &S, begun: Begun, wire: &Wire) -> Result<Next, Ended>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    let Begun { request, turn, asked } = begun;
    let connection = wire.connection();
    let mut response = {
        let mut answering = pin!(Answering::begin(service, request, turn));
        poll_fn(|cx| match answering.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer.map_err(|_| Ended::Quietly)),
            Poll::Pending => match wire.poll_hints(cx) {
                Poll::Ready(ended) => Poll::Ready(Err(ended)),
                Poll::Pending => wire.poll_gone(cx).map(Err),
            },
        })
        .await?
    };
    let worker = connection.worker();
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    // What a client still sends that nobody wants stands before its next request.
    let unwanted = !switches && !wire.is_being_read() && !wire.is_read_whole() && !wire.is_soon_read();
    poll_fn(|cx| wire.poll_answering(cx)).await?;
    let last = !asked.keeps || unwanted || wire.asks_no_more() || connection.must_end();
    let (mut output, last) =
        answer::output(&mut response, asked, last && !switches, &worker.date(), worker.spare_head());
    worker.take_back_fields(std::mem::take(response.headers_mut()));
    poll_fn(|cx| wire.poll_answer(&mut output, cx)).await?;
    output.end(worker);
    if switches {
        return Ok(Next::Tunnel);
    }
    poll_fn(|cx| wire.poll_read_by_nobody(cx)).await?;
    if !last && wire.is_soon_read() && !wire.is_read_whole() {
        poll_fn(|cx| wire.poll_discard(cx)).await?;
    }
    let whole = wire.is_read_whole();
    Ok(if last || !whole { Next::End { lingers: !whole || wire.has_more() } } else { Next::Request })
}

/// Makes a tunnel of a connection on which a 101 was the last answer: in a task of its own, so that what HTTP needed is freed.
fn open(wire: &Wire, connection: Rc<ClientConnection>) {
    if let (Some(tunnel), Some((io, early))) = (connection.take_tunnel(), wire.take()) {
        tokio::task::spawn_local(tunnel::run(tunnel, io, early, connection));
    }
}

async fn close(words: &[u8], lingers: bool, wire: &Wire) {
    let lingers = lingers && !wire.has_ended() && wire.connection().may_linger();
    if let Some((io, _)) = wire.take() {
        linger::end(io, words, lingers, wire.connection()).await;
    }
}

async fn give_up(ended: Ended, wire: &Wire, connection: &ClientConnection) {
    match ended {
        // The socket goes with the wire, but for who still reads from that.
        Ended::Quietly | Ended::Cut => drop(wire.take()),
        Ended::Fault(fault) => {
            tracing::debug!(peer = %connection.peer(), "client connection: {fault}");
            let (status, reason) = judge(fault);
            if reason == Reason::MalformedRequest {
                malformed::unparsed(connection, fault, &wire.unread());
            }
            refuse(status, reason, wire, connection).await;
        }
        Ended::Left => close(&[], false, wire).await,
        Ended::TimedOut if connection.write_stalled() => {
            // What we hold for this client will never be taken; an orderly end would wait for it.
            connection.abort_on_close();
            drop(wire.take());
        }
        // A connection that never said a word gets none either: browsers open some in reserve.
        Ended::TimedOut if connection.stage() == Stage::Head && !connection.silent() => {
            connection.is_too_slow();
            // RFC 9110, section 15.5.9.
            refuse(StatusCode::REQUEST_TIMEOUT, Reason::RequestTimeout, wire, connection).await;
        }
        Ended::TimedOut => {
            if connection.stage() == Stage::Idle {
                connection.cells().idle_timeouts.inc();
            }
            close(&[], false, wire).await;
        }
    }
}

fn judge(fault: HeadFault) -> (StatusCode, Reason) {
    match fault {
        HeadFault::TooLong | HeadFault::TooManyFields => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Reason::RequestHeadTooLarge)
        }
        HeadFault::TargetTooLong => (StatusCode::URI_TOO_LONG, Reason::UriTooLong),
        HeadFault::Form(_)
        | HeadFault::Fields(_)
        | HeadFault::Target
        | HeadFault::Fragment
        | HeadFault::CodingInHttp10
        | HeadFault::Coding
        | HeadFault::TwoFramings => (StatusCode::BAD_REQUEST, Reason::MalformedRequest),
    }
}

/// Answers what never was a request, and looks at nothing that follows.
async fn refuse(status: StatusCode, reason: Reason, wire: &Wire, connection: &ClientConnection) {
    // What can be read of it is its method; an answer to HEAD has no content (RFC 9110, section 9.3.2).
    let to_head = wire.unread().trim_ascii_start().starts_with(b"HEAD ");
    close(&faults::answered(connection, status, reason, to_head), true, wire).await;
}

//! The TLS handshake with a client: in its time, one step at a turn, and counted however it ends; and what goes wrong with TLS later.

use super::client::{ClientConnection, Stage};
use crate::worker::{ListenerTls, faults};
use evenkeel_model::Protocol;
use evenkeel_net::{
    Stream,
    tls::{Failure, Fault, Handshake, Opening, Session, opening},
};
use evenkeel_telemetry::{Reason, TlsFault, TlsHandshake};
use http::{HeaderName, HeaderValue};
use std::{
    fmt::Display,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Poll, ready},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What somebody reads who has spoken HTTP to us where we speak TLS.
const NOT_HERE: &str = "This port speaks TLS (https), and the request came without.\n";

/// Bytes of such a request that are read so that the answer is not lost: closing with bytes unread would reset the connection.
const UNREAD_MAX: u64 = 64 * 1024;

/// What a connection's handshake has told us.
pub(crate) struct Secured {
    session: Session,
    /// Who the client is, and the field in which endpoints learn it.
    identity: Option<(HeaderName, HeaderValue)>,
}

impl Secured {
    /// `None`: no field can carry who the client is, so nobody may take it for nobody.
    fn new(mut session: Session, listener: ListenerTls) -> Option<Self> {
        let client = session.client.take().map(HeaderValue::try_from).transpose().ok()?;
        Some(Self { identity: listener.identity_field.zip(client), session })
    }

    pub(crate) fn identity(&self) -> Option<&(HeaderName, HeaderValue)> {
        self.identity.as_ref()
    }

    /// The name that the client asked for, in lower case.
    pub(super) fn server_name(&self) -> Option<&str> {
        self.session.server_name.as_deref()
    }

    /// Whether a request for this host may come by this connection: it is the name that the client asked for, or the certificate that it
    /// was shown is good for it. RFC 9110, section 15.5.20. A client that asked for no name has made no choice that a host could
    /// contradict.
    pub(crate) fn serves(&self, host: &str) -> bool {
        let Some(asked) = &self.session.server_name else { return true };
        asked.eq_ignore_ascii_case(host) || self.session.names.as_ref().is_some_and(|names| names.cover(host))
    }
}

/// Makes the handshake. `None`: there is no connection any more.
pub(super) async fn secure(
    stream: Stream,
    listener: ListenerTls,
    connection: &ClientConnection,
) -> Option<(Stream, Protocol)> {
    connection.clock().set(connection.timeouts().tls);
    let shaken = in_time(connection, shake(stream, &listener, connection)).await;
    match shaken {
        Some(Shaken::Done(stream, session)) => {
            let result = if session.resumed { TlsHandshake::Resumed } else { TlsHandshake::Full };
            let protocol = session.protocol;
            let Some(secured) = Secured::new(*session, listener) else {
                note(connection, TlsHandshake::ClientCertificate, &"no field can carry the client's identity");
                return None;
            };
            connection.cells().handshakes(result).inc();
            connection.secured(secured);
            Some((stream, protocol))
        }
        Some(Shaken::Failed(result, cause)) => {
            note(connection, result, &cause);
            None
        }
        Some(Shaken::Text(stream)) => {
            note(connection, TlsHandshake::PlainHttp, &"the client speaks without TLS");
            if connection.stage() == Stage::Session {
                // Whatever is spoken there, an answer in HTTP is hardly part of it.
                return None;
            }
            faults::unparsed(connection, 400, Reason::MalformedRequest);
            let _ = in_time(connection, turn_away(stream)).await;
            None
        }
        // The worker ends; that is nobody's fault.
        None if connection.ends_unheard() => None,
        None => {
            note(connection, TlsHandshake::TimedOut, &"it took too long");
            None
        }
    }
}

enum Shaken {
    Done(Stream, Box<Session>),
    Failed(TlsHandshake, Box<dyn Display>),
    Text(Stream),
}

async fn shake(stream: Stream, listener: &ListenerTls, connection: &ClientConnection) -> Shaken {
    let opening = opening(&stream).await;
    connection.is_heard();
    match opening {
        Ok(Opening::Tls) => {}
        Ok(Opening::Text) => return Shaken::Text(stream),
        Ok(Opening::Other) => return Shaken::Failed(TlsHandshake::Malformed, Box::new("no TLS")),
        Ok(Opening::Closed) => return Shaken::Failed(TlsHandshake::Closed, Box::new("closed before a byte was sent")),
        Err(error) => return Shaken::Failed(TlsHandshake::Closed, Box::new(error)),
    }
    match step_by_step(listener.server.accept(stream), connection).await {
        Ok((stream, session)) => Shaken::Done(stream, Box::new(session)),
        Err((failure, error)) => Shaken::Failed(result(failure), Box::new(error)),
    }
}

/// Makes each step of a handshake when it is its turn.
async fn step_by_step(
    mut handshake: Handshake,
    connection: &ClientConnection,
) -> Result<(Stream, Session), (Failure, io::Error)> {
    let mut place = connection.worker().handshakes.place();
    poll_fn(|cx| {
        ready!(place.poll_step(cx));
        Pin::new(&mut handshake).poll(cx)
    })
    .await
}

fn result(failure: Failure) -> TlsHandshake {
    match failure {
        Failure::UnknownName => TlsHandshake::UnknownName,
        Failure::ClientCertificate => TlsHandshake::ClientCertificate,
        Failure::Incompatible => TlsHandshake::Incompatible,
        Failure::Alert => TlsHandshake::Alert,
        Failure::Malformed => TlsHandshake::Malformed,
        Failure::Closed => TlsHandshake::Closed,
    }
}

/// `None`: the connection's timeout came first, or its end before anything was heard.
pub(super) async fn in_time<T>(connection: &ClientConnection, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if connection.poll_leave(cx).is_ready() {
            return Poll::Ready(None);
        }
        connection.clock().poll(cx).map(|()| None)
    })
    .await
}

async fn turn_away(mut stream: Stream) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\r\n{NOT_HERE}",
        NOT_HERE.len()
    );
    if stream.write_all(answer.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
        let _ = tokio::io::copy(&mut stream.take(UNREAD_MAX), &mut tokio::io::sink()).await;
    }
}

/// Counts, and tells the log now and then: anybody can make handshakes fail as often as he likes.
fn note(connection: &ClientConnection, result: TlsHandshake, cause: &dyn Display) {
    connection.cells().handshakes(result).inc();
    let (listener, peer) = (&connection.listener().part.name, connection.peer());
    let result = result.as_str();
    match connection.worker().handshakes_told.tell(connection.worker().timers.now()) {
        Some(0) => tracing::warn!(%listener, %peer, result, "TLS handshake failed: {cause}"),
        Some(more) => tracing::warn!(%listener, %peer, result, more, "TLS handshake failed: {cause}"),
        None => tracing::debug!(%listener, %peer, result, "TLS handshake failed: {cause}"),
    }
}

/// The same for a connection that was established: it cannot be read any more. Does nothing for one that has failed beneath TLS.
pub(super) fn note_fault(connection: &ClientConnection, error: &io::Error) {
    let fault = match Fault::of(error) {
        Some(Fault::BadRecord) => TlsFault::BadRecord,
        Some(Fault::Alert) => TlsFault::Alert,
        Some(Fault::Malformed) => TlsFault::Malformed,
        None => return,
    };
    connection.cells().tls_faults(fault).inc();
    let (listener, peer) = (&connection.listener().part.name, connection.peer());
    let kind = fault.as_str();
    match connection.worker().tls_faults_told.tell(connection.worker().timers.now()) {
        Some(0) => tracing::warn!(%listener, %peer, kind, "TLS failed after its handshake: {error}"),
        Some(more) => tracing::warn!(%listener, %peer, kind, more, "TLS failed after its handshake: {error}"),
        None => tracing::debug!(%listener, %peer, kind, "TLS failed after its handshake: {error}"),
    }
}

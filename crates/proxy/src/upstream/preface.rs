//! Begins HTTP/2 on a new connection to an endpoint: our preface, and the wait for its SETTINGS.
//!
//! Before `http2`, which lends the connection out stream by stream. hyper would send requests at once; but only SETTINGS say how many
//! streams an endpoint takes, and that it speaks HTTP/2 at all. What is not sent before they are here may go to another endpoint.

use super::http2::{STREAMS_MAX, Slot};
use crate::{
    body::Body,
    http2::{Side, Sieve},
};
use evenkeel_net::{
    Stream,
    tls::{Refusal, refused_later},
};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What an endpoint may send on one stream before its client has taken it: as much as a client may send us.
const STREAM_WINDOW: u32 = 256 * 1024;
/// And on all streams together: so much that however many clients read slowly, none of the others waits for them. (HTTP/1.1 costs as much: a
/// buffer of hyper's and one of the kernel's for each connection.) The streams can never fill it; but from it h2 (0.4.20,
/// `DataFrameBudget`) derives how many small frames may wait, and ends the connection for one more: some 200 000 here. Each costs some 350
/// bytes, so that is what 24 clients have in a stream that they do not read, in messages of 30 bytes. Four times less was too few.
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW * STREAMS_MAX;
/// Bytes of a request's body that wait for the endpoint, for each stream.
const SEND_BUFFER: usize = 64 * 1024;
/// An answer's head as hpack counts it: the text, and 32 bytes a field. For HTTP/1.1 hyper holds as much.
const HEAD_MAX: u32 = 64 * 1024;
/// Streams of ours that h2 knows for a second after we have reset them, so that what their endpoint had sent before it heard of that is
/// dropped without a word. As many as clients may well give up in one second; each costs some 500 bytes. What comes for a stream that is
/// forgotten is answered with one more RST_STREAM.
const RESET_STREAMS_MAX: usize = 4096;
/// An endpoint that is gone without a word is noticed this long after a PING went unanswered.
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// The side of a connection that hyper drives; empty once it has ended.
pub(super) type Driven = Rc<RefCell<Option<http2::Connection<Io, Body, Spawner>>>>;

type Io = TokioIo<Heard>;

/// Why an endpoint does not come to speak HTTP/2.
pub(super) enum Unopened {
    /// It closed without a word.
    Silent,
    /// What hyper says of it.
    Broken(hyper::Error),
    /// TLS is over, though our side of the handshake was done.
    Refused(Refusal),
}

/// Sends our preface and waits for the endpoint's SETTINGS.
pub(super) async fn open(
    stream: Stream,
    ping_interval: Duration,
    uploads: &Rc<Uploads>,
) -> Result<(http2::SendRequest<Body>, Driven), Unopened> {
    let ear = Rc::new(Ear::default());
    let io = TokioIo::new(Heard { stream, ear: Rc::clone(&ear), sieve: Sieve::new(Side::Answers, HEAD_MAX as usize) });
    let spawner = Spawner(Rc::clone(uploads));
    let (sender, connection) = builder(spawner, ping_interval).handshake(io).await.map_err(Unopened::Broken)?;
    let driven = Rc::new(RefCell::new(Some(connection)));
    settings(&driven, &ear).await.map_err(|error| match (ear.refused.take(), error) {
        (Some(refusal), _) => Unopened::Refused(refusal),
        (None, Some(error)) => Unopened::Broken(error),
        (None, None) => Unopened::Silent,
    })?;
    tokio::task::spawn_local(drive(Rc::clone(&driven)));
    Ok((sender, driven))
}

fn builder(spawner: Spawner, ping_interval: Duration) -> http2::Builder<Spawner> {
    let mut http = http2::Builder::new(spawner);
    http.initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEAD_MAX)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        // Frames for forgotten streams, of which h2 (0.4.20) bears 1024 in the life of a connection. That is meant for servers whose
        // clients make them reset streams; here clients that cancel would end the connection of all others.
        .max_local_error_reset_streams(None)
        // None before SETTINGS; by this we see that they are here.
        .initial_max_send_streams(0)
        .timer(TokioTimer::new())
        // Only while a request is in flight: servers of gRPC take pings on an idle connection for an attack, and so they do more than
        // one in 5 minutes of their own silence (gRPC's A8, "client-side keepalive").
        .keep_alive_interval(ping_interval)
        .keep_alive_timeout(PONG_WITHIN);
    http
}

/// Waits until the endpoint has said how many streams it takes. RFC 9113, section 3.4: SETTINGS are the first that it sends.
async fn settings(driven: &Driven, ear: &Ear) -> Result<(), Option<hyper::Error>> {
    std::future::poll_fn(|cx| {
        // hyper reads in a task of its own, and tells of nothing but the end.
        ear.waiting.set(Some(cx.waker().clone()));
        match poll(driven, cx) {
            Poll::Ready(ended) => Poll::Ready(Err(ended.err())),
            Poll::Pending if takes(driven).is_some_and(|takes| takes > 0) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// How many streams the endpoint takes at a time. `None`: it cannot be asked now, for this comes from within [`drive`].
pub(super) fn takes(driven: &Driven) -> Option<usize> {
    let driven = driven.try_borrow().ok()?;
    Some(driven.as_ref().map_or(0, http2::Connection::current_max_send_streams))
}

/// Its errors reach us through the requests and bodies that they concern.
async fn drive(driven: Driven) {
    let _ = std::future::poll_fn(|cx| poll(&driven, cx)).await;
}

fn poll(driven: &Driven, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
    let mut slot = driven.borrow_mut();
    let Some(connection) = &mut *slot else { return Poll::Ready(Ok(())) };
    let ended = std::task::ready!(Pin::new(connection).poll(cx));
    let ended_connection = slot.take();
    // Requests that it never sent go back to their owners with it.
    drop(slot);
    drop(ended_connection);
    Poll::Ready(ended)
}

/// Gives what hyper spawns a task on this worker.
#[derive(Clone, Debug)]
pub(super) struct Spawner(Rc<Uploads>);

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        let task = tokio::task::spawn_local(future);
        if let Some(slot) = self.0.newest.take().upgrade() {
            slot.is_uploaded_by(task.abort_handle());
        }
    }
}

/// The bodies of one connection's requests, as far as hyper sends them in tasks of their own.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// What hyper spawns next belongs to this one.
    newest: RefCell<Weak<Slot>>,
}

impl Uploads {
    /// hyper asks for the first part of this one, and will spawn a task right then if it needs one.
    pub(super) fn begins(&self, slot: &Rc<Slot>) {
        self.newest.replace(Rc::downgrade(slot));
    }
}

/// Who waits for the first bytes.
#[derive(Default)]
struct Ear {
    waiting: Cell<Option<Waker>>,
    /// Of what `h2` is told only the text comes back from it.
    refused: Cell<Option<Refusal>>,
}

/// An endpoint's socket that tells when it is read.
pub(super) struct Heard {
    stream: Stream,
    ear: Rc<Ear>,
    sieve: Sieve,
}

impl AsyncRead for Heard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let stream = &mut this.stream;
        let result = this.sieve.poll_read(cx, buf, |cx, buf| Pin::new(&mut *stream).poll_read(cx, buf));
        if let Poll::Ready(Err(error)) = &result
            && let Some(refusal) = refused_later(error)
        {
            this.ear.refused.set(Some(refusal));
        }
        if let Some(waiting) = this.ear.waiting.take() {
            waiting.wake();
        }
        result
    }
}

/// A failure to write is not told to hyper, which would give up: what the endpoint said before it closed (an alert, GOAWAY) is there to be
/// read. If it said nothing, reading fails as well.
fn forgive<T>(result: Poll<io::Result<T>>, done: T) -> Poll<io::Result<T>> {
    result.map(|result| Ok(result.unwrap_or(done)))
}

impl AsyncWrite for Heard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        forgive(Pin::new(&mut self.get_mut().stream).poll_write(cx, buf), buf.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        forgive(Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs), offered)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forgive(Pin::new(&mut self.get_mut().stream).poll_flush(cx), ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

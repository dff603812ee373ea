//! Copies bytes both ways between two connections until both have said all they had to say.
//!
//! A poll function and no task: whoever drives it keeps the time. An orderly end of one side is passed on behind its last byte,
//! and the other direction goes on. Nothing is read from a side before the other has taken what came before, so a relay holds
//! [`HELD_MAX`] bytes each way at most, and none while both sides are quiet: ten thousand idle WebSockets cost no buffers.
//! What flows in bulk is read in larger pieces, for fewer system calls; what the other side does not take, in smaller ones.

use bytes::{Buf, Bytes};
use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at a time at first. One TLS record, and what the kernel gives at once in most cases.
const PIECE: usize = 16 * 1024;

/// Bytes that are read at a time while pieces are full and taken whole, and so the most that are held for a side that stops to take
/// them. A quarter of the system calls, and still a part of the cache next to the core.
const HELD_MAX: usize = 64 * 1024;

/// Bytes that are carried one way before others of the thread have their turn: some hundred microseconds.
const TURN_MAX: u64 = 1024 * 1024;

/// Two connections and what is on its way between them.
#[derive(Debug)]
pub struct Relay<A, B> {
    a: A,
    b: B,
    forth: Pipe,
    back: Pipe,
}

/// Bytes that have been taken by the other side, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// From the first to the second.
    pub forth: u64,
    /// From the second to the first.
    pub back: u64,
}

/// How a relay ended.
#[derive(Debug)]
pub enum RelayEnd {
    /// Both sides have ended in order, and everything was passed on.
    Complete,
    /// The first side failed; what was on its way is lost.
    First(io::Error),
    /// The second side failed; what was on its way is lost.
    Second(io::Error),
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    /// Read, and not yet taken.
    held: Bytes,
    state: State,
    carried: u64,
    /// Written, and perhaps not sent yet.
    unflushed: bool,
    /// The last piece was full and was taken whole.
    bulk: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The source has ended; the sink does not know yet.
    Ending,
    Ended,
}

/// Which end of a pipe failed.
enum Failure {
    Source(io::Error),
    Sink(io::Error),
}

impl<A, B> Relay<A, B>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    /// `from_a` and `from_b` were read from the connections before and are passed on first.
    pub fn new(a: A, from_a: Bytes, b: B, from_b: Bytes) -> Self {
        let pipe = |held| Pipe { held, ..Pipe::default() };
        Self { a, b, forth: pipe(from_a), back: pipe(from_b) }
    }

    /// What has been carried so far.
    pub fn carried(&self) -> Carried {
        Carried { forth: self.forth.carried, back: self.back.carried }
    }

    /// The two connections.
    pub fn ends(&self) -> (&A, &B) {
        (&self.a, &self.b)
    }

    /// Carries what can be carried now. Ready once, with the end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let Self { a, b, forth, back } = self;
        let forth = match forth.poll(cx, a, b) {
            Poll::Ready(Err(Failure::Source(error))) => return Poll::Ready(RelayEnd::First(error)),
            Poll::Ready(Err(Failure::Sink(error))) => return Poll::Ready(RelayEnd::Second(error)),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        match back.poll(cx, b, a) {
            Poll::Ready(Err(Failure::Source(error))) => Poll::Ready(RelayEnd::Second(error)),
            Poll::Ready(Err(Failure::Sink(error))) => Poll::Ready(RelayEnd::First(error)),
            Poll::Ready(Ok(())) if forth => Poll::Ready(RelayEnd::Complete),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Pipe {
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, source: &mut R, sink: &mut W) -> Poll<Result<(), Failure>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let turn = self.carried + TURN_MAX;
        loop {
            if self.carried >= turn {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            while !self.held.is_empty() {
                let n = ready!(Pin::new(&mut *sink).poll_write(cx, &self.held)).map_err(Failure::Sink)?;
                if n == 0 {
                    return Poll::Ready(Err(Failure::Sink(io::ErrorKind::WriteZero.into())));
                }
                self.held.advance(n);
                self.carried += n as u64;
                self.unflushed = true;
            }
            // What was held may be a slice of a larger buffer.
            self.held = Bytes::new();
            match self.state {
                State::Open if self.bulk => ready!(self.poll_carry::<HELD_MAX, _, _>(cx, source, sink))?,
                State::Open => ready!(self.poll_carry::<PIECE, _, _>(cx, source, sink))?,
                State::Ending => {
                    // An error means that the sink is gone, and with it nobody to be told.
                    let _ = ready!(Pin::new(&mut *sink).poll_shutdown(cx));
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// One read, and one write of what it gave; only what the sink does not take at once is copied.
    fn poll_carry<const SIZE: usize, R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
    ) -> Poll<Result<(), Failure>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut buffer = [MaybeUninit::uninit(); SIZE];
        let mut read = ReadBuf::uninit(&mut buffer);
        let Poll::Ready(done) = Pin::new(source).poll_read(cx, &mut read) else {
            // Nothing to carry now: what the sink has kept to itself has to leave. TLS keeps what its socket does not take.
            if self.unflushed {
                ready!(Pin::new(sink).poll_flush(cx)).map_err(Failure::Sink)?;
                self.unflushed = false;
            }
            return Poll::Pending;
        };
        done.map_err(Failure::Source)?;
        let bytes = read.filled();
        if bytes.is_empty() {
            self.state = State::Ending;
            return Poll::Ready(Ok(()));
        }
        let taken = match Pin::new(sink).poll_write(cx, bytes) {
            Poll::Ready(Ok(taken)) => taken,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Sink(error))),
            Poll::Pending => 0,
        };
        self.carried += taken as u64;
        self.unflushed = true;
        self.bulk = taken == bytes.len() && (taken == SIZE || (self.bulk && taken >= PIECE));
        if taken < bytes.len() {
            self.held = Bytes::copy_from_slice(&bytes[taken..]);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    /// A relay, its driver's handle, and the far ends of both sides.
    fn relay(
        room: usize,
        early: (&'static [u8], &'static [u8]),
    ) -> (Relay<DuplexStream, DuplexStream>, DuplexStream, DuplexStream) {
        let (a, far_a) = duplex(room);
        let (b, far_b) = duplex(room);
        (Relay::new(a, Bytes::from_static(early.0), b, Bytes::from_static(early.1)), far_a, far_b)
    }

    async fn run(mut relay: Relay<DuplexStream, DuplexStream>) -> (RelayEnd, Carried) {
        let end = poll_fn(|cx| relay.poll(cx)).await;
        (end, relay.carried())
    }

    #[tokio::test]
    async fn what_was_read_before_is_passed_on_first() {
        let (relay, mut a, mut b) = relay(64, (b"early ", b"soon "));
        let running = tokio::spawn(run(relay));
        a.write_all(b"bird").await.unwrap();
        b.write_all(b"enough").await.unwrap();
        a.shutdown().await.unwrap();
        b.shutdown().await.unwrap();

        let (mut at_a, mut at_b) = (String::new(), String::new());
        a.read_to_string(&mut at_a).await.unwrap();
        b.read_to_string(&mut at_b).await.unwrap();

        assert_eq!((at_a.as_str(), at_b.as_str()), ("soon enough", "early bird"));
        let (end, carried) = running.await.unwrap();
        assert!(matches!(end, RelayEnd::Complete), "{end:?}");
        assert_eq!(carried, Carried { forth: 10, back: 11 });
    }

    #[tokio::test]
    async fn one_side_may_end_while_the_other_goes_on() {
        let (relay, mut a, mut b) = relay(64, (b"", b""));
        let running = tokio::spawn(run(relay));
        a.write_all(b"that is all").await.unwrap();
        a.shutdown().await.unwrap();
        let mut at_b = String::new();
        b.read_to_string(&mut at_b).await.unwrap();
        assert_eq!(at_b, "that is all");

        b.write_all(b"and here is more").await.unwrap();
        drop(b);
        let mut at_a = String::new();
        a.read_to_string(&mut at_a).await.unwrap();

        assert_eq!(at_a, "and here is more");
        assert!(matches!(running.await.unwrap().0, RelayEnd::Complete));
    }

    #[tokio::test]
    async fn a_side_that_takes_nothing_stops_the_other_from_being_read() {
        let (mut relay, mut a, _b) = relay(8 * HELD_MAX, (b"", b""));
        let flood = vec![7; 8 * HELD_MAX];
        let mut sent = 0;
        for _ in 0..64 {
            let _ = poll_fn(|cx| Poll::Ready(relay.poll(cx))).await;
            let written = poll_fn(|cx| match Pin::new(&mut a).poll_write(cx, &flood) {
                Poll::Ready(written) => Poll::Ready(written.unwrap()),
                Poll::Pending => Poll::Ready(0),
            });
            sent += written.await;
        }

        assert!(relay.forth.held.len() <= HELD_MAX);
        assert!(sent <= 2 * 8 * HELD_MAX + HELD_MAX, "two pipes of room and one buffer: {sent}");
    }

    #[tokio::test]
    async fn what_flows_in_bulk_lets_others_have_their_turn() {
        let (mut relay, mut a, _b) = relay(8 << 20, (b"", b""));
        a.write_all(&vec![7; 4 << 20]).await.unwrap();

        let mut turns = 0;
        let carried = poll_fn(|cx| {
            turns += 1;
            assert!(relay.poll(cx).is_pending());
            let carried = relay.carried().forth;
            assert!(carried <= turns * (TURN_MAX + HELD_MAX as u64), "{carried} in {turns} turns");
            if carried < 4 << 20 { Poll::Pending } else { Poll::Ready(carried) }
        });

        assert_eq!(carried.await, 4 << 20);
        assert!(turns >= 4, "{turns}");
    }

    #[tokio::test]
    async fn a_megabyte_each_way_through_narrow_pipes_arrives_whole() {
        let (relay, a, b) = relay(1000, (b"", b""));
        let running = tokio::spawn(run(relay));
        let data: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        let side = |stream: DuplexStream| {
            let data = data.clone();
            async move {
                let (mut read, mut write) = tokio::io::split(stream);
                let sending = async {
                    write.write_all(&data).await.unwrap();
                    write.shutdown().await.unwrap();
                };
                let mut got = Vec::new();
                let (_, received) = tokio::join!(sending, read.read_to_end(&mut got));
                received.unwrap();
                got
            }
        };

        let (at_a, at_b) = tokio::join!(side(a), side(b));

        assert!(at_a == data && at_b == data);
        assert_eq!(running.await.unwrap().1, Carried { forth: 1_000_000, back: 1_000_000 });
    }
}

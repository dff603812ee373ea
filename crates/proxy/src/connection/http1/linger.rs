//! The end of a connection that has had its last answer.
//!
//! A socket that is closed with unread bytes in it is reset, and a reset may take the answer away from a client that still sends (RFC 9112,
//! section 9.6). So our side ends first, and what still comes is thrown away for a while.

use crate::{
    connection::{client::ClientConnection, io::ClientIo},
    worker::Timer,
};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

/// How long bytes are waited for, each time and in all: what nginx takes (`lingering_timeout`, `lingering_time`).
pub(in crate::connection) const QUIET_MAX: Duration = Duration::from_secs(5);
pub(in crate::connection) const ALL_MAX: Duration = Duration::from_secs(30);

/// Ends a connection behind these last words. `lingers`: the client may still be sending.
pub(super) async fn end(mut io: ClientIo, words: &[u8], lingers: bool, connection: &ClientConnection) {
    connection.becomes_nothing();
    let quiet = connection.clock();
    quiet.set(QUIET_MAX);
    let told = {
        let mut telling = pin!(async {
            io.write_all(words).await?;
            io.shutdown().await
        });
        poll_fn(|cx| match telling.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.is_ok()),
            Poll::Pending => quiet.poll(cx).map(|()| false),
        })
        .await
    };
    if !told {
        return;
    }
    let whole = connection.timer();
    whole.set(ALL_MAX);
    let mut waits = lingers;
    poll_fn(|cx| match poll_discard(&mut io, &mut waits, quiet, &whole, cx) {
        Poll::Pending if !waits => Poll::Ready(()),
        other => other,
    })
    .await;
}

/// Ready when the client has ended as well, or had its time. From one that sends, more is expected.
fn poll_discard(io: &mut ClientIo, sends: &mut bool, quiet: &Timer, whole: &Timer, cx: &mut Context<'_>) -> Poll<()> {
    let mut bytes = [std::mem::MaybeUninit::uninit(); 4096];
    loop {
        let mut buffer = ReadBuf::uninit(&mut bytes);
        if whole.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match Pin::new(&mut *io).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                *sends = true;
                quiet.set(QUIET_MAX);
            }
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return quiet.poll(cx),
        }
    }
}

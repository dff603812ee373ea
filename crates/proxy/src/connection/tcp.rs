//! A connection that is passed on as it is: from its first byte, or once it is known for whom a TLS client asks.
//!
//! After `open`, in place of `http1` and `http2`, as a task of its own. It holds a snapshot until an endpoint is connected, and no longer:
//! a reload frees what it removes, however long a session lives. From there on it is what a tunnel is (`tunnel`).

use super::{
    client::ClientConnection,
    io::ClientIo,
    session::Session,
    tls::in_time,
    tunnel::{Cut, carry},
};
use crate::{
    upstream::{Switched, dial},
    worker::LocalTcp,
};
use bytes::{Bytes, BytesMut};
use evenkeel_net::{
    Stream,
    client_hello::{self, HELLO_MAX},
};
use evenkeel_telemetry::SessionResult;
use std::rc::Rc;
use tokio::io::AsyncReadExt;

/// Serves a connection until it ends.
pub(super) async fn serve(stream: Stream, connection: Rc<ClientConnection>, tcp: LocalTcp) {
    let mut session = Session::begin(&connection, tcp.part.nowhere());
    let mut client = ClientIo::new(stream, Rc::clone(&connection));
    match connect(&mut client, &connection, &mut session, tcp).await {
        Ok((early, endpoint)) => {
            session.connected();
            let cut = carry(client, early, endpoint, connection.clock(), |carried| session.carried(carried)).await;
            session.ends(match cut {
                None => SessionResult::Complete,
                Some(Cut::Client) => SessionResult::ClientClosed,
                Some(Cut::Endpoint) => SessionResult::UpstreamReset,
                Some(Cut::Idle) => SessionResult::Idle,
            });
        }
        Err(Some(result)) => session.ends(result),
        // The listener or the process ends, which the session says by itself.
        Err(None) => {}
    }
}

/// Finds out where the client belongs, and connects it. With what was read of it so far.
async fn connect(
    client: &mut ClientIo,
    connection: &ClientConnection,
    session: &mut Session,
    tcp: LocalTcp,
) -> Result<(Bytes, Switched), Option<SessionResult>> {
    let mut early = Bytes::new();
    let mut fault = SessionResult::UnknownName;
    if let Some(tls) = connection.tls() {
        tls.server_name().into_iter().for_each(|name| session.asks_for(name.to_owned()));
    } else if tcp.part.asks_names() {
        connection.clock().set(connection.timeouts().tls);
        let Some(hello) = in_time(connection, hello(client)).await else {
            return Err((!connection.ends_unheard()).then_some(SessionResult::TimedOut));
        };
        let (read, name) = hello.ok_or(Some(SessionResult::ClientClosed))?;
        early = read;
        match name {
            Ok(name) => name.into_iter().for_each(|name| session.asks_for(name)),
            Err(NoHello) => fault = SessionResult::NoHello,
        }
    }
    connection.clock().clear();
    let target = tcp.part.find(session.name()).ok_or(Some(fault))?;
    session.leads_to(target);
    client.learn_reached();
    let endpoint = dial(tcp.snapshot.upstream(target.upstream), connection, session).await?;
    Ok((early, endpoint))
}

/// The client does not begin with a ClientHello.
struct NoHello;

/// Reads until it is clear for which name the client asks; gives all that was read. `None`: the client has gone before.
async fn hello(client: &mut ClientIo) -> Option<(Bytes, Result<Option<String>, NoHello>)> {
    let (mut read, mut reader) = (BytesMut::new(), client_hello::Reader::default());
    loop {
        // Each time there is room for less; one byte more than the longest hello is enough to tell that it is too long.
        let room = (HELLO_MAX + 1).saturating_sub(read.len()).max(1);
        let mut piece = client.take(room as u64);
        piece.read_buf(&mut read).await.ok().filter(|bytes| *bytes > 0)?;
        client.connection().is_heard();
        match reader.read(&read) {
            Ok(None) => {}
            Ok(Some(hello)) => return Some((read.freeze(), Ok(hello.server_name))),
            Err(fault) => {
                tracing::debug!("no hello: {fault}");
                return Some((read.freeze(), Err(NoHello)));
            }
        }
    }
}

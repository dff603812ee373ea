//! A server on bare sockets: plays a script on each connection and keeps the exact bytes that came.

use super::{
    buffered::{Buffered, Ending},
    message::{Framing, request_framing},
    script::{Script, Step},
};
use crate::{
    eventually::until,
    place::{Door, Place, Socket},
    tls_server::TlsServer,
};
use std::{
    fmt,
    sync::{Arc, Mutex},
};
use tokio::task::{AbortHandle, JoinSet};

/// What came on one connection.
#[derive(Clone, Debug, Default)]
struct Record {
    received: Vec<u8>,
    requests: Vec<Vec<u8>>,
    ended: Option<Ending>,
}

type Records = Arc<Mutex<Vec<Record>>>;

/// A server on bare sockets. Prints as its address in a configuration file.
#[derive(Debug)]
pub struct RawOrigin {
    place: Place,
    records: Records,
    accepting: AbortHandle,
}

impl RawOrigin {
    /// Plays this script on every connection.
    pub async fn start(script: Script) -> Self {
        Self::start_each(vec![script]).await
    }

    /// Plays this script within TLS on every connection.
    #[expect(clippy::unused_async, reason = "must be called on a runtime, and reads like the other servers")]
    pub async fn start_secured(script: Script, tls: &TlsServer) -> Self {
        Self::open(vec![script], Some(tls.clone()))
    }

    /// Plays the first script on the first connection and so on; the last one on all further connections.
    ///
    /// # Panics
    /// When there is no script.
    #[expect(clippy::unused_async, reason = "must be called on a runtime, and reads like the other servers")]
    pub async fn start_each(scripts: Vec<Script>) -> Self {
        assert!(!scripts.is_empty(), "a RawOrigin needs a script");
        Self::open(scripts, None)
    }

    fn open(scripts: Vec<Script>, tls: Option<TlsServer>) -> Self {
        let (door, place) = Door::open(&Place::loopback());
        let records = Records::default();
        let accepting = tokio::spawn(accept(door, scripts, tls, Arc::clone(&records))).abort_handle();
        Self { place, records, accepting }
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    fn look<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        look(&self.records.lock().expect("nobody panics while holding the records"))
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.look(<[Record]>::len)
    }

    /// Every byte that came on the n-th connection, from 0; empty if there was none.
    #[must_use]
    pub fn received(&self, connection: usize) -> Vec<u8> {
        self.look(|records| records.get(connection).map(|r| r.received.clone()).unwrap_or_default())
    }

    /// Every byte that came, over all connections, as text.
    #[must_use]
    pub fn received_text(&self) -> String {
        self.look(|records| records.iter().map(|r| String::from_utf8_lossy(&r.received).into_owned()).collect())
    }

    /// The whole requests that its scripts have read, over all connections, each with its exact bytes as text.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.look(|records| {
            let requests = records.iter().flat_map(|record| &record.requests);
            requests.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
        })
    }

    /// The only request it has read.
    ///
    /// # Panics
    /// When there is not exactly one.
    #[must_use]
    pub fn the_request(&self) -> String {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "exactly one request: {requests:#?}");
        requests.remove(0)
    }

    /// How the n-th connection was ended by its peer; `None` while it is open or if our script ended it.
    #[must_use]
    pub fn ended(&self, connection: usize) -> Option<Ending> {
        self.look(|records| records.get(connection).and_then(|r| r.ended))
    }

    /// Waits until the peer has ended the n-th connection.
    pub async fn is_left(&self, connection: usize) -> Ending {
        until(&format!("the peer ends connection {connection}"), async || self.ended(connection)).await
    }

    /// Waits until so many bytes, or more, came on the n-th connection.
    pub async fn has_received(&self, connection: usize, bytes: usize) {
        let what = format!("{bytes} bytes on connection {connection}");
        until(&what, async || (self.received(connection).len() >= bytes).then_some(())).await;
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Display for RawOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

/// Accepts until aborted; the connections end with it.
async fn accept(door: Door, scripts: Vec<Script>, tls: Option<TlsServer>, records: Records) {
    let mut playing = JoinSet::new();
    loop {
        let Ok(socket) = door.accept().await else { continue };
        let number = {
            let mut records = records.lock().expect("nobody panics while holding the records");
            records.push(Record::default());
            records.len() - 1
        };
        let script = scripts[number.min(scripts.len() - 1)].clone();
        let (tls, records) = (tls.clone(), Arc::clone(&records));
        playing.spawn(async move {
            let socket = match tls {
                Some(tls) => tls.accept(socket).await,
                None => Ok(socket),
            };
            if let Ok(socket) = socket {
                play(socket, script, number, records).await;
            }
        });
    }
}

async fn play(socket: Socket, script: Script, number: usize, records: Records) {
    let record = |change: &dyn Fn(&mut Record)| {
        change(&mut records.lock().expect("nobody panics while holding the records")[number]);
    };
    let mut seen = |bytes: &[u8]| record(&|r| r.received.extend_from_slice(bytes));
    let mut connection = Buffered::new(socket);
    let mut at = 0;
    while let Some(step) = script.steps.get(at) {
        at += 1;
        let done = match step {
            Step::ReadRequest => match connection.message(request_framing, &mut seen).await {
                Ok(taken) if taken.cut.is_none() => {
                    record(&|r| r.requests.push(taken.bytes.clone()));
                    Ok(())
                }
                Ok(taken) => Err(taken.cut),
                Err(ending) => Err(Some(ending)),
            },
            Step::ReadHead => connection.message(|_| Framing::None, &mut seen).await.map(drop).map_err(Some),
            Step::Send(bytes) => connection.send(bytes).await.map_err(|_| None),
            Step::SendSlowly(bytes, pause) => drip(&mut connection, bytes, *pause).await.map_err(|_| None),
            Step::Wait(gate) => {
                // An error means that the test dropped its end: nothing more to wait for.
                let _ = gate.clone().wait_for(|open| *open).await;
                Ok(())
            }
            Step::FinishWriting => connection.finish_writing().await.map_err(|_| None),
            Step::Close => return,
            Step::Reset => return connection.into_socket().reset(),
            Step::Stall => Err(None),
            Step::Repeat => {
                at = 0;
                Ok(())
            }
        };
        if let Err(ending) = done {
            if ending.is_some() {
                return record(&|r| r.ended = ending);
            }
            break;
        }
    }
    let ending = connection.end(&mut seen).await;
    record(&|r| r.ended = Some(ending));
    if ending == Ending::Fin {
        // Within TLS a mere drop would be a cut.
        let _ = connection.finish_writing().await;
    }
}

async fn drip(connection: &mut Buffered, bytes: &[u8], pause: std::time::Duration) -> std::io::Result<()> {
    for byte in bytes {
        connection.send(&[*byte]).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

//! Both ends of a WebSocket over HTTP/2: an endpoint of HTTP/1.1 that agrees to it in its own ways, and a client's stream.

use super::talk::{Answer, Talk, whole};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use evenkeel_testkit::{Door, Ending, Place, Socket, TlsServer, in_time};
use h2::{RecvStream, SendStream, ext::Protocol};
use http::{Method, Request};
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An endpoint that does what the path says.
pub(super) struct SocketOrigin {
    pub(super) place: Place,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Bytes that `/flood` could write.
    pub(super) flooded: Arc<AtomicU64>,
}

/// A connection, as the endpoint saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) received: Vec<u8>,
    pub(super) ended: Option<Ending>,
}

impl SocketOrigin {
    pub(super) async fn start() -> Self {
        Self::open(None)
    }

    pub(super) async fn secured(tls: &TlsServer) -> Self {
        Self::open(Some(tls.clone()))
    }

    fn open(tls: Option<TlsServer>) -> Self {
        let (door, place) = Door::open(&Place::loopback());
        let (seen, flooded) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<AtomicU64>::default());
        let (notes, count) = (Arc::clone(&seen), Arc::clone(&flooded));
        tokio::spawn(async move {
            while let Ok(socket) = door.accept().await {
                let (tls, notes, count) = (tls.clone(), Arc::clone(&notes), Arc::clone(&count));
                tokio::spawn(async move {
                    let mut socket = match tls {
                        Some(tls) => tls.accept(socket).await?,
                        None => socket,
                    };
                    let head = head(&mut socket).await?;
                    let at = {
                        let mut notes = notes.lock().expect("nobody panics with it");
                        notes.push(Seen { head: head.clone(), received: Vec::new(), ended: None });
                        notes.len() - 1
                    };
                    let note = |bytes: &[u8]| {
                        notes.lock().expect("nobody panics with it")[at].received.extend_from_slice(bytes);
                    };
                    let ended = serve(socket, &head, note, &count).await;
                    let ended = if ended.is_ok() { Ending::Fin } else { Ending::Reset };
                    notes.lock().expect("nobody panics with it")[at].ended = Some(ended);
                    io::Result::Ok(())
                });
            }
        });
        Self { place, seen, flooded }
    }

    /// The connections on which something was asked.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("nobody panics with it").clone()
    }

    pub(super) fn last(&self) -> Seen {
        self.seen().pop().expect("a request")
    }

    pub(super) async fn is_left(&self) -> Ending {
        evenkeel_testkit::eventually("the endpoint is left", || self.last().ended.is_some()).await;
        self.last().ended.expect("it has ended")
    }
}

async fn head(socket: &mut Socket) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Until the other side has ended.
async fn serve(mut socket: Socket, head: &str, mut note: impl FnMut(&[u8]), flooded: &AtomicU64) -> io::Result<()> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap_or_default();
    let digest = sha1_smol::Sha1::from(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")).digest();
    let accept = BASE64_STANDARD.encode(digest.bytes());
    let switch = |accept: &str| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n{accept}\
             Sec-WebSocket-Protocol: chat\r\nX-Own: 1\r\n\r\n"
        )
    };
    let good = switch(&format!("Sec-WebSocket-Accept: {accept}\r\n"));
    let answer = match path {
        "/refuse" => "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".to_owned(),
        "/plain" => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".to_owned(),
        "/wrong" => switch("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "/none" => switch(""),
        "/twice" => switch(&format!("Sec-WebSocket-Accept: {accept}\r\n").repeat(2)),
        "/other" => good.replace("websocket\r\n", "foo\r\n"),
        "/never" => String::new(),
        "/bye" => good + "bye",
        _ => good,
    };
    socket.write_all(answer.as_bytes()).await?;
    socket.flush().await?;
    match path {
        "/bye" | "/plain" | "/refuse" => socket.shutdown().await?,
        "/reset" => {
            socket.read_u8().await?;
            socket.reset();
            return Ok(());
        }
        "/flood" => loop {
            flooded.fetch_add(socket.write(&[7; 16 * 1024]).await? as u64, Ordering::Relaxed);
        },
        _ => {}
    }
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let n = socket.read(&mut buffer).await?;
        note(&buffer[..n]);
        match (n, path) {
            (0, "/last") => {
                socket.write_all(b"the last word").await?;
                return socket.shutdown().await;
            }
            (0, "/bye" | "/plain" | "/refuse") => return Ok(()),
            (0, _) => return socket.shutdown().await,
            (_, "/echo") => {
                socket.write_all(&buffer[..n]).await?;
                socket.flush().await?;
            }
            _ => {}
        }
    }
}

/// An extended CONNECT for a WebSocket.
pub(super) fn websocket(path: &str) -> http::request::Builder {
    connect("websocket", path)
}

pub(super) fn connect(protocol: &'static str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://a.test{path}"))
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .header("origin", "http://a.test")
}

/// A client's stream that has become a WebSocket.
pub(super) struct Tunnel {
    pub(super) send: SendStream<Bytes>,
    receive: RecvStream,
    pub(super) headers: http::HeaderMap,
    unread: Vec<u8>,
}

impl Tunnel {
    /// Opens one.
    pub(super) async fn open(talk: &Talk, path: &str) -> Self {
        let (answer, send) = talk.begin(websocket(path), false).await.expect("a stream");
        let answer = in_time("an answer", answer).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{answer:?}");
        let (head, receive) = answer.into_parts();
        Self { send, receive, headers: head.headers, unread: Vec::new() }
    }

    pub(super) fn say(&mut self, bytes: impl Into<Bytes>) {
        self.send.send_data(bytes.into(), false).expect("an open stream");
    }

    pub(super) fn finish(&mut self) {
        self.send.send_data(Bytes::new(), true).expect("an open stream");
    }

    /// So many bytes.
    pub(super) async fn hear(&mut self, n: usize) -> Vec<u8> {
        while self.unread.len() < n {
            let more = self.more().await.expect("a stream in good order").expect("more before the end");
            self.unread.extend_from_slice(&more);
        }
        let rest = self.unread.split_off(n);
        std::mem::replace(&mut self.unread, rest)
    }

    /// All that comes before the end, if it is one in good order.
    pub(super) async fn rest(&mut self) -> Result<Vec<u8>, h2::Error> {
        while let Some(more) = self.more().await? {
            self.unread.extend_from_slice(&more);
        }
        Ok(std::mem::take(&mut self.unread))
    }

    async fn more(&mut self) -> Result<Option<Bytes>, h2::Error> {
        let Some(data) = in_time("more bytes", self.receive.data()).await else { return Ok(None) };
        let data = data?;
        self.receive.flow_control().release_capacity(data.len())?;
        Ok(Some(data))
    }
}

/// What is answered to this where no WebSocket comes of it.
pub(super) async fn refused(talk: &Talk, asked: http::request::Builder) -> Answer {
    let (answer, _send) = talk.begin(asked, false).await.expect("a stream");
    whole(in_time("an answer", answer).await.expect("an answer")).await.expect("a whole answer")
}

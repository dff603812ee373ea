//! A small HTTP/1.1 client that keeps one connection and reports exactly what happened.
//!
//! For tests that are about answers, not bytes (those use `Wire`). Sends one request at a time. Opens a new connection when
//! the kept one is closed or when hyper hands the request back unsent; whatever fails after that is a failure, never retried.

use crate::{
    eventually::BOUND,
    place::{Place, Socket},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::{
    fmt, io,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{Mutex, MutexGuard};

type Sender = SendRequest<Full<Bytes>>;

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    place: Place,
    from: Option<IpAddr>,
    kept: Mutex<Option<Sender>>,
    connections: AtomicUsize,
}

/// What went wrong, and how far it had come.
#[derive(Debug)]
pub enum Failure {
    /// No connection.
    Connect(io::Error),
    /// Sent, at least in part, and no whole response head came.
    NoAnswer(hyper::Error),
    /// The head came and the body did not come to its end.
    CutBody(u16, hyper::Error),
    /// Nothing of the above within the bound.
    TimedOut,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::NoAnswer(error) => write!(f, "no answer: {error:?}"),
            Self::CutBody(status, error) => write!(f, "the body of a {status} was cut: {error:?}"),
            Self::TimedOut => write!(f, "nothing within {BOUND:?}"),
        }
    }
}

impl Client {
    /// A client of this server; connects when it is first asked.
    #[must_use]
    pub fn of(place: &Place) -> Self {
        Self { place: place.clone(), from: None, kept: Mutex::new(None), connections: AtomicUsize::new(0) }
    }

    /// The same from another local address, such as 127.0.0.2.
    #[must_use]
    pub fn from_address(mut self, from: IpAddr) -> Self {
        self.from = Some(from);
        self
    }

    /// A GET of this path.
    pub fn get(&self, path: &str) -> Ask<'_> {
        self.ask(Method::GET, path)
    }

    /// A POST of this body.
    pub fn post(&self, path: &str, body: impl Into<Bytes>) -> Ask<'_> {
        self.ask(Method::POST, path).body(body)
    }

    /// Any request.
    pub fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        let host = HeaderValue::from_str(&self.place.authority()).expect("an authority is a field value");
        let headers = HeaderMap::from_iter([(header::HOST, host)]);
        Ask { client: self, method, path: path.to_owned(), headers, body: Bytes::new() }
    }

    /// Connections opened so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Lets go of the kept connection, so that the next request opens another.
    pub async fn forget_connection(&self) {
        *self.kept.lock().await = None;
    }

    async fn connect(&self) -> Result<Sender, Failure> {
        let socket = self.place.connect_from(self.from).await.map_err(Failure::Connect)?;
        let (sender, connection) = http1::handshake::<TokioIo<Socket>, _>(TokioIo::new(socket))
            .await
            .map_err(|e| Failure::Connect(io::Error::other(e)))?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        // Ends when the sender is dropped; its error is the request's as well.
        tokio::spawn(connection);
        Ok(sender)
    }

    /// The kept connection if it can still be used.
    async fn usable(&self, kept: &mut MutexGuard<'_, Option<Sender>>) -> Result<Sender, Failure> {
        if let Some(mut sender) = kept.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        self.connect().await
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response, Failure> {
        let mut kept = self.kept.lock().await;
        let response = loop {
            let mut sender = self.usable(&mut kept).await?;
            match sender.try_send_request(request).await {
                Ok(response) => {
                    *kept = Some(sender);
                    break response;
                }
                Err(mut unsent) => match unsent.take_message() {
                    Some(back) => request = back,
                    None => return Err(Failure::NoAnswer(unsent.into_error())),
                },
            }
        };
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        match body.collect().await {
            Ok(body) => Ok(Response { status, headers: head.headers, body: body.to_bytes() }),
            Err(error) => Err(Failure::CutBody(status, error)),
        }
    }
}

/// A request about to be sent.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until `send`"]
pub struct Ask<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl<'a> Ask<'a> {
    /// For this host, instead of the server's address.
    pub fn host(self, host: &str) -> Self {
        let mut ask = self;
        ask.headers.insert(header::HOST, host.parse().expect("a host is a field value"));
        ask
    }

    /// With one more field.
    ///
    /// # Panics
    /// When it is no field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a field name");
        self.headers.append(name, value.parse().expect("a field value"));
        self
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it so many times, one after the other.
    pub fn repeat(self, times: usize) -> Repeat<'a> {
        Repeat { ask: self, times }
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse().unwrap_or_else(|e| panic!("'{}' is no target: {e}", self.path));
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Sends it.
    ///
    /// # Errors
    /// What went wrong, and how far it had come.
    pub async fn try_send(&self) -> Result<Response, Failure> {
        let sent = tokio::time::timeout(BOUND, self.client.send(self.request()));
        sent.await.unwrap_or(Err(Failure::TimedOut))
    }

    /// Sends it.
    ///
    /// # Panics
    /// When there is no whole answer.
    pub async fn send(&self) -> Response {
        match self.try_send().await {
            Ok(response) => response,
            Err(failure) => panic!("{} {}: {failure}", self.method, self.path),
        }
    }

    /// Sends it and gives the status only.
    ///
    /// # Panics
    /// When there is no whole answer.
    pub async fn status(&self) -> u16 {
        self.send().await.status
    }
}

/// The same request several times.
#[derive(Debug)]
#[must_use = "nothing is sent until it is asked for something"]
pub struct Repeat<'a> {
    ask: Ask<'a>,
    times: usize,
}

impl Repeat<'_> {
    /// Sends them one after the other.
    ///
    /// # Panics
    /// When one has no whole answer.
    pub async fn responses(self) -> Vec<Response> {
        let mut responses = Vec::with_capacity(self.times);
        for _ in 0..self.times {
            responses.push(self.ask.send().await);
        }
        responses
    }

    /// The statuses of the answers.
    ///
    /// # Panics
    /// When one has no whole answer.
    pub async fn statuses(self) -> Vec<u16> {
        self.responses().await.into_iter().map(|response| response.status).collect()
    }

    /// The names of the origins that answered, from `x-origin`; empty where the proxy answered itself.
    ///
    /// # Panics
    /// When one has no whole answer.
    pub async fn origins(self) -> Vec<String> {
        self.responses().await.into_iter().map(|response| response.origin().to_owned()).collect()
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Response {
    /// The first value of a field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The origin that answered; empty if the proxy did so itself.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.header("x-origin").unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.text()))
    }
}

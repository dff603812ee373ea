//! The connections of an origin: accept, read, count, answer.

use super::{
    answer::Body,
    server::{HEALTH, Seen, Shared},
};
use crate::place::{Door, Socket};
use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::task::{AbortHandle, JoinSet};

/// Accepts in a task of its own until aborted; the connections end with it.
pub(super) fn spawn(door: Door, shared: Arc<Shared>) -> AbortHandle {
    let accepting = async move {
        let mut connections = JoinSet::new();
        loop {
            let Ok(socket) = door.accept().await else { continue };
            shared.connections.fetch_add(1, Ordering::Relaxed);
            let open = Count::one_more(&shared, |shared| &shared.open);
            connections.spawn(connection(socket, open));
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::spawn(accepting).abort_handle()
}

/// One more of something, until dropped.
struct Count {
    shared: Arc<Shared>,
    of: fn(&Shared) -> &AtomicUsize,
}

impl Count {
    fn one_more(shared: &Arc<Shared>, of: fn(&Shared) -> &AtomicUsize) -> Self {
        of(shared).fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared), of }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        (self.of)(&self.shared).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request as cancelled unless it was answered.
struct Pending(Count, bool);

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.1 {
            self.0.shared.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn connection(socket: Socket, open: Count) {
    let shared = &open.shared;
    let socket = match &shared.tls {
        // Tests look at what was agreed and at the counters.
        Some(tls) => match tls.accept(socket).await {
            Ok(socket) => socket,
            Err(_) => return,
        },
        None => socket,
    };
    let written = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| answer(request, shared, &written));
    let connection = http1::Builder::new().half_close(false).serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    poll_fn(|cx| {
        let polled = connection.as_mut().poll(cx);
        if polled.is_pending() && shared.closes_after_each_response && written.load(Ordering::Relaxed) {
            // hyper has written and flushed the response within this poll: closing now comes after it, unannounced.
            connection.as_mut().graceful_shutdown();
            return connection.as_mut().poll(cx);
        }
        polled
    })
    .await
    // The peer may leave as it likes; tests look at the counters.
    .unwrap_or_default();
}

/// Says when the last of it was taken.
struct Watched {
    body: Full<Bytes>,
    written: Arc<AtomicBool>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.written.store(true, Ordering::Relaxed);
    }
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    written: &Arc<AtomicBool>,
) -> Result<Response<Watched>, hyper::Error> {
    let (head, body) = request.into_parts();
    let is_probe = head.uri.path() == HEALTH;
    if is_probe {
        shared.probes.fetch_add(1, Ordering::Relaxed);
    } else {
        shared.requests.fetch_add(1, Ordering::Relaxed);
    }
    let mut pending = Pending(Count::one_more(shared, |shared| &shared.in_flight), false);
    let body = body.collect().await?.to_bytes();
    let response = respond(&head, body, is_probe, shared).await;
    pending.1 = true;
    Ok(response.map(|body| Watched { body: body.into(), written: Arc::clone(written) }))
}

async fn respond(head: &Parts, body: Bytes, is_probe: bool, shared: &Shared) -> Response<Bytes> {
    let (answer, healthy) = {
        let state = shared.state();
        let special = state.answers.get(head.uri.path()).cloned();
        (special.or_else(|| (!is_probe).then(|| state.otherwise.clone())), state.healthy)
    };
    let Some(answer) = answer else {
        let (status, text) = if healthy { (200, "ok") } else { (500, "sick") };
        return build(status, &[], Bytes::from_static(text.as_bytes()), shared);
    };
    let content = match &answer.body {
        Body::Bytes(bytes) => bytes.clone(),
        Body::Echo => echo(head, &body, &shared.name),
    };
    if !is_probe {
        shared.state().remember(Seen {
            method: head.method.to_string(),
            target: head.uri.to_string(),
            headers: head.headers.clone(),
            body,
        });
    }
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    build(answer.status, &answer.headers, content, shared)
}

fn build(status: u16, headers: &[(String, String)], body: Bytes, shared: &Shared) -> Response<Bytes> {
    let status = StatusCode::from_u16(status).expect("an answer's status is 100 to 999");
    let mut response = Response::builder().status(status).header("x-origin", &shared.name);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).expect("an answer's fields are valid")
}

fn echo(head: &Parts, body: &Bytes, name: &str) -> Bytes {
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let echo = json!({
        "origin": name,
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "version": format!("{:?}", head.version),
        "headers": headers,
        "body": String::from_utf8_lossy(body),
    });
    echo.to_string().into()
}

//! A client of HTTP/2 on one connection.

use bytes::Bytes;
use evenkeel_testkit::{Builder, Place, Proxy, Socket, in_time};
use h2::{RecvStream, SendStream, client::SendRequest};
use http::{HeaderMap, Request, Response};
use std::fmt::Display;

/// A proxy whose listener speaks HTTP/2 without TLS.
pub(super) fn h2c(endpoint: impl Display) -> Builder {
    Proxy::with_upstream(endpoint).listener("protocol = \"h2c\"")
}

/// A client on one connection.
#[derive(Clone)]
pub(super) struct Talk {
    send: SendRequest<Bytes>,
}

/// An answer that came to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// A request for the path, of `a.test`.
pub(super) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://a.test{path}"))
}

impl Talk {
    pub(super) async fn to(place: &Place) -> Self {
        Self::over(place.connect().await.expect("somebody accepts")).await
    }

    /// With room on the connection for more than one stream's window.
    pub(super) async fn roomy(place: &Place) -> Self {
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(8 << 20);
        Self::begun(&builder, place.connect().await.expect("somebody accepts")).await
    }

    pub(super) async fn over(socket: Socket) -> Self {
        Self::begun(&h2::client::Builder::new(), socket).await
    }

    async fn begun(builder: &h2::client::Builder, socket: Socket) -> Self {
        let (send, connection) = builder.handshake(socket).await.expect("the preface can be sent");
        tokio::spawn(async move {
            // How it ends is seen by its streams.
            let _ = connection.await;
        });
        Self { send }
    }

    /// Begins a request; its answer is awaited apart.
    pub(super) async fn begin(
        &self,
        request: http::request::Builder,
        end: bool,
    ) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut send = in_time("a free stream", self.send.clone().ready()).await?;
        send.send_request(request.body(()).expect("a request"), end)
    }

    /// A request without a body.
    pub(super) async fn ask(&self, request: http::request::Builder) -> Result<Answer, h2::Error> {
        let (answer, _) = self.begin(request, true).await?;
        whole(in_time("an answer", answer).await?).await
    }

    /// A request with this body and these trailers.
    pub(super) async fn post(
        &self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
        trailers: Option<HeaderMap>,
    ) -> Result<Answer, h2::Error> {
        let (answer, mut upload) = self.begin(request, false).await?;
        upload.send_data(body.into(), trailers.is_none())?;
        if let Some(trailers) = trailers {
            upload.send_trailers(trailers)?;
        }
        whole(in_time("an answer", answer).await?).await
    }
}

/// Reads an answer to its end.
pub(super) async fn whole(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = in_time("more of the body", stream.data()).await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, trailers })
}

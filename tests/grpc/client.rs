//! A client of gRPC on one channel, which connects again by itself as channels do.

use super::server::{MESSAGE_MAX, Note};
use evenkeel_testkit::{Builder, Metrics, Place, Proxy, TlsClient, in_time};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use std::{fmt::Display, io};
use tokio::io::AsyncWriteExt;
use tokio_stream::Stream;
use tonic::{
    IntoRequest, IntoStreamingRequest, Response, Status, Streaming,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// A proxy for these servers of gRPC, on a listener without TLS.
pub(super) fn between(servers: impl IntoIterator<Item = impl Display>) -> Builder {
    Proxy::with_endpoints(servers).listener("protocol = \"h2c\"").upstream("protocol = \"h2c\"")
}

/// How many calls have ended in this class.
pub(super) fn calls(metrics: &Metrics, class: &str) -> f64 {
    metrics.sum("evenkeel_grpc_calls_total", &[("class", class)])
}

/// Waits until so many calls have ended in this class.
pub(super) async fn counts(proxy: &Proxy, class: &str, goal: u32) {
    let what = format!("{goal} calls of class {class}");
    proxy.metrics_show(&what, |metrics| (calls(metrics, class) - f64::from(goal)).abs() < 0.5).await;
}

/// A client.
#[derive(Clone)]
pub(super) struct Client {
    channel: Channel,
}

type Answer<T> = Result<Response<T>, Status>;

impl Client {
    pub(super) async fn to(place: &Place) -> Self {
        Self::with(Endpoint::from_shared(format!("http://{place}")).expect("a uri")).await
    }

    pub(super) async fn with(endpoint: Endpoint) -> Self {
        Self { channel: in_time("a connection", endpoint.connect()).await.expect("somebody accepts") }
    }

    /// Each connection begins with these bytes, and goes on within TLS if there is a client for it.
    pub(super) async fn beginning(place: &Place, begin: &'static str, tls: Option<TlsClient>) -> Self {
        // tonic's own TLS is not wanted here, and it knows `https` only with that.
        let scheme = if tls.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://a.test").parse().expect("a uri");
        let endpoint = Endpoint::from_static("http://a.test").origin(origin);
        let place = place.clone();
        let connector = service_fn(move |_| {
            let (place, tls) = (place.clone(), tls.clone());
            async move {
                let mut socket = place.connect().await?;
                socket.write_all(begin.as_bytes()).await?;
                let socket = match tls {
                    Some(tls) => tls.over(socket).await,
                    None => socket,
                };
                Ok::<_, io::Error>(TokioIo::new(socket))
            }
        });
        let connecting = endpoint.connect_with_connector(connector);
        Self { channel: in_time("a connection", connecting).await.expect("somebody accepts") }
    }

    /// Within TLS.
    pub(super) async fn within_tls(place: &Place, tls: TlsClient) -> Self {
        Self::beginning(place, "", Some(tls)).await
    }

    async fn grpc(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc = grpc.max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX);
        in_time("a channel", grpc.ready()).await.map_err(|error| Status::from_error(error.into()))?;
        Ok(grpc)
    }

    /// One message, one answer.
    pub(super) async fn unary(&self, method: &'static str, note: impl IntoRequest<Note>) -> Answer<Note> {
        let (mut grpc, path) = (self.grpc().await?, PathAndQuery::from_static(method));
        in_time("an answer", grpc.unary(note.into_request(), path, codec())).await
    }

    /// One message, many answers.
    pub(super) async fn down(&self, method: &'static str, note: impl IntoRequest<Note>) -> Answer<Streaming<Note>> {
        let (mut grpc, path) = (self.grpc().await?, PathAndQuery::from_static(method));
        in_time("a head", grpc.server_streaming(note.into_request(), path, codec())).await
    }

    /// Many messages, one answer.
    pub(super) async fn up(
        &self,
        method: &'static str,
        notes: impl Stream<Item = Note> + Send + 'static,
    ) -> Answer<Note> {
        let (mut grpc, path) = (self.grpc().await?, PathAndQuery::from_static(method));
        in_time("an answer", grpc.client_streaming(notes.into_streaming_request(), path, codec())).await
    }

    /// Many messages, many answers.
    pub(super) async fn both(
        &self,
        method: &'static str,
        notes: impl Stream<Item = Note> + Send + 'static,
    ) -> Answer<Streaming<Note>> {
        let (mut grpc, path) = (self.grpc().await?, PathAndQuery::from_static(method));
        in_time("a head", grpc.streaming(notes.into_streaming_request(), path, codec())).await
    }
}

fn codec() -> ProstCodec<Note, Note> {
    ProstCodec::default()
}

/// The next message.
pub(super) async fn next(notes: &mut Streaming<Note>) -> Result<Option<Note>, Status> {
    in_time("a message or the end", notes.message()).await
}

/// All of them, to the end or to what broke them off.
pub(super) async fn all(notes: &mut Streaming<Note>) -> (Vec<Note>, Option<Status>) {
    let mut seen = Vec::new();
    loop {
        match next(notes).await {
            Ok(Some(note)) => seen.push(note),
            Ok(None) => return (seen, None),
            Err(status) => return (seen, Some(status)),
        }
    }
}

//! Asks an HTTP/1.1 question over a connection of its own, and compares the answer with what is wanted.
//!
//! Never reuses a connection: the question is also whether a new one can be made and is served.

use super::Failure;
use evenkeel_model::{Address, HttpProbe};
use evenkeel_net::Stream;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::future::pending;

/// Bytes of an answer's body in which the wanted text is looked for. A health page is small; what is larger must not fill our
/// memory, once for each endpoint.
const BODY_MAX: usize = 64 * 1024;

/// Bytes of an answer's head that are held. hyper would take 400 KiB.
const HEAD_MAX: usize = 64 * 1024;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("evenkeel-probe/", env!("CARGO_PKG_VERSION")));

/// Asks and judges.
pub(super) async fn ask(stream: Stream, address: &Address, probe: &HttpProbe) -> Result<(), Failure> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake::<_, Empty<bytes::Bytes>>(TokioIo::new(stream))
        .await
        .map_err(Failure::Broken)?;
    let exchange = async {
        let response = sender.send_request(question(address, probe)).await.map_err(Failure::Broken)?;
        judge(response, probe).await
    };
    // Whatever ends the connection also reaches the exchange, after the bytes that came before it; so it never decides alone.
    let driver = async {
        let _ = connection.await;
        pending().await
    };
    tokio::select! {
        judged = exchange => judged,
        never = driver => never,
    }
}

fn question(address: &Address, probe: &HttpProbe) -> Request<Empty<bytes::Bytes>> {
    let authority = || HeaderValue::try_from(address.authority()).expect("an address is visible ASCII");
    let host = probe.host.clone().unwrap_or_else(authority);
    let mut request = Request::new(Empty::new());
    *request.method_mut() = probe.method.clone();
    *request.uri_mut() = probe.path.clone().into();
    request.headers_mut().insert(header::HOST, host);
    request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    request
}

async fn judge(response: Response<Incoming>, probe: &HttpProbe) -> Result<(), Failure> {
    let got = response.status().as_u16();
    if !probe.expect_status.iter().any(|range| range.contains(&got)) {
        return Err(Failure::Status { got, wanted: probe.expect_status.clone() });
    }
    match &probe.expect_body {
        Some(wanted) => find(wanted, response.into_body()).await,
        None => Ok(()),
    }
}

/// Reads until the text is found, or for [`BODY_MAX`] bytes.
async fn find(wanted: &str, mut body: Incoming) -> Result<(), Failure> {
    let missing = || Failure::Body { wanted: wanted.to_owned() };
    let wanted = wanted.as_bytes();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Failure::Broken)?.into_data() else { continue };
        let room = BODY_MAX - seen.len();
        // Only what is new can complete the text, so that an answer in single bytes is not searched through for each.
        let from = seen.len().saturating_sub(wanted.len() - 1);
        seen.extend_from_slice(&data[..data.len().min(room)]);
        if seen[from..].windows(wanted.len()).any(|part| part == wanted) {
            return Ok(());
        }
        if seen.len() == BODY_MAX {
            break;
        }
    }
    Err(missing())
}

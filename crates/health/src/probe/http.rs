//! Asks an HTTP question over a connection of its own, in the version that is spoken there, and compares the answer with what is wanted.
//!
//! Never reuses a connection: the question is also whether a new one can be made and is served.

use super::{Failure, over, scheme, tcp::Opened};
use evenkeel_model::{Address, HttpProbe, Protocol};
use http::{
    HeaderValue, Request, Response, Uri, header,
    uri::{Authority, Parts},
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};

/// Bytes of an answer's body in which the wanted text is looked for. A health page is small; what is larger must not fill our
/// memory, once for each endpoint.
const BODY_MAX: usize = 64 * 1024;

/// Bytes of an answer's head that are held. hyper would take 400 KiB.
const HEAD_MAX: u32 = 64 * 1024;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("evenkeel-probe/", env!("CARGO_PKG_VERSION")));

/// Asks and judges.
pub(super) async fn ask(opened: Opened, address: &Address, probe: &HttpProbe) -> Result<(), Failure> {
    let question = question(&opened, address, probe);
    let io = TokioIo::new(opened.stream);
    match opened.protocol {
        Protocol::Http11 => {
            let mut builder = http1::Builder::new();
            let (mut sender, connection) =
                builder.max_buf_size(HEAD_MAX as usize).handshake(io).await.map_err(Failure::Broken)?;
            let exchange = async { judge(sender.send_request(question).await.map_err(Failure::Broken)?, probe).await };
            over(connection, exchange).await
        }
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_header_list_size(HEAD_MAX);
            let (mut sender, connection) = builder.handshake(io).await.map_err(Failure::Broken)?;
            let exchange = async { judge(sender.send_request(question).await.map_err(Failure::Broken)?, probe).await };
            over(connection, exchange).await
        }
    }
}

fn question(opened: &Opened, address: &Address, probe: &HttpProbe) -> Request<Empty<bytes::Bytes>> {
    let authority = || HeaderValue::try_from(address.authority()).expect("an address is visible ASCII");
    let host = probe.host.clone().unwrap_or_else(authority);
    let mut request = Request::new(Empty::new());
    *request.method_mut() = probe.method.clone();
    *request.uri_mut() = probe.path.clone().into();
    match opened.protocol {
        Protocol::Http11 => {
            request.headers_mut().insert(header::HOST, host);
            request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Protocol::Http2 => {
            request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
            let mut parts = Parts::default();
            parts.scheme = Some(scheme(opened.secured));
            parts.authority = Authority::try_from(host.as_bytes()).ok();
            parts.path_and_query = Some(probe.path.clone());
            // Only an authority that cannot be one fails here; hyper then says so.
            *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        }
    }
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

//! Asks a server of gRPC whether it, or one service of it, serves: `grpc.health.v1.Health/Check` (gRPC's doc/health-checking.md), over
//! HTTP/2 and a connection of its own.
//!
//! The two messages are small enough to be written and read by hand; a library for them would be larger than all probes together.

use super::{Failure, over, scheme, tcp::Opened};
use bytes::Bytes;
use evenkeel_model::{Address, GrpcProbe};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

/// Bytes of an answer that are looked at; a right one has seven.
const ANSWER_MAX: usize = 1024;

static STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Asks and judges.
pub(super) async fn ask(opened: Opened, address: &Address, probe: &GrpcProbe) -> Result<(), Failure> {
    let question = question(opened.secured, address, probe);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.max_header_list_size(16 * 1024);
    let (mut sender, connection) = builder.handshake(TokioIo::new(opened.stream)).await.map_err(Failure::Broken)?;
    let exchange = async { judge(sender.send_request(question).await.map_err(Failure::Broken)?).await };
    over(connection, exchange).await
}

fn question(secured: bool, address: &Address, probe: &GrpcProbe) -> Request<Full<Bytes>> {
    let authority =
        probe.host.as_ref().and_then(|host| host.to_str().ok()).map_or_else(|| address.authority(), str::to_owned);
    let uri = Uri::builder().scheme(scheme(secured)).authority(authority);
    let uri = uri.path_and_query("/grpc.health.v1.Health/Check").build();
    let mut request = Request::new(Full::from(message(&probe.service)));
    *request.method_mut() = Method::POST;
    // Only an authority that cannot be one fails here; hyper then says so.
    *request.uri_mut() = uri.unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("evenkeel-probe/", env!("CARGO_PKG_VERSION"))));
    request
}

/// `HealthCheckRequest { string service = 1; }` behind the five bytes that stand before each message of gRPC.
fn message(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        varint(service.len(), &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], &message].concat()
}

/// Seven bits a byte, the lowest first.
fn varint(mut n: usize, message: &mut Vec<u8>) {
    while n >= 0x80 {
        message.push(u8::try_from(n & 0x7f).unwrap_or(0) | 0x80);
        n >>= 7;
    }
    message.push(u8::try_from(n).unwrap_or(0));
}

async fn judge(response: http::Response<Incoming>) -> Result<(), Failure> {
    if response.status() != StatusCode::OK {
        let got = response.status().as_u16();
        return Err(Failure::Status { got, wanted: vec![200..=200] });
    }
    // An answer without a message has its status in the head.
    let mut status = status(response.headers());
    let mut body = response.into_body();
    let mut answer = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map_err(Failure::Broken)?.into_data() {
            Ok(data) if answer.len() + data.len() <= ANSWER_MAX => answer.extend_from_slice(&data),
            Ok(_) => return Err(Failure::NotServing { answer: "an answer that is too long" }),
            Err(frame) => status = frame.trailers_ref().and_then(self::status).or(status),
        }
    }
    match status.as_deref() {
        Some("0") => serves(&answer),
        _ => Err(Failure::Call { status }),
    }
}

fn status(headers: &HeaderMap) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(&STATUS)?.as_bytes()).into_owned())
}

/// Reads `HealthCheckResponse { ServingStatus status = 1; }`: a field that has its default, UNKNOWN, is not written.
fn serves(answer: &[u8]) -> Result<(), Failure> {
    let status = match answer {
        [0, 0, 0, 0, 0] => Some(0),
        [0, 0, 0, 0, 2, 0x08, status] => Some(*status),
        _ => None,
    };
    let answer = match status {
        Some(1) => return Ok(()),
        Some(0) => "UNKNOWN",
        Some(2) => "NOT_SERVING",
        Some(3) => "SERVICE_UNKNOWN",
        _ => "an answer that is no HealthCheckResponse",
    };
    Err(Failure::NotServing { answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_the_service() {
        assert_eq!(message(""), [0, 0, 0, 0, 0]);
        assert_eq!(message("a.B"), *b"\0\0\0\0\x05\x0a\x03a.B");
        let long = "x".repeat(300);
        assert_eq!(message(&long)[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn only_serving_is_well() {
        let text = |answer: &[u8]| serves(answer).map_err(|failure| failure.to_string());
        assert_eq!(text(&[0, 0, 0, 0, 2, 8, 1]), Ok(()));
        for (answer, word) in [(&[0, 0, 0, 0, 0][..], "UNKNOWN"), (&[0, 0, 0, 0, 2, 8, 2], "NOT_SERVING")] {
            assert_eq!(text(answer), Err(format!("{word}, wanted SERVING")));
        }
        for answer in [&[][..], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 2, 8], &[0, 0, 0, 0, 2, 16, 1]] {
            assert!(text(answer).is_err(), "{answer:?}");
        }
    }
}

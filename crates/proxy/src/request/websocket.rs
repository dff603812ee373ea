//! WebSocket over HTTP/2 (RFC 8441): a client's extended CONNECT becomes the Upgrade that endpoints of HTTP/1.1 know, and their 101 a 200.
//!
//! Before and after everything that an upgrade of HTTP/1.1 goes through: `upgrade` allows it, `upstream` asks for it, and
//! `connection::stream_tunnel` carries the bytes. Never touches them: the frames of WebSocket are the same in both.

use super::Exchange;
use crate::{
    body::Body,
    error::{MalformedResponse, ProxyError},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use evenkeel_model::UpgradeToken;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::ext::Protocol;

static UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");

/// RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Makes an Upgrade of an extended CONNECT, and leaves all other requests as they are.
///
/// # Errors
/// The client wants another protocol. RFC 9220, section 3, has 501 for that; RFC 8441 says nothing.
pub(super) fn translate(request: &mut Request<Body>, exchange: &mut Exchange) -> Result<(), ProxyError> {
    if *request.method() != Method::CONNECT || request.version() != Version::HTTP_2 {
        return Ok(());
    }
    let Some(protocol) = request.extensions().get::<Protocol>() else { return Ok(()) };
    let websocket = UpgradeToken::websocket();
    if !websocket.is(protocol.as_str().as_bytes()) {
        return Err(ProxyError::UpgradeRefused);
    }
    // RFC 6455, section 4.1: 16 bytes by chance. They guard against servers that speak no WebSocket, not against anybody who listens.
    let mut random = exchange.worker().random();
    let nonce = [random.next_u64().to_ne_bytes(), random.next_u64().to_ne_bytes()].concat();
    drop(random);
    let key = BASE64_STANDARD.encode(nonce);
    exchange.extends(accept_of(&key));
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, UPGRADE.clone());
    headers.insert(header::UPGRADE, websocket.as_value().clone());
    headers.insert(header::SEC_WEBSOCKET_KEY, value(key));
    Ok(())
}

/// Makes a 200 of an endpoint's 101, if that agrees to what was asked. RFC 8441, section 5: whatever 2xx the client gets opens its WebSocket,
/// so no other one may reach it.
pub(crate) fn agree<B>(response: &mut Response<B>, exchange: &Exchange) -> Result<(), MalformedResponse> {
    let Some(accept) = exchange.extended() else { return Ok(()) };
    if response.status().is_success() {
        return Err(MalformedResponse::NotSwitched);
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let mut said = response.headers().get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
    if said.next() != Some(accept) || said.next().is_some() {
        return Err(MalformedResponse::WrongAccept);
    }
    *response.status_mut() = StatusCode::OK;
    for name in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT] {
        response.headers_mut().remove(name);
    }
    Ok(())
}

/// What an endpoint answers to this key (RFC 6455, section 4.2.2).
fn accept_of(key: &str) -> HeaderValue {
    let digest = sha1_smol::Sha1::from([key.as_bytes(), GUID].concat()).digest();
    value(BASE64_STANDARD.encode(digest.bytes()))
}

fn value(base64: String) -> HeaderValue {
    HeaderValue::try_from(base64).expect("letters, digits and +/=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6455_is_accepted() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

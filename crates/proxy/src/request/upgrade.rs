//! Whether a request may switch its connection to another protocol, and whether an endpoint's 101 is the answer to it.
//!
//! Looked at only when a head has an `Upgrade` field; behind the 101, `connection::tunnel` carries the bytes.

use super::{Exchange, forwarded::lists};
use crate::{
    body::Body,
    error::{MalformedResponse, ProxyError},
};
use evenkeel_model::UpgradeToken;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};

static UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");
static UPGRADE_TE: HeaderValue = HeaderValue::from_static("upgrade, te");
static TE: HeaderValue = HeaderValue::from_static("te");

/// The protocol that a client asks for, if it asks for exactly one that a route may allow. Everything else is an ordinary request:
/// a server may ignore `Upgrade` (RFC 9110, section 7.8), must ignore it in HTTP/1.0 and where `Connection` does not list it.
pub(super) fn asked(method: &Method, version: Version, headers: &HeaderMap) -> Option<UpgradeToken> {
    if version != Version::HTTP_11 || !is_listed(headers) {
        return None;
    }
    let token = the_one(headers)?;
    let websocket = UpgradeToken::websocket();
    if websocket.is(token) {
        // RFC 6455, section 4.1: the handshake is a GET.
        return (*method == Method::GET).then_some(websocket);
    }
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// Lets a request ask its endpoint for this upgrade, which its head announces, if the route allows it, and takes it off otherwise.
///
/// # Errors
/// It is not allowed, and without it the request would be none (an extended CONNECT).
pub(super) fn settle(
    request: &mut Request<Body>,
    asked: Option<UpgradeToken>,
    allowed: &[UpgradeToken],
    exchange: &mut Exchange,
) -> Result<(), ProxyError> {
    let fits = |asked: &UpgradeToken| allowed.iter().find(|allowed| allowed.is(asked.as_value().as_bytes()));
    let token = asked.as_ref().and_then(fits);
    if exchange.extended().is_some() && token.is_none() {
        return Err(ProxyError::UpgradeRefused);
    }
    if asked.is_none() {
        return Ok(());
    }
    let headers = request.headers_mut();
    if let Some(token) = token {
        headers.insert(header::UPGRADE, token.as_value().clone());
        exchange.asks_upgrade(token);
        return Ok(());
    }
    headers.remove(header::UPGRADE);
    if headers.contains_key(header::TE) {
        headers.insert(header::CONNECTION, TE.clone());
    } else {
        headers.remove(header::CONNECTION);
    }
    Ok(())
}

/// Whether a 101 switches to the protocol that was asked for. A 101 to anything else would have us carry bytes that one of the two
/// sides takes for HTTP.
pub(super) fn check<B>(
    response: &Response<B>,
    asked: Option<&UpgradeToken>,
) -> Result<UpgradeToken, MalformedResponse> {
    let asked = asked.ok_or(MalformedResponse::UnaskedUpgrade)?;
    let headers = response.headers();
    let agreed = response.version() == Version::HTTP_11
        && is_listed(headers)
        && the_one(headers).is_some_and(|token| asked.is(token));
    if agreed { Ok(asked.clone()) } else { Err(MalformedResponse::OtherUpgrade) }
}

/// Writes the fields that were taken off with all others that concern one connection. `te`: `Connection` also names TE.
pub(super) fn announce(headers: &mut HeaderMap, token: &UpgradeToken, te: bool) {
    headers.insert(header::CONNECTION, if te { UPGRADE_TE.clone() } else { UPGRADE.clone() });
    headers.insert(header::UPGRADE, token.as_value().clone());
}

/// What an endpoint wants to be asked for instead: a 426 must say so (RFC 9110, section 15.5.22), though `Upgrade` concerns one connection. Only
/// where a client can do so: not in HTTP/1.0, nor in HTTP/2 (RFC 9113, section 8.6).
pub(super) fn required<B>(response: &Response<B>, client: Version) -> Vec<HeaderValue> {
    if response.status() != StatusCode::UPGRADE_REQUIRED || client != Version::HTTP_11 {
        return Vec::new();
    }
    response.headers().get_all(header::UPGRADE).iter().cloned().collect()
}

/// Writes that back, once all that concerns the endpoint's connection is off.
pub(super) fn require(headers: &mut HeaderMap, wanted: Vec<HeaderValue>) {
    if !wanted.is_empty() {
        headers.insert(header::CONNECTION, UPGRADE.clone());
    }
    for value in wanted {
        headers.append(header::UPGRADE, value);
    }
}

fn is_listed(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|line| lists(line, "upgrade"))
}

/// The only token in `Upgrade`, over all its lines. Empty elements of a list do not count (RFC 9110, section 5.6.1).
fn the_one(headers: &HeaderMap) -> Option<&[u8]> {
    let lines = headers.get_all(header::UPGRADE).iter();
    let tokens = lines.flat_map(|line| line.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    let mut tokens = tokens.filter(|token| !token.is_empty());
    tokens.next().filter(|_| tokens.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(connection: &[&str], upgrade: &[&str]) -> HeaderMap {
        let lines = connection.iter().map(|v| (header::CONNECTION, v));
        let lines = lines.chain(upgrade.iter().map(|v| (header::UPGRADE, v)));
        lines.map(|(name, value)| (name, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_request_asks_for_an_upgrade_with_one_token_that_connection_announces() {
        let asks = |method, version, connection: &[&str], upgrade: &[&str]| {
            asked(&method, version, &headers(connection, upgrade)).is_some()
        };
        let (get, post, new, old) = (Method::GET, Method::POST, Version::HTTP_11, Version::HTTP_10);
        assert!(asks(get.clone(), new, &["keep-alive", "x, Upgrade"], &[", WebSocket ,"]));
        assert!(asks(post.clone(), new, &["upgrade"], &["FOO/1"]));
        assert!(!asks(post, new, &["upgrade"], &["websocket"]), "a WebSocket begins with GET");
        assert!(!asks(get.clone(), old, &["upgrade"], &["websocket"]), "HTTP/1.0 has no upgrade");
        assert!(!asks(get.clone(), new, &["keep-alive"], &["websocket"]), "not announced");
        for other in
            [&["h2c"][..], &["H2C"], &["websocket, foo/1"], &["websocket", "websocket"], &["a/b/c"], &[""], &[]]
        {
            assert!(!asks(get.clone(), new, &["upgrade"], other), "{other:?}");
        }
    }

    #[test]
    fn a_101_is_believed_only_for_what_was_asked() {
        let asked = UpgradeToken::websocket();
        let answer = |version, connection: &[&str], upgrade: &[&str]| {
            let mut response = Response::new(());
            *response.version_mut() = version;
            *response.headers_mut() = headers(connection, upgrade);
            response
        };
        let good = answer(Version::HTTP_11, &["Upgrade"], &["WebSocket"]);
        assert!(check(&good, Some(&asked)).is_ok());
        assert_eq!(check(&good, None).unwrap_err(), MalformedResponse::UnaskedUpgrade);
        for bad in [
            answer(Version::HTTP_11, &["upgrade"], &["foo"]),
            answer(Version::HTTP_11, &["upgrade"], &[]),
            answer(Version::HTTP_11, &["upgrade"], &["foo, websocket"]),
            answer(Version::HTTP_11, &["keep-alive"], &["websocket"]),
            answer(Version::HTTP_10, &["upgrade"], &["websocket"]),
        ] {
            assert_eq!(check(&bad, Some(&asked)).unwrap_err(), MalformedResponse::OtherUpgrade, "{bad:?}");
        }
    }
}

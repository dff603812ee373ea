//! What an intermediary owes to both sides: fields that concern one connection go no further, framing is made anew, and the
//! endpoint learns who asked.
//!
//! Before the filters, so that they see and can change what leaves; the framing itself is fixed by `upstream::attempt`.

use super::Exchange;
use crate::{
    body::Body,
    error::{MalformedRequest, MalformedResponse, ProxyError},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
static PROXY: HeaderName = HeaderName::from_static("proxy");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The only transfer coding that we read and write.
pub(crate) static CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
static TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
static TE: HeaderValue = HeaderValue::from_static("te");
static HTTP: HeaderValue = HeaderValue::from_static("http");

/// Fields that a `Connection` field cannot take away: without them the message would mean something else, or lie about its
/// sender (RFC 9110, section 7.6.1, lets a recipient ignore such options).
const CANNOT_BE_NOMINATED: [HeaderName; 3] = [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// Makes a client's fields ours. `TE: trailers` and `Trailer` survive: trailers are passed on.
pub(crate) fn prepare_request(request: &mut Request<Body>, exchange: &Exchange) -> Result<(), ProxyError> {
    let version = request.version();
    let headers = request.headers_mut();
    let malformed = |fault| Err(ProxyError::MalformedRequest(fault));
    if !only_chunked(headers) {
        return malformed(MalformedRequest::TransferEncoding);
    }
    let trailers = headers.get(header::TE).is_some_and(|te| lists(te, "trailers"));
    remove_hop_by_hop(headers);
    if trailers {
        headers.insert(header::TE, TRAILERS.clone());
        headers.insert(header::CONNECTION, TE.clone());
    }
    // "httpoxy": CGI hands it to programs as HTTP_PROXY (CVE-2016-5385). No standard defines it.
    headers.remove(&PROXY);
    tell_who_asked(headers, exchange);
    let via = if version == Version::HTTP_10 { "1.0 evenkeel" } else { "1.1 evenkeel" };
    // RFC 9110, section 7.6.3: a gateway must add itself to each request.
    headers.append(header::VIA, HeaderValue::from_static(via));
    Ok(())
}

/// What a client says of those before it is believed only if it is itself a trusted proxy.
fn tell_who_asked(headers: &mut HeaderMap, exchange: &Exchange) {
    let Some(connection) = exchange.connection() else { return };
    let trusted = exchange.trusts_peer();
    let peer = connection.forwarded_for();
    match headers.get(&X_FORWARDED_FOR).filter(|_| trusted) {
        Some(_) => {
            let lines = headers.get_all(&X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
            let all = lines.chain([peer.as_bytes()]).collect::<Vec<_>>().join(&b", "[..]);
            // Made of valid values, so it is one.
            let all = HeaderValue::from_bytes(&all).unwrap_or_else(|_| peer.clone());
            headers.insert(&X_FORWARDED_FOR, all);
        }
        None => {
            headers.insert(&X_FORWARDED_FOR, peer.clone());
        }
    }
    if !trusted || !headers.contains_key(&X_FORWARDED_PROTO) {
        headers.insert(&X_FORWARDED_PROTO, HTTP.clone());
    }
    if !trusted || !headers.contains_key(&X_FORWARDED_HOST) {
        match headers.get(header::HOST).cloned() {
            Some(host) => headers.insert(&X_FORWARDED_HOST, host),
            None => headers.remove(&X_FORWARDED_HOST),
        };
    }
}

/// Makes an endpoint's fields ours, and refuses an answer that two parsers could read differently.
pub(crate) fn prepare_response(response: &mut Response<Body>, exchange: &mut Exchange) -> Result<(), ProxyError> {
    // hyper takes any 101 as an upgrade; we never asked for one.
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(exchange.malformed_response(MalformedResponse::UnaskedUpgrade));
    }
    let length = http_body::Body::size_hint(response.body()).exact();
    let chunked = response.headers().contains_key(header::TRANSFER_ENCODING);
    if !only_chunked(response.headers()) {
        return Err(exchange.malformed_response(MalformedResponse::TransferEncoding));
    }
    let headers = response.headers_mut();
    remove_hop_by_hop(headers);
    if chunked {
        // RFC 9112, section 6.3, rule 3: Transfer-Encoding overrides Content-Length. hyper leaves it in the map.
        headers.remove(header::CONTENT_LENGTH);
    } else if let Some(length) = length.filter(|_| !one_length(headers)) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    // What we write ourselves is HTTP/1.1, whatever the endpoint spoke; hyper speaks to a 1.0 client in its own version.
    *response.version_mut() = Version::HTTP_11;
    Ok(())
}

/// No Content-Length, or exactly one in its plainest form. hyper accepts equal copies (`5, 5`) and would pass them on.
pub(crate) fn one_length(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let first = lines.next().is_none_or(|length| length.as_bytes().iter().all(u8::is_ascii_digit));
    first && lines.next().is_none()
}

/// No Transfer-Encoding, or `chunked` alone on one line: all other lists are read differently by different servers.
fn only_chunked(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = lines.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    first && lines.next().is_none()
}

/// RFC 9110, section 7.6.1: the fields that `Connection` names, then the ones that always concern one connection.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let options: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
        for option in options.iter().flat_map(|line| line.as_bytes().split(|b| *b == b',')) {
            let Ok(name) = HeaderName::from_bytes(option.trim_ascii()) else { continue };
            if !CANNOT_BE_NOMINATED.contains(&name) {
                headers.remove(name);
            }
        }
        headers.remove(header::CONNECTION);
    }
    for name in
        [&KEEP_ALIVE, &PROXY_CONNECTION, &header::TE, &header::TRANSFER_ENCODING, &header::UPGRADE, &HTTP2_SETTINGS]
    {
        headers.remove(name);
    }
}

fn lists(value: &HeaderValue, wanted: &str) -> bool {
    let item = |item: &[u8]| {
        item.split(|b| *b == b';').next().is_some_and(|t| t.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    value.as_bytes().split(|b| *b == b',').any(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn nominated_fields_go_and_those_that_cannot_be_nominated_stay() {
        let mut map = headers(&[
            ("connection", "close, X-A ,host"),
            ("connection", "content-length,, x-b;"),
            ("x-a", "1"),
            ("x-b", "1"),
            ("host", "h"),
            ("content-length", "5"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("te", "gzip"),
            ("x-c", "1"),
        ]);
        remove_hop_by_hop(&mut map);
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "x-b", "x-c"], "'x-b;' is no name and nominates nothing");
    }

    #[test]
    fn one_plain_length_and_one_plain_coding_pass() {
        assert!(one_length(&headers(&[])));
        assert!(one_length(&headers(&[("content-length", "5")])));
        assert!(!one_length(&headers(&[("content-length", "5, 5")])));
        assert!(!one_length(&headers(&[("content-length", "5"), ("content-length", "5")])));
        assert!(only_chunked(&headers(&[("transfer-encoding", "Chunked")])));
        assert!(!only_chunked(&headers(&[("transfer-encoding", "gzip, chunked")])));
        assert!(!only_chunked(&headers(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")])));
    }
}

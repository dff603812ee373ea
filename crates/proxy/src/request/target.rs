//! Who and what is asked for: method, Host and path are checked and brought into one form, so that we route by the same bytes
//! that the endpoint will read.

use super::Exchange;
use crate::{
    body::Body,
    error::{MalformedRequest, ProxyError},
    route::Question,
};
use evenkeel_model::{Limits, normalise_path};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header, uri::PathAndQuery};
use std::borrow::Cow;

/// Refuses what RFC 9110 and 9112 let a proxy refuse before anything else is looked at, and leaves the target in origin-form
/// (or `*`) with one valid Host field.
pub(crate) fn check(request: &mut Request<Body>, limits: &Limits) -> Result<(), ProxyError> {
    // First: what must not be misread is not answered as if it were read.
    one_host(request).map_err(ProxyError::MalformedRequest)?;
    // Not served: CONNECT would make us an open relay, TRACE would show the fields that we add (RFC 9110, sections 9.3.6, 9.3.8).
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(ProxyError::MethodRefused);
    }
    if request.version() == Version::HTTP_2 {
        join_cookies(request.headers_mut());
    }
    check_host(request).map_err(ProxyError::MalformedRequest)?;
    check_path(request).map_err(ProxyError::MalformedRequest)?;
    measure(request, limits)?;
    count_down(request)
}

/// Judges by its form of HTTP/1.1, the same for both versions and for every spelling.
fn measure(request: &Request<Body>, limits: &Limits) -> Result<(), ProxyError> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target as u64 > limits.uri_max.0 {
        return Err(ProxyError::UriTooLong);
    }
    // What came as HTTP/1.1 has been measured while it was read.
    let packed = request.body().connection().is_some_and(|connection| connection.is_http2());
    if packed && head_size(request) > limits.request_head_max.0 {
        return Err(ProxyError::HeadTooLarge);
    }
    if request.headers().len() > limits.headers_max {
        return Err(ProxyError::HeadTooLarge);
    }
    Ok(())
}

/// HTTP/2 may send one Cookie in crumbs; everywhere else it is one line (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    if crumbs.by_ref().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&HeaderValue> = headers.get_all(header::COOKIE).iter().collect();
    // RFC 7541, section 7.1.3: what must not be indexed on the way here must not be on the way on.
    let sensitive = crumbs.iter().any(|crumb| crumb.is_sensitive());
    let bytes: Vec<&[u8]> = crumbs.into_iter().map(HeaderValue::as_bytes).collect();
    // Made of valid values, so it is one.
    if let Ok(mut cookie) = HeaderValue::from_bytes(&bytes.join(&b"; "[..])) {
        cookie.set_sensitive(sensitive);
        headers.insert(header::COOKIE, cookie);
    }
}

/// RFC 9110, section 7.6.2: `Max-Forwards` of OPTIONS is counted down, and who finds it at 0 answers. With other methods but TRACE it
/// means nothing.
fn count_down(request: &mut Request<Body>) -> Result<(), ProxyError> {
    if *request.method() != Method::OPTIONS {
        return Ok(());
    }
    let digits = |text: &&str| text.bytes().all(|b| b.is_ascii_digit());
    let value = request.headers().get(header::MAX_FORWARDS).and_then(|value| value.to_str().ok());
    if let Some(hops) = value.filter(digits).and_then(|text| text.parse::<u64>().ok()) {
        let left = hops.checked_sub(1).ok_or(ProxyError::LastHop)?;
        request.headers_mut().insert(header::MAX_FORWARDS, HeaderValue::from(left));
    }
    Ok(())
}

/// Bytes of a head as HTTP/1.1 would write it.
fn head_size(request: &Request<Body>) -> u64 {
    let fields: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let target = request.uri().path_and_query().map_or(1, |target| target.as_str().len());
    (request.method().as_str().len() + target + " HTTP/1.1\r\n\r\n".len() + 1 + fields) as u64
}

/// RFC 9112, section 3.2: one `Host` in HTTP/1.1, never two.
fn one_host(request: &Request<Body>) -> Result<(), MalformedRequest> {
    let mut lines = request.headers().get_all(header::HOST).iter();
    match (lines.next(), lines.next()) {
        (_, Some(_)) => Err(MalformedRequest::HostTwice),
        (None, None) if request.version() == Version::HTTP_11 => Err(MalformedRequest::HostMissing),
        _ => Ok(()),
    }
}

fn check_host(request: &mut Request<Body>) -> Result<(), MalformedRequest> {
    // RFC 9112, section 3.2.2: the authority of an absolute-form target replaces Host.
    if let Some(authority) = request.uri().authority() {
        if !matches!(request.uri().scheme_str(), Some("http" | "https")) {
            return Err(MalformedRequest::Target);
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| MalformedRequest::HostMalformed)?;
        let http2 = request.version() == Version::HTTP_2;
        match request.headers().get(header::HOST) {
            // RFC 9113, section 8.3.1: they must be the same. A server that believes the other one would serve somebody else.
            Some(said) if http2 && !said.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
                return Err(MalformedRequest::AuthorityMismatch);
            }
            _ => {}
        }
        request.headers_mut().insert(header::HOST, host);
    }
    match request.headers().get(header::HOST) {
        Some(host) if is_authority(host.as_bytes()) => Ok(()),
        Some(_) => Err(MalformedRequest::HostMalformed),
        None if request.version() < Version::HTTP_11 => Ok(()),
        None => Err(MalformedRequest::HostMissing),
    }
}

/// `host[:port]` in the strict sense: a name of letters, digits and `-._~`, or a v6 address in brackets. Userinfo, commas,
/// slashes and controls are what makes two parsers disagree.
pub(super) fn is_authority(text: &[u8]) -> bool {
    let (host, port) = if text.first() == Some(&b'[') {
        let Some(end) = text.iter().position(|b| *b == b']') else { return false };
        let inside = std::str::from_utf8(&text[1..end]).unwrap_or("");
        if inside.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        (&text[..=end], &text[end + 1..])
    } else {
        let end = text.iter().position(|b| *b == b':').unwrap_or(text.len());
        let name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        if !text[..end].iter().all(name) {
            return false;
        }
        text.split_at(end)
    };
    let port_fits = match port {
        [] => true,
        // RFC 3986, section 3.2.3: `port = *DIGIT`, so `host:` is valid.
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && (digits.is_empty() || std::str::from_utf8(digits).is_ok_and(|d| d.parse::<u16>().is_ok()))
        }
        _ => false,
    };
    !host.is_empty() && host.len() <= 255 && port_fits
}

/// Whether the connection may carry requests for this host: see `connection::tls`.
pub(crate) fn check_connection(request: &Request<Body>, exchange: &Exchange) -> Result<(), ProxyError> {
    let Some(secured) = exchange.connection().and_then(|connection| connection.tls()) else { return Ok(()) };
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    // RFC 6066, section 3: a name in SNI has no trailing dot; addresses stand in no brackets in a certificate.
    let name = without_port(host).trim_end_matches('.').trim_matches(['[', ']']);
    if name.is_empty() || secured.serves(name) { Ok(()) } else { Err(ProxyError::Misdirected) }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

fn check_path(request: &mut Request<Body>) -> Result<(), MalformedRequest> {
    let uri = request.uri();
    if uri.path() == "*" {
        // RFC 9112, section 3.2.4: asterisk-form is for OPTIONS alone.
        return if request.method() == Method::OPTIONS { Ok(()) } else { Err(MalformedRequest::Target) };
    }
    if !uri.path().starts_with('/') {
        return Err(MalformedRequest::Target);
    }
    let normal = normalise_path(uri.path())?;
    if matches!(normal, Cow::Borrowed(_)) && uri.authority().is_none() {
        return Ok(());
    }
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let target = PathAndQuery::try_from(format!("{normal}{query}")).map_err(|_| MalformedRequest::Target)?;
    *request.uri_mut() = Uri::from(target);
    Ok(())
}

/// The route of a checked request.
pub(crate) fn find_route(request: &Request<Body>, exchange: &Exchange) -> Option<u32> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let snapshot = exchange.snapshot();
    // `OPTIONS *` asks about the server as a whole: a route for all paths answers.
    let path = Some(request.uri().path()).filter(|path| *path != "*").unwrap_or("/");
    snapshot.shared().table.find(Question {
        host: &plain_host(host),
        path,
        method: request.method(),
        headers: request.headers(),
        listener: exchange.listener(),
    })
}

/// Without port and trailing dot, in lower case; copied only if that changes a letter.
fn plain_host(host: &str) -> Cow<'_, str> {
    // A colon is one byte wherever it stands, and a search for a byte costs less than one for a character.
    let end = match host.bytes().rposition(|byte| byte == b':') {
        Some(colon) if !host.ends_with(']') => colon,
        _ => host.len(),
    };
    let host = &host[..end];
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_address_with_at_most_a_port() {
        for good in ["a", "a.b", "A-b_c~.d.", "a:80", "a:", "10.0.0.1:8080", "[::1]", "[::1]:80", "a:65535"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a b", "u@a", "a/b", "a#b", "a,b", "a:80:80", "a:x", "a:65536", "[::1", "[x]", "[::1]x", "é",
            "a\\b", "a?b", "a%20",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn port_case_and_trailing_dot_do_not_choose_the_route() {
        for (host, plain) in [
            ("A.b:80", "a.b"),
            ("a.b.", "a.b"),
            ("a.b.:80", "a.b"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(plain_host(host), plain);
        }
    }

    fn checked(target: &str, host: &str) -> Result<(String, String), ProxyError> {
        let mut request = Request::get(target).header("host", host).body(Body::empty()).unwrap();
        check(&mut request, &Limits::default())?;
        Ok((request.uri().to_string(), request.headers()["host"].to_str().unwrap().to_owned()))
    }

    #[test]
    fn an_absolute_target_becomes_a_path_and_its_authority_the_host() {
        assert_eq!(checked("http://a.b:8/x?y", "c.d").unwrap(), ("/x?y".into(), "a.b:8".into()));
        assert_eq!(checked("http://a.b", "c.d").unwrap(), ("/".into(), "a.b".into()));
        assert!(checked("http://u@a.b/", "c.d").is_err());
        assert!(checked("ftp://a.b/", "a.b").is_err());
    }
}

//! Answers with a redirect to where the client should ask instead.

use crate::{
    body::Body,
    error::{MalformedRequest, ProxyError},
    request::Asked,
};
use evenkeel_model::{Redirect, RedirectScheme};
use http::{HeaderValue, Request, Response, header};

/// The redirect; what it does not name stays as it was asked for (Gateway API, `HTTPRequestRedirectFilter`).
pub(super) fn answer(to: &Redirect, request: &Request<Body>, asked: &Asked<'_>) -> Result<Response<Body>, ProxyError> {
    let location = location(to, request, asked).ok_or(ProxyError::MalformedRequest(MalformedRequest::HostMissing))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = to.status;
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    Ok(response)
}

/// `None` without a host: HTTP/1.0 without a Host field cannot be redirected to an absolute place.
fn location(to: &Redirect, request: &Request<Body>, asked: &Asked<'_>) -> Option<HeaderValue> {
    let (asked_host, asked_port) = split_port(&asked.host);
    let host = to.host.as_deref().unwrap_or(asked_host);
    if host.is_empty() {
        return None;
    }
    let scheme = to.scheme.unwrap_or(asked.scheme);
    // A port that was asked for belongs to the scheme that was asked for.
    let kept = if to.scheme.is_some() { None } else { asked_port };
    let port = to.port.map(|p| p.to_string()).or_else(|| kept.map(str::to_owned));
    let (scheme, default) = match scheme {
        RedirectScheme::Http => ("http", "80"),
        RedirectScheme::Https => ("https", "443"),
    };
    let port = port.filter(|p| p != default).map_or_else(String::new, |p| format!(":{p}"));
    let path = to.path.as_deref().or_else(|| request.uri().path_and_query().map(|p| p.as_str())).unwrap_or("/");
    let path = if path.starts_with('/') { path } else { "/" };
    HeaderValue::try_from(format!("{scheme}://{host}{port}{path}")).ok()
}

/// `host[:port]`; a v6 address keeps its brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn go(to: &Redirect, host: &str, target: &str) -> String {
        let request = Request::get(target).body(Body::empty()).unwrap();
        let asked = Asked { scheme: RedirectScheme::Http, host: host.into() };
        answer(to, &request, &asked).unwrap().headers()["location"].to_str().unwrap().to_owned()
    }

    fn to() -> Redirect {
        Redirect { status: StatusCode::MOVED_PERMANENTLY, scheme: None, host: None, port: None, path: None }
    }

    #[test]
    fn http_to_https_keeps_host_path_and_query_and_drops_the_port() {
        let https = Redirect { scheme: Some(RedirectScheme::Https), ..to() };
        assert_eq!(go(&https, "a.b:8080", "/x?y=1"), "https://a.b/x?y=1");
        assert_eq!(go(&https, "[::1]:80", "/"), "https://[::1]/");
        assert_eq!(go(&https, "[::1]", "*"), "https://[::1]/");
        assert_eq!(go(&Redirect { port: Some(8443), ..https }, "a.b", "/x"), "https://a.b:8443/x");
    }

    #[test]
    fn another_host_or_path_replaces_only_that() {
        assert_eq!(go(&Redirect { host: Some("c.d".into()), ..to() }, "a.b:8080", "/x"), "http://c.d:8080/x");
        assert_eq!(go(&Redirect { path: Some("/new".into()), ..to() }, "a.b", "/x?y"), "http://a.b/new");
    }
}

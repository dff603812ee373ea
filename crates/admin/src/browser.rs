//! Keeps web pages away from the API.
//!
//! The API trusts whoever reaches it over loopback. A browser on the same machine reaches it too, on behalf of any page that is
//! open in it, in two ways, and each is closed here:
//! - DNS rebinding: a page's own host name is made to resolve to 127.0.0.1, and the browser takes the API for the page's own
//!   server. But it still sends that name as `Host`. So `Host` must be an IP literal or `localhost`, which nobody can rebind.
//! - Forged requests: a page posts to `http://127.0.0.1:9901`. The browser then sends the page's `Origin` (Fetch Standard,
//!   section 3.2: with every method but GET and HEAD). So an `Origin` must be our own.

use http::{HeaderMap, Method, Request, header, uri::Authority};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether a program, or a page of our own, sent this request.
///
/// # Errors
/// Why it is refused, in one line.
pub(crate) fn allows<B>(request: &Request<B>) -> Result<(), &'static str> {
    let host = host(request).ok_or("the API needs one Host field")?;
    if !is_ours(&host) {
        return Err("the API answers only to an IP address or localhost as Host (protection against DNS rebinding)");
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && !origin_is(&host, request.headers()) {
        return Err("the API takes no orders from web pages of other origins");
    }
    Ok(())
}

/// Whom the request is for: the authority of an absolute target replaces `Host` (RFC 9112, section 3.2.2).
fn host<B>(request: &Request<B>) -> Option<Authority> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.clone());
    }
    let mut fields = request.headers().get_all(header::HOST).iter();
    let host = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    Authority::try_from(host.as_bytes()).ok()
}

fn is_ours(authority: &Authority) -> bool {
    let host = authority.host();
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let literal = v6.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()) || host.parse::<Ipv4Addr>().is_ok();
    !authority.as_str().contains('@') && (literal || host.eq_ignore_ascii_case("localhost"))
}

/// No `Origin`: not a browser. Otherwise each must be ours; `null` is nobody's.
fn origin_is(host: &Authority, headers: &HeaderMap) -> bool {
    let ours = format!("http://{host}");
    headers.get_all(header::ORIGIN).iter().all(|origin| origin.as_bytes().eq_ignore_ascii_case(ours.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Request<()> {
        let builder = Request::builder().method(method).uri(target);
        fields.iter().fold(builder, |b, (name, value)| b.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn only_names_that_nobody_can_rebind_reach_the_api() {
        for host in ["127.0.0.1:9901", "localhost:9901", "LOCALHOST", "[::1]:9901", "10.0.0.1"] {
            assert_eq!(allows(&request("GET", "/api/config", &[("host", host)])), Ok(()), "{host}");
        }
        for host in
            ["evil.example:9901", "localhost.evil.example", "a@127.0.0.1", "127.0.0.1.nip.io", "[evil]", "", "a b"]
        {
            assert!(allows(&request("GET", "/api/config", &[("host", host)])).is_err(), "{host}");
        }
        assert!(allows(&request("GET", "/api/config", &[])).is_err());
        assert!(allows(&request("GET", "/api/config", &[("host", "localhost"), ("host", "localhost")])).is_err());
    }

    #[test]
    fn an_absolute_target_replaces_the_host_field() {
        let forged = request("GET", "http://evil.example/api/config", &[("host", "localhost")]);
        assert!(allows(&forged).is_err());
    }

    #[test]
    fn a_page_of_another_origin_gives_no_orders() {
        let post = |origin| allows(&request("POST", "/api/reload", &[("host", "127.0.0.1:9901"), ("origin", origin)]));
        assert_eq!(post("http://127.0.0.1:9901"), Ok(()));
        for foreign in ["http://evil.example", "http://127.0.0.1:8080", "https://127.0.0.1:9901", "null", ""] {
            assert!(post(foreign).is_err(), "{foreign}");
        }
        assert_eq!(allows(&request("POST", "/api/reload", &[("host", "127.0.0.1:9901")])), Ok(()));
    }
}

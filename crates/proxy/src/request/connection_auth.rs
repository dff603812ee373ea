//! Authentication that holds for a connection and not for a request: NTLM, and Negotiate (RFC 4559), which uses NTLM or Kerberos.
//!
//! HTTP knows no such thing (RFC 9110, section 3.3, names RFC 4559 as a violation); but servers have it, and take every later request on that
//! connection for one of the same client. So a connection that carries it must serve that client alone (RFC 4559, section 6). Pure; what is
//! done about it is the business of `upstream::pool`.

use http::HeaderValue;

/// Squid treats the same three so (`http.cc`), HAProxy and the `ntlm` of nginx the first two.
const SCHEMES: [&[u8]; 3] = [b"ntlm", b"negotiate", b"kerberos"];

/// Whether a field with credentials or with challenges names such a scheme. Challenges come in a list, in whose quoted strings there may be
/// commas: what looks like a scheme there costs a connection that could have been shared, and nothing else.
pub(super) fn is_named(value: &HeaderValue) -> bool {
    let scheme = |part: &[u8]| {
        let part = part.trim_ascii();
        let end = part.iter().position(u8::is_ascii_whitespace).unwrap_or(part.len());
        SCHEMES.iter().any(|scheme| part[..end].eq_ignore_ascii_case(scheme))
    };
    value.as_bytes().split(|b| *b == b',').any(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_found_wherever_it_stands_in_a_list() {
        for (value, named) in [
            ("NTLM", true),
            ("negotiate YIIJ/w==", true),
            ("Basic realm=\"a, b\",\tNegotiate , Digest realm=\"x\"", true),
            ("Kerberos", true),
            ("Bearer ntlm", false),
            ("NTLMv3 x", false),
            ("Basic realm=\"NTLM\"", false),
            ("", false),
        ] {
            assert_eq!(is_named(&HeaderValue::from_static(value)), named, "{value}");
        }
    }
}

//! Replaces the part of the path that the route matched.

use crate::{
    body::Body,
    error::{MalformedRequest, ProxyError},
};
use evenkeel_model::PathMatch;
use http::{Request, Uri, uri::PathAndQuery};

/// `replacement` has no trailing slash. `/v1` -> `/v2` turns `/v1/x?y` into `/v2/x?y`; an exact path is replaced whole
/// (Gateway API, `ReplacePrefixMatch`).
pub(super) fn apply(replacement: &str, matched: &PathMatch, request: &mut Request<Body>) -> Result<(), ProxyError> {
    let path = request.uri().path();
    if path == "*" {
        return Ok(());
    }
    let rest = match matched {
        PathMatch::Exact(_) => "",
        PathMatch::Prefix(prefix) => path.get(prefix.len()..).unwrap_or(""),
    };
    let query = request.uri().query().map_or_else(String::new, |q| format!("?{q}"));
    let slash = if replacement.is_empty() && !rest.starts_with('/') { "/" } else { "" };
    let path = format!("{replacement}{slash}{rest}{query}");
    let bad = |_| ProxyError::MalformedRequest(MalformedRequest::Target);
    let path = PathAndQuery::try_from(path).map_err(bad)?;
    *request.uri_mut() = Uri::from(path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(replacement: &str, matched: &PathMatch, target: &str) -> String {
        let mut request = Request::get(target).body(Body::empty()).unwrap();
        apply(replacement, matched, &mut request).unwrap();
        request.uri().to_string()
    }

    #[test]
    fn the_matched_prefix_is_replaced_and_the_rest_stays() {
        let v1 = PathMatch::prefix("/v1/");
        assert_eq!(rewritten("/v2", &v1, "/v1/x?y=1"), "/v2/x?y=1");
        assert_eq!(rewritten("/v2", &v1, "/v1"), "/v2");
        assert_eq!(rewritten("", &v1, "/v1/x"), "/x");
        assert_eq!(rewritten("", &v1, "/v1"), "/");
        assert_eq!(rewritten("", &v1, "/v1?a"), "/?a");
        assert_eq!(rewritten("/api", &PathMatch::any(), "/x"), "/api/x");
        assert_eq!(rewritten("/b", &PathMatch::Exact("/a".into()), "/a?q"), "/b?q");
    }
}

//! Replaces the part of the path that the route matched.

use crate::{
    body::Body,
    error::{MalformedRequest, ProxyError},
};
use evenkeel_model::{PathMatch, Route};
use http::{Request, Uri, uri::PathAndQuery};

/// `replacement` has no trailing slash. `/v1` -> `/v2` turns `/v1/x?y` into `/v2/x?y`; an exact path is replaced whole
/// (Gateway API, `ReplacePrefixMatch`). Where the route takes several paths for the same, the rest is that of the path as it reads it, in its
/// own case: only there the prefix can be found, and what was judged is what leaves.
pub(super) fn apply(replacement: &str, route: &Route, request: &mut Request<Body>) -> Result<(), ProxyError> {
    if request.uri().path() == "*" {
        return Ok(());
    }
    let path = route.folding.with_case().fold(request.uri().path());
    let rest = match &route.path {
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
    use evenkeel_model::{PathFolding, RouteName};

    fn rewritten(replacement: &str, matched: &PathMatch, target: &str) -> String {
        loosely(replacement, matched, PathFolding::default(), target)
    }

    fn loosely(replacement: &str, matched: &PathMatch, folding: PathFolding, target: &str) -> String {
        let route = Route { path: matched.folded(folding), folding, ..route() };
        let mut request = Request::get(target).body(Body::empty()).unwrap();
        apply(replacement, &route, &mut request).unwrap();
        request.uri().to_string()
    }

    fn route() -> Route {
        Route {
            name: RouteName::derived("a"),
            listeners: vec![],
            hosts: vec![],
            path: PathMatch::any(),
            folding: PathFolding::default(),
            methods: vec![],
            headers: vec![],
            filters: vec![],
            upgrades: vec![],
            body_max: None,
            retry_idempotency_key: false,
            upstream: None,
        }
    }

    #[test]
    fn a_prefix_is_found_in_every_spelling_that_the_route_takes_for_it() {
        let folding =
            PathFolding { decode_slashes: true, ignore_parameters: true, merge_slashes: true, ignore_case: true };
        let admin = PathMatch::prefix("/Admin");
        assert_eq!(loosely("/new", &admin, folding, "/ADMIN/X?A;b//c"), "/new/X?A;b//c");
        assert_eq!(loosely("/new", &admin, folding, "//admin;x//Y"), "/new/Y");
        assert_eq!(loosely("", &admin, folding, "/a/..;/admin%2FY"), "/Y");
        assert_eq!(loosely("", &admin, folding, "/admin;x"), "/");
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

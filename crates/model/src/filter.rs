//! Steps on a route that may change, answer or refuse.

use http::{HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;

/// One step on a route.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Changes a field of the request before it leaves.
    RequestHeader(HeaderChange),
    /// Changes a field of the response before the client sees it.
    ResponseHeader(HeaderChange),
    /// Answers with a redirect.
    Redirect(Redirect),
    /// Answers with a fixed text.
    FixedResponse(FixedResponse),
    /// Replaces the path that the route matched (its prefix, or the whole exact path) by this one; held without trailing slash.
    PrefixRewrite(Arc<str>),
    /// A filter of the embedding program, by the name under which it was given to the proxy's builder.
    Custom(Arc<str>),
}

/// A change of one header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderChange {
    /// One line with this value instead of all lines there were.
    Set(HeaderName, HeaderValue),
    /// One more line.
    Add(HeaderName, HeaderValue),
    /// No line.
    Remove(HeaderName),
}

/// Where to send the client instead. What is not named stays as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// `http` or `https`.
    pub scheme: Option<RedirectScheme>,
    /// Another host.
    pub host: Option<Arc<str>>,
    /// Another port; when only the scheme changes, that scheme's default port.
    pub port: Option<u16>,
    /// Another path, in place of path and query.
    pub path: Option<Arc<str>>,
}

/// A scheme to redirect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectScheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedResponse {
    /// Its status, 200 to 599.
    pub status: StatusCode,
    /// Its `Content-Type`.
    pub content_type: HeaderValue,
    /// Its body.
    pub body: Arc<str>,
}

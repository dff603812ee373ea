//! Which requests go to which upstream.

use crate::{ByteSize, Filter, ListenerName, PathFolding, RouteName, UpgradeToken, UpstreamName};
use std::{fmt, str::FromStr, sync::Arc};

/// Which requests go to which upstream, and what is done to them on the way. All conditions must hold; an empty one holds always.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name in metrics and logs; unique.
    pub name: RouteName,
    /// Only on these listeners; empty: on all.
    pub listeners: Vec<ListenerName>,
    /// Only for these hosts; empty: for all.
    pub hosts: Vec<HostPattern>,
    /// Only for these paths; held as `folding` reads it.
    pub path: PathMatch,
    /// Which other paths are the same to this route. Changes nothing of what is sent.
    pub folding: PathFolding,
    /// Only these methods; empty: all.
    pub methods: Vec<http::Method>,
    /// Only with these header fields.
    pub headers: Vec<HeaderMatch>,
    /// Steps, in order.
    pub filters: Vec<Filter>,
    /// Protocols to which a client may switch its connection here; empty: none.
    pub upgrades: Vec<UpgradeToken>,
    /// Bytes of a request's body; above it 413. `None`: as in the limits for all.
    pub body_max: Option<ByteSize>,
    /// A request with an `Idempotency-Key` may be sent again like an idempotent one, whatever its method.
    pub retry_idempotency_key: bool,
    /// Where it goes. `None` only if a filter answers every request (redirect, fixed response).
    pub upstream: Option<UpstreamName>,
}

/// A host, exact or with a leading `*.`; lower case, without port and trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `api.example.com`
    Exact(Arc<str>),
    /// `*.example.com`, held as `example.com`: any depth below it, not itself.
    Wildcard(Arc<str>),
}

/// Why a text is not a host pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host is a name such as 'api.example.com', an IP address, or a name behind '*.'; no port, no path")]
pub struct HostPatternError;

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// The whole path.
    Exact(Arc<str>),
    /// Whole path elements from the left: `/v1` matches `/v1` and `/v1/x`, not `/v1x` (Gateway API, `PathPrefix`).
    /// Held without a trailing slash, so `/` is the empty text and matches everything.
    Prefix(Arc<str>),
}

/// A condition on a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The field's name.
    pub name: http::HeaderName,
    /// A line of the field must have exactly this value; `None`: the field must be there.
    pub value: Option<http::HeaderValue>,
}

impl PathMatch {
    /// Matches every path.
    #[must_use]
    pub fn any() -> Self {
        Self::Prefix("".into())
    }

    /// This condition as a folding reads it.
    #[must_use]
    pub fn folded(&self, folding: PathFolding) -> Self {
        match self {
            Self::Exact(path) => Self::Exact(folding.fold(path).into()),
            Self::Prefix(prefix) => Self::prefix(&folding.fold(prefix)),
        }
    }

    /// A prefix as written, with or without its trailing slash.
    #[must_use]
    pub fn prefix(text: &str) -> Self {
        Self::Prefix(text.trim_end_matches('/').into())
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let (wild, name) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        let label = |l: &str| {
            (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let v6 = || {
            name.strip_prefix('[')
                .and_then(|n| n.strip_suffix(']'))
                .is_some_and(|n| n.parse::<std::net::Ipv6Addr>().is_ok())
        };
        let good = name.len() <= 253 && (name.split('.').all(label) || (!wild && v6()));
        let name = name.to_ascii_lowercase().into();
        match (good, wild) {
            (true, false) => Ok(Self::Exact(name)),
            (true, true) => Ok(Self::Wildcard(name)),
            (false, _) => Err(HostPatternError),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_pattern_is_a_name_or_a_name_behind_a_star() {
        for (text, printed) in
            [("API.example.com.", "api.example.com"), ("*.a.b", "*.a.b"), ("[::1]", "[::1]"), ("10.0.0.1", "10.0.0.1")]
        {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), printed);
        }
        for bad in ["", "*", "*.", "a.*.b", "a:80", "a/b", "a..b", "*.[::1]", "a b"] {
            assert_eq!(bad.parse::<HostPattern>(), Err(HostPatternError), "{bad:?}");
        }
    }
}

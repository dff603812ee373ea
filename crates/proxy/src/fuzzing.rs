//! Inner doors for `fuzz/` and for the test that replays its corpus; nothing else may use them.
//!
//! Only what cannot be reached through a socket, or far faster without one. No code of its own.

use crate::{error::MalformedRequest, request};
use evenkeel_model::Config;
use http::HeaderMap;
use std::{borrow::Cow, net::IpAddr};

/// The one form of a path.
///
/// # Errors
/// Why it has none.
pub fn normalise_path(path: &str) -> Result<Cow<'_, str>, MalformedRequest> {
    request::normalise_path(path)
}

/// Who asked, as the proxies say that this configuration trusts.
#[must_use]
pub fn client_behind_proxies(headers: &HeaderMap, config: &Config) -> Option<IpAddr> {
    request::client_behind_proxies(headers, config)
}

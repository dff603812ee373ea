//! Protocols to which a connection may be upgraded.

use http::HeaderValue;
use std::{fmt, str::FromStr};

/// A protocol that a client may ask for in `Upgrade` (RFC 9110, section 7.8): `websocket`, or a name with a version such as
/// `name/1.0`. Never `h2c`: through an intermediary it would carry requests that nobody looks at (RFC 9113, section 3.1, has
/// deprecated it).
#[derive(Clone, PartialEq, Eq)]
pub struct UpgradeToken(HeaderValue);

/// Why a text is not an upgrade token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeTokenError {
    /// No name, or a byte that a name cannot have.
    #[error("a protocol is a name such as \"websocket\", or a name and a version such as \"name/1.0\"")]
    Malformed,
    /// `h2c`.
    #[error("h2c is never passed on: requests within it would be seen by no route, filter or log")]
    H2c,
}

impl UpgradeToken {
    /// RFC 6455.
    #[must_use]
    pub const fn websocket() -> Self {
        Self(HeaderValue::from_static("websocket"))
    }

    /// The token as a field's value, spelt as it was configured.
    #[must_use]
    pub const fn as_value(&self) -> &HeaderValue {
        &self.0
    }

    /// Whether `text` names this protocol; case does not matter (RFC 9110, section 7.8).
    #[must_use]
    pub fn is(&self, text: &[u8]) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(text)
    }
}

impl FromStr for UpgradeToken {
    type Err = UpgradeTokenError;

    fn from_str(text: &str) -> Result<Self, UpgradeTokenError> {
        // RFC 9110, section 5.6.2.
        let tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let token = |text: &str| !text.is_empty() && text.bytes().all(tchar);
        let (name, version) = text.split_once('/').map_or((text, None), |(name, version)| (name, Some(version)));
        if !token(name) || !version.is_none_or(token) {
            return Err(UpgradeTokenError::Malformed);
        }
        if name.eq_ignore_ascii_case("h2c") {
            return Err(UpgradeTokenError::H2c);
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| UpgradeTokenError::Malformed)
    }
}

impl fmt::Debug for UpgradeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_name_with_or_without_a_version_and_never_h2c() {
        assert_eq!("websocket".parse(), Ok(UpgradeToken::websocket()));
        assert!("Foo/1.0".parse::<UpgradeToken>().unwrap().is(b"foo/1.0"));
        for bad in ["", "/", "a/", "/1", "a b", "a,b", "a/1/2", "\u{e9}"] {
            assert_eq!(bad.parse::<UpgradeToken>(), Err(UpgradeTokenError::Malformed), "{bad:?}");
        }
        for h2c in ["h2c", "H2C", "h2c/1"] {
            assert_eq!(h2c.parse::<UpgradeToken>(), Err(UpgradeTokenError::H2c), "{h2c:?}");
        }
    }
}

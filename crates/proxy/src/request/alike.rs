//! Field names between which many programs behind endpoints know no difference.
//!
//! CGI (RFC 3875, section 4.1.18), and with it WSGI and PHP, makes one variable of `X-Who` and `X_Who`. So whoever removes what strangers
//! say in a field removes all that are written like it; `forwarded`, `chain` and the trailers' filter in `body` do.

use http::{HeaderMap, HeaderName};

/// Whether these are the same but for `-` and `_`. Names are in lower case.
pub(super) fn are(one: &str, other: &str) -> bool {
    let dash = |byte| matches!(byte, b'-' | b'_');
    one.len() == other.len() && one.bytes().zip(other.bytes()).all(|(a, b)| a == b || (dash(a) && dash(b)))
}

/// What stands behind these words in a name.
pub(super) fn behind<'n>(name: &'n str, words: &str) -> Option<&'n str> {
    let (begin, rest) = name.split_at_checked(words.len())?;
    are(begin, words).then_some(rest)
}

/// Removes this field and all that are written like it.
pub(crate) fn remove(headers: &mut HeaderMap, field: &HeaderName) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| are(name.as_str(), field.as_str())).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_and_underscores_are_the_same_and_nothing_else_is() {
        assert!(are("x-who_is", "x_who-is") && are("a", "a"));
        for (one, other) in [("x-who", "xwho"), ("x-who", "x-whom"), ("x-who", "x.who"), ("x-who", "y-who")] {
            assert!(!are(one, other), "{one} {other}");
        }
        assert_eq!((behind("x_who-is", "x-who-"), behind("x-wh", "x-who")), (Some("is"), None));
    }
}

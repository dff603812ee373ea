//! One form for a path: what we route by is what the endpoint reads.
//!
//! Dot segments are resolved (RFC 3986, section 5.2.4), also when a dot is written `%2e`, since RFC 3986, section 2.3, makes
//! them the same. `%2f` and `%5c` are left as they are: an encoded slash is data, not a separator. Empty segments (`//`) stay:
//! to some servers they mean something. Refused: a path above its root, `%00`, a broken percent-encoding, backslashes, controls
//! and raw bytes above 0x7f, which endpoints read in different ways.

use crate::error::MalformedRequest;
use std::borrow::Cow;

/// Brings the path of a request, beginning with `/`, into its one form. Nothing is copied if it has no dot at the begin of a
/// segment and none that is encoded.
pub(crate) fn normalise(path: &str) -> Result<Cow<'_, str>, MalformedRequest> {
    let mut dots = false;
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let code = bytes.get(at + 1..at + 3).and_then(hex).ok_or(MalformedRequest::PathByte)?;
                if code == 0 {
                    return Err(MalformedRequest::PathByte);
                }
                dots |= code == b'.';
                at += 2;
            }
            b'.' => dots |= at > 0 && bytes[at - 1] == b'/',
            b'\\' | 0..=b' ' | 0x7f.. => return Err(MalformedRequest::PathByte),
            _ => {}
        }
        at += 1;
    }
    if dots { resolve(path).map(Cow::Owned) } else { Ok(Cow::Borrowed(path)) }
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(digits[0])? * 16 + digit(digits[1])?)
}

fn resolve(path: &str) -> Result<String, MalformedRequest> {
    let path = path.replace("%2e", ".").replace("%2E", ".");
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop().ok_or(MalformedRequest::PathClimbs)?;
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    Ok(format!("/{}", kept.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_normal_path_is_normal_and_has_no_dot_segment_in_any_spelling(
            segments in prop::collection::vec("[.%/\\\\;a2eEfF5cC0\u{e9} ]{0,6}|\\.|\\.\\.|%2e|\\.%2E", 1..8)
        ) {
            let path = format!("/{}", segments.join("/"));
            if let Ok(normal) = normalise(&path) {
                prop_assert!(normal.starts_with('/'));
                prop_assert!(normal.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'), "{normal}");
                let mut read = normal.split('/').map(|segment| segment.to_ascii_lowercase().replace("%2e", "."));
                prop_assert!(read.all(|segment| segment != "." && segment != ".."), "{normal}");
                prop_assert_eq!(normalise(&normal), Ok(Cow::Borrowed(&*normal)));
            }
        }
    }

    #[test]
    fn a_plain_path_is_not_copied() {
        for path in ["/", "/a/b.c/", "/a%20b", "/a..b/c.", "/%2f%5C", "/a//b", "/;p=1", "/a|b\"<>^`{}"] {
            assert!(matches!(normalise(path), Ok(Cow::Borrowed(same)) if same == path), "{path}");
        }
    }

    #[test]
    fn dot_segments_are_resolved_however_they_are_written() {
        for (path, normal) in [
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/.", "/"),
            ("/a//../b", "/a/b"),
            ("/.hidden", "/.hidden"),
            ("/a%2eb", "/a.b"),
            ("/...", "/..."),
        ] {
            assert_eq!(normalise(path).unwrap(), normal, "{path}");
            assert_eq!(normalise(normal).unwrap(), normal, "once is enough");
        }
    }

    #[test]
    fn what_endpoints_read_in_different_ways_is_refused() {
        for path in ["/a\\b", "/%00", "/%", "/%2", "/%zz", "/\u{e9}", "/a\tb", "/a b"] {
            assert_eq!(normalise(path), Err(MalformedRequest::PathByte), "{path}");
        }
        for path in ["/..", "/../a", "/a/../../b", "/%2e%2e"] {
            assert_eq!(normalise(path), Err(MalformedRequest::PathClimbs), "{path}");
        }
    }
}

//! One form for a path: what we route by is what the endpoint reads.
//!
//! For the paths of requests, and for those that routes are written with.

use std::borrow::Cow;

/// Why a path has no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A byte or an encoding that endpoints read in different ways.
    #[error("the path has a byte or an encoding that must not be there")]
    Byte,
    /// It leads above its root.
    #[error("the path leads above its root")]
    Climbs,
}

/// Brings a path, which starts with `/`, into its one form. Nothing is copied if it has that already.
///
/// Unreserved characters are decoded and the digits of other encodings are in upper case, since both spellings are the same path (RFC 3986,
/// sections 6.2.2.1 and 6.2.2.2); then dot segments are resolved (section 5.2.4). Other encodings stay, `%2F` and `%5C` too: an encoded slash
/// is data, not a separator. Empty segments (`//`) stay: to some servers they mean something.
///
/// # Errors
/// A path above its root; `%00`, a broken encoding, backslashes, controls and bytes above 0x7f, which endpoints read in different ways.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, PathError> {
    let (mut dots, mut spelling) = (false, false);
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digits = bytes.get(at + 1..at + 3).ok_or(PathError::Byte)?;
                let code = code(digits).filter(|code| *code != 0).ok_or(PathError::Byte)?;
                dots |= code == b'.';
                spelling |= is_unreserved(code) || digits.iter().any(u8::is_ascii_lowercase);
                at += 2;
            }
            b'.' => dots |= at > 0 && bytes[at - 1] == b'/',
            b'\\' | 0..=b' ' | 0x7f.. => return Err(PathError::Byte),
            _ => {}
        }
        at += 1;
    }
    let path = if spelling { Cow::Owned(respell(path)) } else { Cow::Borrowed(path) };
    if dots { resolve(&path).map(Cow::Owned) } else { Ok(path) }
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn code(digits: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(digits[0])? * 16 + digit(digits[1])?)
}

/// Of a path whose encodings are all good.
fn respell(path: &str) -> String {
    let mut parts = path.split('%');
    let mut respelt = String::with_capacity(path.len());
    respelt.push_str(parts.next().unwrap_or(""));
    for part in parts {
        let (digits, rest) = part.split_at(2);
        match code(digits.as_bytes()).filter(|code| is_unreserved(*code)) {
            Some(code) => respelt.push(char::from(code)),
            None => {
                respelt.push('%');
                respelt.extend(digits.chars().map(|digit| digit.to_ascii_uppercase()));
            }
        }
        respelt.push_str(rest);
    }
    respelt
}

fn resolve(path: &str) -> Result<String, PathError> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop().ok_or(PathError::Climbs)?),
            other => {
                kept.push(other);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    Ok(format!("/{}", kept.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths() -> impl Strategy<Value = String> {
        let segment = "[.%/\\\\;a2eEfF5cC6130~\u{e9} ]{0,6}|\\.|\\.\\.|%2e|\\.%2E|\\.\\.;|\\.\\.%2f|%61";
        prop::collection::vec(segment, 1..8).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    proptest! {
        #[test]
        fn a_normal_path_is_normal_and_has_no_dot_segment_in_any_spelling(path in paths()) {
            if let Ok(normal) = normalise(&path) {
                prop_assert!(normal.starts_with('/'));
                prop_assert!(normal.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'), "{normal}");
                prop_assert!(normal.split('/').all(|segment| segment != "." && segment != ".."), "{normal}");
                let mut codes = normal.split('%').skip(1).map(|part| code(&part.as_bytes()[..2]).unwrap());
                prop_assert!(codes.all(|code| !is_unreserved(code)), "{normal}");
                prop_assert_eq!(normalise(&normal), Ok(Cow::Borrowed(&*normal)));
            }
        }
    }

    #[test]
    fn a_plain_path_is_not_copied() {
        for path in ["/", "/a/b.c/", "/a%20b", "/a..b/c.", "/%2F%5C", "/a//b", "/;p=1", "/a|b\"<>^`{}", "/%C3%A9"] {
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
    fn two_spellings_of_one_path_are_one() {
        for (path, normal) in [
            ("/%61dmin", "/admin"),
            ("/%41%5a%30%2D%5F%7e", "/AZ0-_~"),
            ("/a%2fb%5c", "/a%2Fb%5C"),
            ("/%3b%2f%c3%a9", "/%3B%2F%C3%A9"),
            ("/%2561", "/%2561"),
            ("/%25%36%31", "/%2561"),
            ("/x/%2e%2e/%61%2f", "/a%2F"),
        ] {
            assert_eq!(normalise(path).unwrap(), normal, "{path}");
            assert_eq!(normalise(normal).unwrap(), normal, "once is enough");
        }
    }

    #[test]
    fn what_endpoints_read_in_different_ways_is_refused() {
        for path in ["/a\\b", "/%00", "/%", "/%2", "/%zz", "/\u{e9}", "/%\u{e9}", "/%a\u{e9}", "/a\tb", "/a b"] {
            assert_eq!(normalise(path), Err(PathError::Byte), "{path}");
        }
        for path in ["/..", "/../a", "/a/../../b", "/%2e%2e"] {
            assert_eq!(normalise(path), Err(PathError::Climbs), "{path}");
        }
    }
}

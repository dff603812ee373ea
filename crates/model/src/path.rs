//! One form for a path, and how a route may read it more loosely than that.
//!
//! `normalise` is for every request: what we route by is what the endpoint reads. `PathFolding` is for comparing alone: it tells what some
//! endpoints take a path for, and never changes what is sent.

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

/// What a route takes for the same path when it compares, since its endpoint does. Ordered: what changes more comes later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::struct_excessive_bools, reason = "independent keys of the file, never passed as arguments")]
pub struct PathFolding {
    /// `%2F` and `%5C` are slashes.
    pub decode_slashes: bool,
    /// In each segment, what follows a `;` is nothing.
    pub ignore_parameters: bool,
    /// Several slashes are one.
    pub merge_slashes: bool,
    /// Upper case is lower case.
    pub ignore_case: bool,
}

/// How a slash or backslash may be encoded: in a normal path, and in one whose case is folded.
const SLASHES: [&str; 4] = ["%2F", "%5C", "%2f", "%5c"];

impl PathFolding {
    /// What either of them takes for the same.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            decode_slashes: self.decode_slashes | other.decode_slashes,
            ignore_parameters: self.ignore_parameters | other.ignore_parameters,
            merge_slashes: self.merge_slashes | other.merge_slashes,
            ignore_case: self.ignore_case | other.ignore_case,
        }
    }

    /// The same, but letters keep their case; then a path that is folded has its elements at the same places.
    #[must_use]
    pub const fn with_case(self) -> Self {
        Self { ignore_case: false, ..self }
    }

    /// What this takes a normal path for. A path that would lead above its root stays at its root.
    #[must_use]
    pub fn fold<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let encoded = |path: &str| SLASHES.iter().any(|slash| path.contains(slash));
        let slashes = self.decode_slashes && encoded(path);
        let elements =
            (self.ignore_parameters && path.contains(';')) || (self.merge_slashes && path.contains("//")) || slashes;
        let upper = self.ignore_case && path.bytes().any(|byte| byte.is_ascii_uppercase());
        let path = match (slashes, elements) {
            (true, _) => {
                let decoded = SLASHES.iter().fold(path.to_owned(), |path, slash| path.replace(slash, "/"));
                Cow::Owned(self.fold_elements(&decoded))
            }
            (false, true) => Cow::Owned(self.fold_elements(path)),
            (false, false) => Cow::Borrowed(path),
        };
        if upper { Cow::Owned(path.to_ascii_lowercase()) } else { path }
    }

    /// Dot segments appear when parameters are gone (`/a/..;x=1/b`) or slashes are decoded, and are resolved as such endpoints do.
    fn fold_elements(self, path: &str) -> String {
        let mut kept: Vec<&str> = Vec::new();
        let mut segments = path.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            let whole = if self.ignore_parameters { segment.split(';').next() } else { None };
            match whole.unwrap_or(segment) {
                "" if self.merge_slashes => {}
                "." => {}
                ".." => drop(kept.pop()),
                other => {
                    kept.push(other);
                    continue;
                }
            }
            if last {
                kept.push("");
            }
        }
        format!("/{}", kept.join("/"))
    }
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

        #[test]
        fn a_folded_path_is_folded_and_a_path_still(path in paths(), keys in prop::array::uniform4(any::<bool>())) {
            let [decode_slashes, ignore_parameters, merge_slashes, ignore_case] = keys;
            let folding = PathFolding { decode_slashes, ignore_parameters, merge_slashes, ignore_case };
            if let Ok(normal) = normalise(&path) {
                let folded = folding.fold(&normal);
                prop_assert!(folded.starts_with('/') && folded.split('/').all(|s| s != "." && s != ".."), "{folded}");
                prop_assert_eq!(folding.fold(&folded), &*folded, "once is enough");
                prop_assert_eq!(folding.with_case().fold(&normal).len(), folded.len());
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

    const NONE: PathFolding =
        PathFolding { decode_slashes: false, ignore_parameters: false, merge_slashes: false, ignore_case: false };

    #[test]
    fn a_folding_takes_only_its_own_spellings_for_the_same() {
        let case = PathFolding { ignore_case: true, ..NONE };
        let merge = PathFolding { merge_slashes: true, ..NONE };
        let parameters = PathFolding { ignore_parameters: true, ..NONE };
        let slashes = PathFolding { decode_slashes: true, ..NONE };
        let all = case.or(merge).or(parameters).or(slashes);
        for (folding, path, folded) in [
            (NONE, "//A;x/..;/%2F", "//A;x/..;/%2F"),
            (case, "//A;x/%2F", "//a;x/%2f"),
            (merge, "//A///b;x//", "/A/b;x/"),
            (merge, "//", "/"),
            (parameters, "/a;x=1;y/b;/c", "/a/b/c"),
            (parameters, "/a/..;x/b", "/b"),
            (parameters, "/..;/..;/b", "/b"),
            (parameters, "/a/.;", "/a/"),
            (parameters, "/;x//b", "///b"),
            (parameters.or(merge), "/a//..;/b", "/b"),
            (slashes, "/a%2Fb%5Cc", "/a/b/c"),
            (slashes, "/a/..%2Fb", "/b"),
            (slashes, "/a%2F%2Fb", "/a//b"),
            (all, "/X//..;/%2FAdmin;s=1%2F/", "/admin/"),
        ] {
            assert_eq!(folding.fold(path), folded, "{path}");
            assert_eq!(folding.fold(folded), folded, "once is enough");
        }
        assert_eq!(all.with_case().fold("/A;x"), "/A");
    }
}

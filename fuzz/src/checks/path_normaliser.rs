//! Any path: refused, or brought into one form that has no dot segment in any spelling and that is its own normal form.

use evenkeel_proxy::fuzzing::normalise_path;
use std::borrow::Cow;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = format!("/{text}");
    let normal = normalise_path(&path).ok().map(Cow::into_owned);
    assert_eq!(normal, reference(&path), "{path:?}");
    let Some(normal) = normal else { return };
    assert_eq!(normalise_path(&normal).ok().as_deref(), Some(normal.as_str()), "{path:?} {normal:?}");
    assert!(!normal.split('/').any(|segment| matches!(undotted(segment).as_str(), "." | "..")), "{path:?} {normal:?}");
}

fn undotted(segment: &str) -> String {
    segment.replace("%2e", ".").replace("%2E", ".")
}

/// The same by the book and slowly: RFC 3986, sections 2.3 and 5.2.4, with our refusals. A dot is decoded in a path only if the path
/// has a dot segment or an encoded dot, so a path with neither stays byte for byte.
fn reference(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    if bytes.iter().any(|b| !b.is_ascii_graphic() || *b == b'\\') {
        return None;
    }
    for (at, _) in path.match_indices('%') {
        let code = path.get(at + 1..at + 3).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))?;
        if code == "00" {
            return None;
        }
    }
    let path = undotted(path);
    let mut kept: Vec<String> = Vec::new();
    let segments: Vec<_> = path.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            "." => {}
            ".." => drop(kept.pop()?),
            other => {
                kept.push(other.to_owned());
                continue;
            }
        }
        if last {
            kept.push(String::new());
        }
    }
    Some(format!("/{}", kept.join("/")))
}

//! Any path: refused, or brought into one form that has no dot segment in any spelling and that is its own normal form.

use evenkeel_model::normalise_path;
use std::borrow::Cow;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = format!("/{text}");
    let normal = normalise_path(&path).ok().map(Cow::into_owned);
    assert_eq!(normal, reference(&path), "{path:?}");
    let Some(normal) = normal else { return };
    assert_eq!(normalise_path(&normal).ok().as_deref(), Some(normal.as_str()), "{path:?} {normal:?}");
    assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")), "{path:?} {normal:?}");
}

/// Each encoding of an unreserved character decoded, each other one in upper case: RFC 3986, section 6.2.2. All of them are good.
fn respelt(path: &str) -> String {
    let mut respelt = String::new();
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            respelt.push(character);
            continue;
        }
        let digits: String = characters.by_ref().take(2).collect();
        let code = u8::from_str_radix(&digits, 16).expect("two digits");
        if code.is_ascii_alphanumeric() || b"-._~".contains(&code) {
            respelt.push(char::from(code));
        } else {
            respelt.push_str(&format!("%{code:02X}"));
        }
    }
    respelt
}

/// The same by the book and slowly: RFC 3986, sections 5.2.4 and 6.2.2, with our refusals.
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
    let path = respelt(path);
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

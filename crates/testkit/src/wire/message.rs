//! As much of HTTP/1.1 as says where a message ends, and a response taken apart for looking at.
//!
//! Under `buffered`, `client` and `origin`. Pure.

use super::buffered::{Ending, Taken};
use std::fmt;

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(usize),
    Chunked,
    ToTheEnd,
}

/// Where `mark` begins in `bytes`.
pub(super) fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// The fields of a head, names in lower case, in the order they came.
fn fields(head: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(head);
    let lines = text.split("\r\n").skip(1);
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

fn framing_of(head: &[u8], otherwise: Framing) -> Framing {
    let fields = fields(head);
    if value(&fields, "transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().ends_with("chunked")) {
        return Framing::Chunked;
    }
    value(&fields, "content-length").and_then(|v| v.parse().ok()).map_or(otherwise, Framing::Length)
}

/// RFC 9112, section 6.3, for a request.
pub(super) fn request_framing(head: &[u8]) -> Framing {
    framing_of(head, Framing::None)
}

/// RFC 9112, section 6.3, for the response to a request with this method.
pub(super) fn response_framing(head: &[u8], method: &str) -> Framing {
    let status = status_line(head).1;
    match status {
        100..=199 | 204 | 304 => Framing::None,
        _ if method == "HEAD" => Framing::None,
        _ => framing_of(head, Framing::ToTheEnd),
    }
}

/// Version and status, as far as they can be read.
fn status_line(head: &[u8]) -> (String, u16) {
    let text = String::from_utf8_lossy(head);
    let mut words = text.lines().next().unwrap_or_default().split(' ');
    let version = words.next().unwrap_or_default().to_owned();
    (version, words.next().and_then(|w| w.parse().ok()).unwrap_or(0))
}

/// A response as it came over the wire.
#[derive(Clone)]
pub struct RawResponse {
    /// Every byte of it.
    pub bytes: Vec<u8>,
    /// `HTTP/1.1`.
    pub version: String,
    /// The status; 0 if there was none to read.
    pub status: u16,
    /// The fields, names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body, taken out of its chunks.
    pub body: Vec<u8>,
    /// How the connection ended in the middle of it, if it did.
    pub cut: Option<Ending>,
}

impl RawResponse {
    pub(super) fn new(taken: Taken) -> Self {
        let head = &taken.bytes[..taken.head.unwrap_or(taken.bytes.len())];
        let (version, status) = status_line(head);
        Self { version, status, headers: fields(head), bytes: taken.bytes, body: taken.body, cut: taken.cut }
    }

    /// The first value of a field; the name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }

    /// All values of a field; the name in lower case.
    #[must_use]
    pub fn header_all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether it came to its end as its framing says.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.cut.is_none()
    }
}

impl fmt::Debug for RawResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (cut: {:?})", String::from_utf8_lossy(&self.bytes), self.cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_where_the_head_says() {
        let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        for (fields, method, framing) in [
            ("Content-Length: 5\r\n", "GET", Framing::Length(5)),
            ("Content-Length: 5\r\n", "HEAD", Framing::None),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "GET", Framing::Chunked),
            ("", "GET", Framing::ToTheEnd),
        ] {
            assert_eq!(response_framing(head(fields).as_bytes(), method), framing, "{fields}");
        }
        assert_eq!(response_framing(b"HTTP/1.1 204 No Content\r\n\r\n", "GET"), Framing::None);
        assert_eq!(request_framing(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Framing::None);
    }
}

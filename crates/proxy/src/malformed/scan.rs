//! Where a head breaks the rules of RFC 9112. The parser says that one does, not where, so it is read once more, for people only: nothing is
//! decided here.

use crate::error::MalformedRequest;
use std::ops::Range;

/// What a head is the head of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
}

/// What is to be known of a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The first byte that is wrong, as far as we can tell.
    pub(super) offset: Option<usize>,
    /// Where the head ends, if that is to be seen.
    pub(super) end: Option<usize>,
}

/// Reads a head, whole or cut; `cause` is what was found wrong with it, if anything was beyond its form.
pub(super) fn find(kind: Kind, bytes: &[u8], cause: Option<MalformedRequest>) -> Finding {
    let mut scan = Scan { bytes, at: 0 };
    match scan.head(kind) {
        // Other heads may come before the one that counts (RFC 9110, section 15.2).
        Ok(head) if head.interim && head.end < bytes.len() => {
            let rest = find(kind, &bytes[head.end..], cause);
            Finding { offset: rest.offset.map(|at| at + head.end), end: rest.end.map(|at| at + head.end) }
        }
        Ok(head) => Finding { offset: head.fault(kind, bytes, cause), end: Some(head.end) },
        Err(Stop::Fault(at)) => Finding { offset: Some(at), end: None },
        Err(Stop::Short) => Finding { offset: None, end: None },
    }
}

enum Stop {
    Fault(usize),
    Short,
}

/// The parts of a head whose form is right.
struct Parts {
    target: Range<usize>,
    http10: bool,
    interim: bool,
    fields: Vec<(Range<usize>, Range<usize>)>,
    end: usize,
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.at).copied().ok_or(Stop::Short)
    }

    /// One byte of these.
    fn one(&mut self, of: &[u8]) -> Result<u8, Stop> {
        let byte = self.peek()?;
        if !of.contains(&byte) {
            return Err(Stop::Fault(self.at));
        }
        self.at += 1;
        Ok(byte)
    }

    fn text(&mut self, text: &[u8]) -> Result<(), Stop> {
        text.iter().try_for_each(|byte| self.one(&[*byte]).map(drop))
    }

    /// Bytes of this sort, `least` at least.
    fn run(&mut self, least: usize, sort: fn(u8) -> bool) -> Result<Range<usize>, Stop> {
        let start = self.at;
        while sort(self.peek()?) {
            self.at += 1;
        }
        if self.at - start < least { Err(Stop::Fault(self.at)) } else { Ok(start..self.at) }
    }

    fn line_end(&mut self) -> Result<(), Stop> {
        self.text(b"\r\n")
    }

    fn version(&mut self) -> Result<bool, Stop> {
        self.text(b"HTTP/1.")?;
        Ok(self.one(b"01")? == b'0')
    }

    fn head(&mut self, kind: Kind) -> Result<Parts, Stop> {
        let mut parts = Parts { target: 0..0, http10: false, interim: false, fields: Vec::new(), end: 0 };
        match kind {
            Kind::Request => {
                while self.peek()? == b'\r' {
                    self.line_end()?;
                }
                self.run(1, is_token)?;
                self.text(b" ")?;
                parts.target = self.run(1, |byte| byte > b' ' && byte != 0x7f)?;
                if let Some(fragment) = self.bytes[parts.target.clone()].iter().position(|byte| *byte == b'#') {
                    return Err(Stop::Fault(parts.target.start + fragment));
                }
                if let Err(error) = std::str::from_utf8(&self.bytes[parts.target.clone()]) {
                    return Err(Stop::Fault(parts.target.start + error.valid_up_to()));
                }
                self.text(b" ")?;
                parts.http10 = self.version()?;
            }
            Kind::Response => {
                parts.http10 = self.version()?;
                self.text(b" ")?;
                let status = self.at;
                (0..3).try_for_each(|_| self.one(b"0123456789").map(drop))?;
                parts.interim = self.bytes[status] == b'1' && self.bytes[status..self.at] != *b"101";
                if self.peek()? == b' ' {
                    self.run(1, is_text)?;
                }
            }
        }
        self.line_end()?;
        while self.peek()? != b'\r' {
            let name = self.run(1, is_token)?;
            self.text(b":")?;
            let value = self.run(0, is_text)?;
            self.line_end()?;
            parts.fields.push((name, value));
        }
        self.line_end()?;
        parts.end = self.at;
        Ok(parts)
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110, section 5.5: what a field's value or a reason phrase is made of.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

impl Parts {
    /// What is wrong although the form is right.
    fn fault(&self, kind: Kind, bytes: &[u8], cause: Option<MalformedRequest>) -> Option<usize> {
        let lines = |name: &'static str| {
            let named =
                move |(n, _): &&(Range<usize>, Range<usize>)| bytes[n.clone()].eq_ignore_ascii_case(name.as_bytes());
            self.fields.iter().filter(named)
        };
        let value = |range: &Range<usize>| bytes[range.clone()].trim_ascii();
        let inside = |range: &Range<usize>| range.start + (range.len() - bytes[range.clone()].trim_ascii_start().len());
        match cause {
            Some(MalformedRequest::HostTwice) => return lines("host").nth(1).map(|(name, _)| name.start),
            Some(MalformedRequest::HostMalformed) => {
                return lines("host").next().map_or(Some(self.target.start), |(_, value)| Some(inside(value)));
            }
            Some(MalformedRequest::Underscore) => {
                let mut names = self.fields.iter().map(|(name, _)| name);
                return names.find_map(|name| Some(name.start + bytes[name.clone()].iter().position(|b| *b == b'_')?));
            }
            Some(MalformedRequest::PathByte) => {
                return Some(self.target.start + path_fault(&bytes[self.target.clone()]));
            }
            Some(MalformedRequest::PathClimbs | MalformedRequest::Target) => return Some(self.target.start),
            Some(MalformedRequest::HostMissing | MalformedRequest::AuthorityMismatch | MalformedRequest::Body) => {
                return None;
            }
            Some(MalformedRequest::TransferEncoding | MalformedRequest::Unparsable) | None => {}
        }
        let coding = lines("transfer-encoding").enumerate().find_map(|(index, (name, coding))| {
            let twice_or_too_early = index > 0 || (kind == Kind::Request && self.http10);
            let other = !value(coding).eq_ignore_ascii_case(b"chunked");
            if twice_or_too_early { Some(name.start) } else { other.then(|| inside(coding)) }
        });
        let length = || {
            let mut first = None;
            lines("content-length").find_map(|(_, length)| {
                let digits = value(length);
                let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
                let same = *first.get_or_insert(digits) == digits;
                (!plain || !same).then(|| inside(length))
            })
        };
        // One kind of framing too many.
        let both = || {
            lines("transfer-encoding").next()?;
            lines("content-length").next().map(|(name, _)| name.start)
        };
        coding.or_else(length).or_else(|| both().filter(|_| kind == Kind::Request))
    }
}

/// Of a target whose path has a byte that it may not have: which. What `normalise_path` of the model refuses.
fn path_fault(target: &[u8]) -> usize {
    let broken = |at: usize| match target.get(at + 1..at + 3) {
        Some(code) => code == b"00" || !code.iter().all(u8::is_ascii_hexdigit),
        None => true,
    };
    let wrong = |at: &usize| match target[*at] {
        b'%' => broken(*at),
        byte => byte == b'\\' || byte <= b' ' || byte >= 0x7f,
    };
    (0..target.len()).find(wrong).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the mark `^` stands, taken out.
    fn marked(text: &str) -> (Vec<u8>, Option<usize>) {
        (text.replacen('^', "", 1).into_bytes(), text.find('^'))
    }

    #[test]
    fn the_first_wrong_byte_of_a_request_is_found() {
        for text in [
            "GE^(T / HTTP/1.1\r\n\r\n",
            "GET ^ / HTTP/1.1\r\n\r\n",
            "GET /a^\tb HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.^2\r\n\r\n",
            "GET / HTTP/^2.0\r\n\r\n",
            "GET /^\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost^ : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n^ folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r^X: b\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a^\0b\r\n\r\n",
            "GET / HTTP/1.1\r\n^: b\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: ^6\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: ^+5\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length:^\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: ^gzip, chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n^transfer-encoding: chunked\r\n\r\n",
            "GET / HTTP/1.0\r\n^Transfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\n^Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /a^#b HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nX: y^\n\r\n",
        ] {
            let (bytes, offset) = marked(text);
            assert_eq!(find(Kind::Request, &bytes, None).offset, offset, "{text:?}");
        }
    }

    #[test]
    fn the_first_wrong_byte_of_a_response_is_found_also_behind_another() {
        for text in [
            "^GARBAGE\r\n",
            "HTTP/1.1 20^x OK\r\n\r\n",
            "HTTP/1.1 200^0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent^ Length: 0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX^\r\n\r\n",
        ] {
            let (bytes, offset) = marked(text);
            assert_eq!(find(Kind::Response, &bytes, None).offset, offset, "{text:?}");
        }
    }

    #[test]
    fn what_is_known_to_be_wrong_is_found_by_its_cause() {
        for (cause, text) in [
            (MalformedRequest::HostTwice, "GET / HTTP/1.1\r\nHost: a\r\n^host: b\r\n\r\n"),
            (MalformedRequest::HostMalformed, "GET / HTTP/1.1\r\nHost: ^a/b\r\n\r\n"),
            (MalformedRequest::Underscore, "GET / HTTP/1.1\r\nHost: a_b\r\nX^_A: 1\r\n\r\n"),
            (MalformedRequest::PathByte, "GET /a%2f^%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
            (MalformedRequest::PathClimbs, "GET ^/../a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ] {
            let (bytes, offset) = marked(text);
            assert_eq!(find(Kind::Request, &bytes, Some(cause)).offset, offset, "{text:?}");
        }
        assert_eq!(find(Kind::Request, b"GET / HTTP/1.1\r\n\r\n", Some(MalformedRequest::HostMissing)).offset, None);
    }

    #[test]
    fn a_head_without_fault_ends_where_its_body_begins() {
        let finding = find(Kind::Request, b"POST / HTTP/1.1\r\nHost: a\r\n\r\nsecret", None);
        assert_eq!(finding, Finding { offset: None, end: Some(28) });
        assert_eq!(find(Kind::Request, b"POST / HTTP/1.1\r\nHo", None), Finding { offset: None, end: None });
    }
}

//! HTTP/1.1 as RFC 9112 writes it and no wider: what passes here, every parser reads in the same way.
//!
//! Independent of the proxy and of its parser. Reads what the proxy wrote, on either side; forgives nothing. Pure.

/// A message taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The first line, without its end.
    pub(crate) line: String,
    /// Names in lower case, in the order they came.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

/// What says where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Nothing,
    Length(usize),
    Chunked,
    /// The end of the connection.
    End,
}

/// What some bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A message, and how many of the bytes it takes.
    Whole(Message, usize),
    /// The beginning of one.
    Part,
    /// Not a message, because.
    Fault(String),
}

/// Why bytes are no whole message.
enum Stop {
    Part,
    Fault(String),
}

type Read<T> = Result<T, Stop>;

fn fault<T>(why: impl Into<String>) -> Read<T> {
    Err(Stop::Fault(why.into()))
}

impl Message {
    /// The words of the first line.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.line.splitn(3, ' ').nth(index).unwrap_or_default()
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        self.word(1).parse().expect("a parsed response has a status")
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        let (name, value) = line.split_once(": ").expect("a field is written 'name: value'");
        self.all(name).any(|v| v == value.as_bytes())
    }

    /// `POST /a [5] hello`, `GET /`, `200 [chunked] hello {x: y}`: what matters of it in one line.
    pub(crate) fn summary(&self) -> String {
        let start = if self.line.starts_with("HTTP/") { self.word(1) } else { self.line.trim_end_matches(" HTTP/1.1") };
        let framing = match self.framing {
            Framing::Nothing => return start.to_owned(),
            Framing::Length(length) => length.to_string(),
            Framing::Chunked => "chunked".to_owned(),
            Framing::End => "end".to_owned(),
        };
        let trailers: String =
            self.trailers.iter().map(|(n, v)| format!(" {{{n}: {}}}", String::from_utf8_lossy(v))).collect();
        let body = String::from_utf8_lossy(&self.body);
        format!("{start} [{framing}] {body}{trailers}").trim_end().to_owned()
    }
}

/// What these bytes are to an endpoint.
pub(crate) fn request(bytes: &[u8]) -> Parsed {
    parsed(message(bytes, |line, fields| {
        request_line(line)?;
        if count(fields, "host") != 1 {
            return fault("not exactly one Host");
        }
        for name in ["keep-alive", "proxy-connection", "http2-settings", "proxy"] {
            if count(fields, name) > 0 {
                return fault(format!("{name} went further"));
            }
        }
        stated_framing(fields, Framing::Nothing)
    }))
}

/// What these bytes are to a client that asked with this method; `ended`: no more will come.
pub(crate) fn response(bytes: &[u8], method: &str, ended: bool) -> Parsed {
    let parsed = parsed(message(bytes, |line, fields| {
        let status = status_line(line)?;
        let stated = stated_framing(fields, Framing::End)?;
        let chunked = stated == Framing::Chunked;
        match status {
            100..=199 | 204 if stated != Framing::End => fault(format!("{status} with a framing")),
            304 if chunked => fault("304 with chunks"),
            100..=199 | 204 | 304 => Ok(Framing::Nothing),
            _ if chunked && line.starts_with("HTTP/1.0") => fault("chunks in HTTP/1.0"),
            _ if method == "HEAD" => Ok(Framing::Nothing),
            _ => Ok(stated),
        }
    }));
    match parsed {
        Parsed::Whole(message, _) if message.framing == Framing::End && !ended => Parsed::Part,
        other => other,
    }
}

fn parsed(read: Read<(Message, usize)>) -> Parsed {
    match read {
        Ok((message, used)) => Parsed::Whole(message, used),
        Err(Stop::Part) => Parsed::Part,
        Err(Stop::Fault(why)) => Parsed::Fault(why),
    }
}

type Fields = Vec<(String, Vec<u8>)>;

fn message(bytes: &[u8], framing: impl FnOnce(&str, &Fields) -> Read<Framing>) -> Read<(Message, usize)> {
    let mut at = 0;
    let line = line(bytes, &mut at)?;
    let Ok(line) = std::str::from_utf8(line).map(str::to_owned) else { return fault("a first line that is no text") };
    let fields = fields(bytes, &mut at)?;
    let framing = framing(&line, &fields)?;
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    match framing {
        Framing::Nothing => {}
        Framing::Length(length) => body.extend_from_slice(take(bytes, &mut at, length)?),
        Framing::Chunked => trailers = chunks(bytes, &mut at, &mut body)?,
        Framing::End => {
            body.extend_from_slice(&bytes[at..]);
            at = bytes.len();
        }
    }
    Ok((Message { line, fields, framing, body, trailers }, at))
}

/// The next line, which ends in CRLF and has neither half of it inside.
fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Read<&'a [u8]> {
    let rest = &bytes[*at..];
    let Some(end) = rest.iter().position(|b| matches!(b, b'\r' | b'\n')) else { return Err(Stop::Part) };
    match rest[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] => return Err(Stop::Part),
        _ => return fault(format!("a bare CR or LF after {:?}", String::from_utf8_lossy(&rest[..end]))),
    }
    *at += end + 2;
    Ok(&rest[..end])
}

fn take<'a>(bytes: &'a [u8], at: &mut usize, length: usize) -> Read<&'a [u8]> {
    let part = bytes.get(*at..).and_then(|rest| rest.get(..length)).ok_or(Stop::Part)?;
    *at += length;
    Ok(part)
}

/// Fields up to and with the empty line.
fn fields(bytes: &[u8], at: &mut usize) -> Read<Fields> {
    let mut fields = Vec::new();
    loop {
        let line = line(bytes, at)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let shown = String::from_utf8_lossy(line);
        let Some(colon) = line.iter().position(|b| *b == b':') else { return fault(format!("no field: {shown:?}")) };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if !is_token(name) {
            return fault(format!("no name of a field: {shown:?}"));
        }
        if value.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f) || value.trim_ascii() != value {
            return fault(format!("no value of a field: {shown:?}"));
        }
        fields.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
    }
}

fn chunks(bytes: &[u8], at: &mut usize, body: &mut Vec<u8>) -> Read<Fields> {
    loop {
        let size = line(bytes, at)?;
        let digits = std::str::from_utf8(size).unwrap_or_default();
        let plain = !digits.is_empty() && digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let Some(size) = usize::from_str_radix(digits, 16).ok().filter(|_| plain) else {
            return fault(format!("no chunk size: {:?}", String::from_utf8_lossy(size)));
        };
        if size == 0 {
            return fields(bytes, at);
        }
        body.extend_from_slice(take(bytes, at, size)?);
        match take(bytes, at, 2)? {
            b"\r\n" => {}
            other => return fault(format!("{other:?} after a chunk")),
        }
    }
}

fn count(fields: &Fields, name: &str) -> usize {
    fields.iter().filter(|(n, _)| n == name).count()
}

/// What the fields say; two kinds of framing, or one that is not in its plainest form, are a fault.
fn stated_framing(fields: &Fields, otherwise: Framing) -> Read<Framing> {
    let of = |name: &str| fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_slice()).collect::<Vec<_>>();
    match (of("transfer-encoding").as_slice(), of("content-length").as_slice()) {
        ([], []) => Ok(otherwise),
        ([coding], []) if coding == b"chunked" => Ok(Framing::Chunked),
        ([], [length]) => match std::str::from_utf8(length).ok().and_then(|text| Some((text, text.parse().ok()?))) {
            Some((text, length)) if usize::to_string(&length) == text => Ok(Framing::Length(length)),
            _ => fault(format!("no length: {:?}", String::from_utf8_lossy(length))),
        },
        (codings, lengths) => fault(format!("{} codings and {} lengths", codings.len(), lengths.len())),
    }
}

fn request_line(line: &str) -> Read<()> {
    let words: Vec<_> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { return fault(format!("no request line: {line:?}")) };
    let path = target.split('?').next().unwrap_or_default();
    let origin_form = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#'));
    let query = target.bytes().all(|b| b > b' ' && b != 0x7f && b != b'#');
    if !is_token(method.as_bytes()) || !query || !(origin_form || (target == "*" && method == "OPTIONS")) {
        return fault(format!("no request line: {line:?}"));
    }
    Ok(())
}

fn status_line(line: &str) -> Read<u16> {
    let words: Vec<_> = line.splitn(3, ' ').collect();
    let status = words.get(1).copied().unwrap_or_default();
    match words[..] {
        ["HTTP/1.1" | "HTTP/1.0", _, _] if status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(status.parse().expect("three digits"))
        }
        _ => fault(format!("no status line: {line:?}")),
    }
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(bytes: &str) -> String {
        match request(bytes.as_bytes()) {
            Parsed::Whole(message, used) => format!("{} + {}", message.summary(), bytes.len() - used),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_judge_reads_what_is_well_formed() {
        for (bytes, what) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET", "GET / + 3"),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi", "POST / [2] hi + 0"),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n\r\n",
                "POST / [chunked] hi {x: y} + 0",
            ),
            ("GET / HTTP/1.1\r\nhost: a\r\n", "Part"),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nh", "Part"),
            ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", "OPTIONS * + 0"),
        ] {
            assert_eq!(summary(bytes), what, "{bytes:?}");
        }
    }

    #[test]
    fn the_judge_forgives_nothing() {
        for bytes in [
            "GET / HTTP/1.1\nhost: a\n\n",
            "GET / HTTP/1.1\r\nhost: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 05\r\n\r\nhello",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloxx",
            "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        ] {
            assert!(matches!(request(bytes.as_bytes()), Parsed::Fault(_)), "{bytes:?}");
        }
    }

    #[test]
    fn the_judge_knows_which_answers_have_no_body() {
        let parse = |bytes: &str, method, ended| match response(bytes.as_bytes(), method, ended) {
            Parsed::Whole(message, _) => message.summary(),
            other => format!("{other:?}"),
        };
        assert_eq!(parse("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "HEAD", false), "200");
        assert_eq!(parse("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", "GET", false), "304");
        assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\nhi", "GET", false), "Part");
        assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\nhi", "GET", true), "200 [end] hi");
        assert!(parse("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", "GET", true).starts_with("Fault"));
    }
}

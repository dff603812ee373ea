//! Whom a TLS client wants to speak to, and in which protocol: the first message of its handshake, read and left as it is.
//!
//! For connections that are passed on unopened. A function of bytes: a [`Reader`] is asked again whenever more have come. It checks what it
//! needs in order to find the two answers, and no more: whether the handshake is a good one is for whoever answers it.

use std::net::IpAddr;

/// Bytes of the records that hold a hello. The largest that clients send today, with post-quantum key shares, are some 2 KiB; nginx and
/// HAProxy look at 16 KiB as well (`preread_buffer_size`, `tune.bufsize`).
pub const HELLO_MAX: usize = 16 * 1024;

/// Bytes of a record's head (RFC 8446, section 5.1).
const RECORD_HEAD: usize = 5;

/// Bytes of a record's content (RFC 8446, section 5.1).
const FRAGMENT_MAX: usize = 1 << 14;

/// ContentType `handshake` (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// HandshakeType `client_hello`, and the bytes of a message's head (RFC 8446, section 4).
const CLIENT_HELLO: u8 = 1;
const MESSAGE_HEAD: usize = 4;

/// Extensions: RFC 6066, section 3, and RFC 7301, section 3.1.
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// How requests begin that were meant for a port without TLS. `PRI` begins HTTP/2 (RFC 9113, section 3.4).
const HTTP: [&[u8]; 10] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"CONNECT ", b"OPTIONS ", b"TRACE ", b"PATCH ", b"PRI * HTTP/2"];

/// What a client says of itself before anything is agreed or secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host it wants (SNI), in lower case and without a trailing dot. `None`: it does not say, or says an address, which is no
    /// name (RFC 6066, section 3).
    pub server_name: Option<String>,
    /// The protocols it speaks, the one it likes best first, such as `h2`.
    pub alpn: Vec<Vec<u8>>,
}

/// Why bytes are no hello. Nothing that could follow would make them one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloFault {
    /// A request in HTTP without TLS.
    #[error("the client speaks plain HTTP")]
    PlainHttp,
    /// Anything else that is not TLS.
    #[error("the client does not speak TLS")]
    NotTls,
    /// It begins as a hello and breaks the rules of one.
    #[error("the client's hello is malformed: {0}")]
    Malformed(&'static str),
    /// More than [`HELLO_MAX`].
    #[error("the client's hello is too long")]
    TooLong,
}

/// Reads the hello at the begin of a client's bytes, in one record or in many (RFC 8446, section 5.1). `None`: it is not complete.
///
/// # Errors
/// [`HelloFault`], as soon as it is certain.
pub fn read(bytes: &[u8]) -> Result<Option<ClientHello>, HelloFault> {
    Reader::default().read(bytes)
}

/// Reads a hello that comes bit by bit: each record is looked at once.
#[derive(Debug, Default)]
pub struct Reader {
    /// Where the first record stands that was not there to its end.
    at: usize,
    /// Bytes of the message in the records before it, and the first of them.
    there: usize,
    head: Vec<u8>,
    #[cfg(test)]
    records: usize,
}

impl Reader {
    /// The same as [`read`], of all bytes so far: those that it was shown before, and more behind them.
    ///
    /// # Errors
    /// [`HelloFault`], as soon as it is certain.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<ClientHello>, HelloFault> {
        match bytes.first() {
            None => return Ok(None),
            Some(&HANDSHAKE) => {}
            Some(_) => return not_tls(bytes),
        }
        let bytes = &bytes[..bytes.len().min(HELLO_MAX)];
        match self.length(bytes)? {
            Some(length) => hello(&put_together(bytes, length)?).map(Some),
            None if bytes.len() < HELLO_MAX => Ok(None),
            None => Err(HelloFault::TooLong),
        }
    }

    /// Bytes of the message, once all of them are there. What follows it, such as early data, is not looked at.
    fn length(&mut self, bytes: &[u8]) -> Result<Option<usize>, HelloFault> {
        let mut fragments = Fragments(&bytes[self.at.min(bytes.len())..]);
        while let Some(fragment) = fragments.next() {
            let Fragment { bytes: fragment, whole } = fragment?;
            #[cfg(test)]
            {
                self.records += 1;
            }
            let known = self.head.len();
            self.head.extend_from_slice(&fragment[..fragment.len().min(MESSAGE_HEAD - known)]);
            let there = self.there + fragment.len();
            if let Some(length) = length(&self.head)?.filter(|length| *length <= there) {
                return Ok(Some(length));
            }
            if !whole {
                // It is looked at again when more of it has come.
                self.head.truncate(known);
                break;
            }
            self.there = there;
            self.at = bytes.len() - fragments.0.len();
        }
        Ok(None)
    }
}

fn not_tls(bytes: &[u8]) -> Result<Option<ClientHello>, HelloFault> {
    if HTTP.iter().any(|begin| bytes.starts_with(begin)) {
        Err(HelloFault::PlainHttp)
    } else if HTTP.iter().any(|begin| begin.starts_with(bytes)) {
        Ok(None)
    } else {
        Err(HelloFault::NotTls)
    }
}

/// Bytes of the whole message, once its head is there.
fn length(head: &[u8]) -> Result<Option<usize>, HelloFault> {
    let length = match *head {
        [] | [CLIENT_HELLO] | [CLIENT_HELLO, _] | [CLIENT_HELLO, _, _] => return Ok(None),
        [CLIENT_HELLO, high, middle, low, ..] => MESSAGE_HEAD + u32::from_be_bytes([0, high, middle, low]) as usize,
        _ => return Err(HelloFault::Malformed("the handshake begins with another message")),
    };
    if length > HELLO_MAX - RECORD_HEAD { Err(HelloFault::TooLong) } else { Ok(Some(length)) }
}

/// The content of the hello, put together from its records.
fn put_together(bytes: &[u8], length: usize) -> Result<Vec<u8>, HelloFault> {
    let mut message = Vec::with_capacity(length);
    for fragment in Fragments(bytes) {
        let fragment = fragment?.bytes;
        message.extend_from_slice(&fragment[..fragment.len().min(length - message.len())]);
        if message.len() == length {
            break;
        }
    }
    message.drain(..MESSAGE_HEAD);
    Ok(message)
}

/// The contents of the records, the last of which may be incomplete.
struct Fragments<'a>(&'a [u8]);

/// The content of a record, and whether all of it is there.
struct Fragment<'a> {
    bytes: &'a [u8],
    whole: bool,
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Result<Fragment<'a>, HelloFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let malformed = |what| Some(Err(HelloFault::Malformed(what)));
        let bytes = std::mem::take(&mut self.0);
        // RFC 8446, section 5.1: nothing may come between the records of one message, and none of them is empty. Its versions are
        // those of a time long gone (section 4.1.2, "legacy_version"); only the first half of it never changes.
        match *bytes {
            [] => return None,
            [kind, ..] if kind != HANDSHAKE => return malformed("a record of another kind stands within it"),
            [_, version, ..] if version != 3 => return malformed("a record's version is none of TLS"),
            _ => {}
        }
        let (head, rest) = bytes.split_at_checked(RECORD_HEAD)?;
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if length == 0 || length > FRAGMENT_MAX {
            return malformed("a record is empty or too long");
        }
        let (bytes, rest) = rest.split_at(length.min(rest.len()));
        self.0 = rest;
        Some(Ok(Fragment { bytes, whole: bytes.len() == length }))
    }
}

/// RFC 8446, section 4.1.2; the same in TLS 1.2 (RFC 5246, section 7.4.1.2), where there may be no extensions.
fn hello(message: &[u8]) -> Result<ClientHello, HelloFault> {
    let mut message = Field(message);
    message.take(2 + 32)?; // legacy_version, random
    message.short()?; // legacy_session_id
    message.long()?; // cipher_suites
    message.short()?; // legacy_compression_methods
    let mut hello = ClientHello::default();
    if message.is_empty() {
        return Ok(hello);
    }
    let mut extensions = message.long()?;
    if !message.is_empty() {
        return Err(HelloFault::Malformed("it does not end with its extensions"));
    }
    let (mut named, mut speaks) = (false, false);
    while !extensions.is_empty() {
        let (kind, content) = (extensions.number()?, extensions.long()?);
        let seen = match kind {
            SERVER_NAME => &mut named,
            ALPN => &mut speaks,
            _ => continue,
        };
        // RFC 8446, section 4.2.
        if std::mem::replace(seen, true) {
            return Err(HelloFault::Malformed("an extension is there twice"));
        }
        match kind {
            SERVER_NAME => hello.server_name = server_name(content)?,
            _ => hello.alpn = protocols(content)?,
        }
    }
    Ok(hello)
}

/// RFC 6066, section 3: a list of names of several kinds, no kind twice, and there has never been but one.
fn server_name(mut content: Field<'_>) -> Result<Option<String>, HelloFault> {
    let mut list = content.long()?;
    let mut found = None;
    while !list.is_empty() {
        let (kind, name) = (list.take(1)?, list.long()?);
        if kind == [0] && found.replace(name).is_some() {
            return Err(HelloFault::Malformed("it names two hosts"));
        }
    }
    if !content.is_empty() {
        return Err(HelloFault::Malformed("something stands behind the names"));
    }
    let Some(Field(name)) = found else { return Err(HelloFault::Malformed("it names no host")) };
    host_name(name)
}

/// Letters, digits, hyphens, underscores and dots: what is no name of a host must not become one that a route or a log takes for one.
fn host_name(name: &[u8]) -> Result<Option<String>, HelloFault> {
    let wrong = HelloFault::Malformed("the host's name is none");
    let text = std::str::from_utf8(name).map_err(|_| wrong)?;
    // RFC 6066, section 3, does not permit it, and some clients do it.
    if text.parse::<IpAddr>().is_ok() {
        return Ok(None);
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // 253: RFC 1035, section 2.3.4, without the lengths and the root on the wire.
    let good = text.len() <= 253 && text.split('.').all(label);
    if good { Ok(Some(text.to_ascii_lowercase())) } else { Err(wrong) }
}

/// RFC 7301, section 3.1: at least one, and none of them empty.
fn protocols(mut content: Field<'_>) -> Result<Vec<Vec<u8>>, HelloFault> {
    let mut list = content.long()?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        let Field(protocol) = list.short()?;
        if protocol.is_empty() {
            return Err(HelloFault::Malformed("a protocol has no name"));
        }
        protocols.push(protocol.to_vec());
    }
    if protocols.is_empty() || !content.is_empty() {
        return Err(HelloFault::Malformed("its list of protocols is empty or not alone"));
    }
    Ok(protocols)
}

/// A part of a message, of which parts are taken. "Short" and "long" are vectors with a length of one and of two bytes (RFC 8446,
/// section 3.4).
#[derive(Clone, Copy)]
struct Field<'a>(&'a [u8]);

impl<'a> Field<'a> {
    fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], HelloFault> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(HelloFault::Malformed("a length in it is wrong"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, HelloFault> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn short(&mut self) -> Result<Self, HelloFault> {
        let length = self.take(1)?[0];
        self.take(length.into()).map(Self)
    }

    fn long(&mut self) -> Result<Self, HelloFault> {
        let length = self.number()?;
        self.take(length.into()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello with an extension of this size and nothing else, in records of that size.
    fn records(extension: u16, size: usize) -> Vec<u8> {
        let content = vec![0; extension.into()];
        let extensions = [&[0xff, 0xff][..], &extension.to_be_bytes(), &content].concat();
        let length = u16::try_from(extensions.len()).unwrap().to_be_bytes();
        let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &length, &extensions].concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[CLIENT_HELLO][..], &length[1..], &body].concat();
        let record = |part: &[u8]| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&[HANDSHAKE, 3, 1][..], &length, part].concat()
        };
        message.chunks(size).flat_map(record).collect()
    }

    #[test]
    fn a_hello_that_comes_byte_by_byte_costs_no_more_for_each_byte_and_says_the_same() {
        for (extension, size) in [(600, 1), (900, 2), (2500, 7), (15_000, 16_000)] {
            let bytes = records(extension, size);
            let mut reader = Reader::default();
            for end in 0..bytes.len() {
                assert_eq!(reader.read(&bytes[..end]), read(&bytes[..end]), "{end} of {size}");
                assert_eq!(reader.read(&bytes[..end]), Ok(None), "{end} of {size}");
            }
            assert_eq!(reader.read(&bytes), Ok(Some(ClientHello::default())));
            // Each of them twice here, whole and in part.
            assert!(reader.records <= 4 * bytes.len(), "{} records for {} bytes", reader.records, bytes.len());
        }
    }
}

//! Reads header blocks (RFC 7541) as far as must be known to judge them: what each name is and which text is no field.
//!
//! `h2` decodes the same blocks behind us, and its table must stay what the peer takes it for. So a malformed block is not taken out: what `h2`
//! would end the connection for is replaced by text of the same length, which makes entries of the same size, and a field is added for which
//! `h2` resets the stream. Of our table only the sizes and what must be known of names are kept.

use super::huffman;
use std::{borrow::Cow, collections::VecDeque};

/// What each of us allows the peer's table to have (RFC 9113, section 6.5.2): the default.
const TABLE_MAX: usize = 4096;
/// RFC 7541, section 4.1.
const ENTRY: usize = 32;
/// A field of a connection, as a literal that no table remembers: `h2` resets the stream for it (RFC 9113, section 8.2.2).
const MALFORMED: &[u8] = b"\x00\x0aconnection\x00";

/// RFC 7541, appendix A.
#[rustfmt::skip]
const STATIC: [&str; 61] = [
    ":authority", ":method", ":method", ":path", ":path", ":scheme", ":scheme", ":status", ":status", ":status", ":status", ":status",
    ":status", ":status", "accept-charset", "accept-encoding", "accept-language", "accept-ranges", "accept",
    "access-control-allow-origin", "age", "allow", "authorization", "cache-control", "content-disposition", "content-encoding",
    "content-language", "content-length", "content-location", "content-range", "content-type", "cookie", "date", "etag", "expect",
    "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified",
    "link", "location", "max-forwards", "proxy-authenticate", "proxy-authorization", "range", "referer", "refresh", "retry-after",
    "server", "set-cookie", "strict-transport-security", "transfer-encoding", "user-agent", "vary", "via", "www-authenticate",
];
/// Of those that the static table has without a value, the one that needs one.
const CONTENT_LENGTH_INDEX: usize = 28;

/// Which messages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Requests,
    Answers,
}

/// The block cannot be decoded (RFC 9113, section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Status,
    ContentLength,
    Te,
    Field,
    /// No name, or one that only HTTP/1 has (RFC 9113, section 8.2.2).
    Bad,
}

impl Name {
    fn of(text: &[u8]) -> Self {
        match text {
            b":method" => Self::Method,
            b":status" => Self::Status,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            b"content-length" => Self::ContentLength,
            b"te" => Self::Te,
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => Self::Bad,
            // RFC 9113, section 8.2.1: a token, in lower case.
            _ if !text.is_empty() && text.iter().all(|byte| is_token(*byte) && !byte.is_ascii_uppercase()) => {
                Self::Field
            }
            _ => Self::Bad,
        }
    }

    /// Whether `h2` can read such a value of it.
    fn takes(self, value: &[u8]) -> bool {
        match self {
            Self::Method => !value.is_empty() && value.iter().all(|byte| is_token(*byte)),
            Self::Status => matches!(value, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9']),
            Self::Scheme | Self::Authority | Self::Path | Self::Protocol => std::str::from_utf8(value).is_ok(),
            // RFC 9110, section 5.5.
            Self::ContentLength | Self::Te | Self::Field => {
                value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
            }
            Self::Bad => false,
        }
    }

    /// A value of this length that `h2` can read.
    fn harmless(self, length: usize) -> Option<Vec<u8>> {
        let value = match self {
            Self::Status => b"200".to_vec(),
            _ => vec![b'x'; length],
        };
        (value.len() == length && self.takes(&value)).then_some(value)
    }

    /// Whether a value that can be read is none of it: RFC 9110, section 8.6 (`h2` takes nothing for zero), and RFC 9113, section 8.2.2.
    fn refuses(self, value: &[u8]) -> bool {
        match self {
            Self::ContentLength => value.is_empty(),
            Self::Te => value != b"trailers",
            _ => false,
        }
    }

    /// Which messages have it, if it is a pseudo-field.
    fn side(self) -> Option<Side> {
        match self {
            Self::Method | Self::Scheme | Self::Authority | Self::Path | Self::Protocol => Some(Side::Requests),
            Self::Status => Some(Side::Answers),
            Self::ContentLength | Self::Te | Self::Field | Self::Bad => None,
        }
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What is known of an entry of the table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Name,
    name_length: usize,
    /// As in the table of the peer.
    size: usize,
    /// The field is malformed.
    bad: bool,
}

impl Entry {
    /// Of the static table.
    fn fixed(index: usize) -> Option<Self> {
        let name = STATIC.get(index.checked_sub(1)?)?;
        // Of those with an empty value only this may not be.
        let bad = index == CONTENT_LENGTH_INDEX;
        Some(Self { name: Name::of(name.as_bytes()), name_length: name.len(), size: 0, bad })
    }
}

/// The fields that one peer sends.
#[derive(Debug)]
pub(super) struct Fields {
    side: Side,
    table: VecDeque<Entry>,
    size: usize,
    max: usize,
}

/// A block while it is read.
struct Reading<'b> {
    block: &'b [u8],
    at: usize,
    malformed: bool,
    /// A bit for each pseudo-field that has come, and whether another field has.
    pseudo: u16,
    regular: bool,
}

impl Fields {
    pub(super) fn of(side: Side) -> Self {
        Self { side, table: VecDeque::new(), size: 0, max: TABLE_MAX }
    }

    /// Reads the next block; what `h2` is to read instead, if it is malformed.
    pub(super) fn read(&mut self, block: &[u8], trailers: bool) -> Result<Option<Vec<u8>>, Undecodable> {
        let mut reading = Reading { block, at: 0, malformed: false, pseudo: 0, regular: false };
        let mut instead: Option<Vec<u8>> = None;
        let mut first = true;
        while let Some(&kind) = block.get(reading.at) {
            let start = reading.at;
            let replaced = if kind & 0xe0 == 0x20 {
                // RFC 7541, section 4.2: only before all fields.
                let max = reading.number(5).filter(|max| first && *max <= TABLE_MAX).ok_or(Undecodable)?;
                self.resize(max);
                None
            } else {
                first = false;
                self.field(kind, &mut reading, trailers)?
            };
            if replaced.is_some() && instead.is_none() {
                instead = Some(block[..start].to_vec());
            }
            if let Some(instead) = &mut instead {
                instead.extend_from_slice(replaced.as_deref().unwrap_or(&block[start..reading.at]));
            }
        }
        Ok(reading.malformed.then(|| {
            let mut instead = instead.unwrap_or_else(|| block.to_vec());
            instead.extend_from_slice(MALFORMED);
            instead
        }))
    }

    /// One field; what `h2` is to read instead, if it cannot read this.
    fn field(&mut self, kind: u8, reading: &mut Reading<'_>, trailers: bool) -> Result<Option<Vec<u8>>, Undecodable> {
        if kind & 0x80 != 0 {
            let entry = reading.number(7).and_then(|index| self.entry(index)).ok_or(Undecodable)?;
            reading.malformed |= entry.bad;
            reading.comes(entry.name, self.side, trailers);
            return Ok(None);
        }
        let start = reading.at;
        let indexed = kind & 0x40 != 0;
        let index = reading.number(if indexed { 6 } else { 4 }).ok_or(Undecodable)?;
        let (name, name_length) = match index {
            0 => {
                let text = reading.text().ok_or(Undecodable)?;
                (Name::of(&text), text.len())
            }
            _ => self.entry(index).map(|entry| (entry.name, entry.name_length)).ok_or(Undecodable)?,
        };
        let head = &reading.block[start..reading.at];
        let value = reading.text().ok_or(Undecodable)?;
        let readable = name.takes(&value);
        let bad = !readable || name.refuses(&value);
        reading.malformed |= bad;
        reading.comes(name, self.side, trailers);
        let (mut known, mut instead) = (name, None);
        if !readable {
            instead = Some(match name.harmless(value.len()) {
                Some(harmless) => written(head, &harmless),
                None => {
                    known = Name::Bad;
                    nameless(indexed, name_length, value.len()).ok_or(Undecodable)?
                }
            });
        }
        if indexed {
            let size = name_length + value.len() + ENTRY;
            self.insert(Entry { name: known, name_length, size, bad });
        }
        Ok(instead)
    }

    fn entry(&self, index: usize) -> Option<Entry> {
        Entry::fixed(index).or_else(|| self.table.get(index.checked_sub(STATIC.len() + 1)?).copied())
    }

    /// RFC 7541, section 4.4.
    fn insert(&mut self, entry: Entry) {
        self.shrink(self.max.saturating_sub(entry.size));
        if entry.size <= self.max {
            self.size += entry.size;
            self.table.push_front(entry);
        }
    }

    fn resize(&mut self, max: usize) {
        self.max = max;
        self.shrink(max);
    }

    fn shrink(&mut self, size: usize) {
        while self.size > size
            && let Some(entry) = self.table.pop_back()
        {
            self.size -= entry.size;
        }
    }
}

impl<'b> Reading<'b> {
    /// A field of this name. RFC 9113, section 8.3: pseudo-fields come first, once, and in their messages. `h2` drops those of trailers.
    fn comes(&mut self, name: Name, side: Side, trailers: bool) {
        let Some(of) = name.side() else {
            self.regular = true;
            self.malformed |= name == Name::Bad;
            return;
        };
        let bit = 1 << name as u16;
        self.malformed |= self.regular || self.pseudo & bit != 0 || (!trailers && side != of);
        self.pseudo |= bit;
    }

    /// An integer behind so many bits of a prefix (RFC 7541, section 5.1). No more than 28 bits, as in `h2`.
    fn number(&mut self, prefix: u32) -> Option<usize> {
        let most = (1_usize << prefix) - 1;
        let mut number = usize::from(*self.block.get(self.at)?) & most;
        self.at += 1;
        if number < most {
            return Some(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(*self.block.get(self.at)?);
            self.at += 1;
            number += (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A string (section 5.2).
    fn text(&mut self) -> Option<Cow<'b, [u8]>> {
        let coded = *self.block.get(self.at)? & 0x80 != 0;
        let length = self.number(7)?;
        let bytes = self.block.get(self.at..)?.get(..length)?;
        self.at += length;
        if !coded {
            return Some(Cow::Borrowed(bytes));
        }
        let mut text = Vec::with_capacity(length * 2);
        huffman::decode(bytes, &mut text)?;
        Some(Cow::Owned(text))
    }
}

/// A field with the name in `head`, which says too whether a table remembers it.
fn written(head: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = head.to_vec();
    write(value, &mut field);
    field
}

/// A field that stands for one with a name that `h2` cannot read, or a value for which there is no harmless one of that length. `None`: an entry
/// without a byte, which no other field can be.
fn nameless(indexed: bool, name_length: usize, value_length: usize) -> Option<Vec<u8>> {
    // A name has a byte at least. It is taken from the value.
    let taken = usize::from(name_length == 0 && value_length > 0);
    if indexed && name_length + taken == 0 {
        return None;
    }
    let mut field = vec![if indexed { 0x40 } else { 0 }];
    write(&vec![b'x'; (name_length + taken).max(1)], &mut field);
    write(&vec![b'x'; value_length - taken], &mut field);
    Some(field)
}

/// A string as it is.
fn write(text: &[u8], block: &mut Vec<u8>) {
    const MOST: usize = 0x7f;
    let low = |number: usize| u8::try_from(number & 0x7f).unwrap_or(0);
    let mut length = text.len();
    if length < MOST {
        block.push(low(length));
    } else {
        block.push(0x7f);
        length -= MOST;
        while length >= 0x80 {
            block.push(low(length) | 0x80);
            length >>= 7;
        }
        block.push(low(length));
    }
    block.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(kind: u8, name: &str, value: &str) -> Vec<u8> {
        let mut field = vec![kind];
        write(name.as_bytes(), &mut field);
        write(value.as_bytes(), &mut field);
        field
    }

    const HEAD: &[u8] = &[0x82, 0x84, 0x86];

    #[test]
    fn a_good_block_is_left_alone() {
        let mut fields = Fields::of(Side::Requests);
        let block = [HEAD, &literal(0, ":authority", "a.test"), &literal(0x40, "x-a", "b c"), &[0x80 | 62]].concat();
        assert_eq!(fields.read(&block, false), Ok(None));
        assert_eq!((fields.table.len(), fields.size), (1, 38));
        assert_eq!(fields.read(&[0x3f, 0xe1, 0x1f], false), Ok(None), "a table of 4096");
        assert_eq!(fields.read(&[0x20], false), Ok(None));
        assert_eq!(fields.size, 0, "a table of nothing");
    }

    #[test]
    fn what_makes_a_request_malformed_is_marked_and_what_cannot_be_read_is_replaced() {
        for (name, value, readable) in [
            ("X-A", "b", false),
            ("", "b", false),
            (":other", "b", false),
            ("x a", "b", false),
            ("x-a", "b\nc", false),
            ("x-a", "b\x7f", false),
            (":method", "GET?", false),
            (":method", "", false),
            ("connection", "close", false),
            ("te", "gzip", true),
            (":status", "200", true),
            (":path", "/", true),
            ("content-length", "", true),
        ] {
            for kind in [0, 0x10, 0x40] {
                let mut fields = Fields::of(Side::Requests);
                let block = [HEAD, &literal(kind, name, value)].concat();
                let instead = fields.read(&block, false).unwrap().expect("it is malformed");
                assert!(instead.ends_with(MALFORMED), "{name}: {value}");
                assert_eq!(instead.starts_with(&block), readable, "{name}: {value}");
                // What is read instead has the same size in a table.
                let mut behind = Fields::of(Side::Requests);
                behind.read(&instead[..instead.len() - MALFORMED.len()], false).unwrap();
                assert_eq!(behind.size, fields.size, "{name}: {value}");
            }
        }
    }

    #[test]
    fn a_field_in_the_table_stays_what_it_was() {
        let mut fields = Fields::of(Side::Requests);
        let block = [HEAD, &literal(0x40, "X-A", "b"), &literal(0x40, ":method", "GET?")].concat();
        assert!(fields.read(&block, false).unwrap().is_some());
        for (reference, good) in [
            (vec![0x80 | 62], false),
            (vec![0x80 | 63], false),
            // The name of the one with a bad value is good, and the other's is not.
            ([&[0x0f, 47][..], b"\x03PUT"].concat(), true),
            ([&[0x0f, 48][..], b"\x01b"].concat(), false),
        ] {
            assert_eq!(fields.read(&reference, false).unwrap().is_none(), good, "{reference:?}");
        }
    }

    #[test]
    fn an_answer_has_no_pseudo_fields_of_requests_nor_a_request_those_of_answers() {
        for (side, trailers, block, good) in [
            (Side::Answers, false, vec![0x88], true),
            (Side::Answers, false, vec![0x88, 0x82], false),
            (Side::Answers, false, [&[0x88][..], &literal(0, ":path", "/")].concat(), false),
            (Side::Requests, false, vec![0x82], true),
            (Side::Requests, false, vec![0x82, 0x88], false),
            (Side::Requests, false, vec![0x82, 0x83], false),
            (Side::Requests, false, [&literal(0, "x-a", "1")[..], &[0x82]].concat(), false),
            (Side::Requests, true, vec![0x82, 0x88], true),
            (Side::Requests, true, literal(0, "x-sum", "1"), true),
        ] {
            assert_eq!(Fields::of(side).read(&block, trailers).unwrap().is_none(), good, "{block:?}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_told_apart() {
        for block in [
            // No such entry, in one table or the other.
            &[0x80][..],
            &[0x80 | 62],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            // Cut off, or no end of a string.
            &[0x00, 5, b'x'],
            &[0x00, 0x81, 0x00, 0x00],
            // Larger than we allow, or behind a field.
            &[0x3f, 0xe2, 0x1f],
            &[0x82, 0x20],
        ] {
            assert_eq!(Fields::of(Side::Requests).read(block, false), Err(Undecodable), "{block:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_its_table_is_bounded(blocks: Vec<Vec<u8>>) {
            let mut fields = Fields::of(Side::Answers);
            for block in &blocks {
                let _ = fields.read(block, false);
                assert!(fields.size <= TABLE_MAX);
            }
        }
    }
}

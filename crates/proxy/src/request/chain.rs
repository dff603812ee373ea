//! The proxies in front of us: who asked, as trusted ones tell it, and what the endpoint is told.
//!
//! Two forms, `X-Forwarded-*` and `Forwarded` (RFC 7239). Only the configured one is read and written; the other is removed, whoever
//! sent it: a chain that does not end with our own peer would let anybody speak for a client.

use super::{Exchange, alike, target::is_authority};
use crate::connection::ClientConnection;
use evenkeel_model::{Config, Forwarded, RedirectScheme};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::{borrow::Cow, net::IpAddr};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static HTTP: HeaderValue = HeaderValue::from_static("http");
static HTTPS: HeaderValue = HeaderValue::from_static("https");

/// The client's address as trusted proxies tell it: the chain is walked from the right, and the first address that is no trusted
/// proxy is the client. What stands further left could be anybody's invention; so could what stands left of an entry that is no
/// address.
pub(crate) fn client(headers: &HeaderMap, config: &Config) -> Option<IpAddr> {
    if config.forwarded.is_x() {
        let lines: Vec<_> = headers.get_all(&X_FORWARDED_FOR).iter().collect();
        let entries = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
        furthest(entries.map(|entry| std::str::from_utf8(entry).ok().and_then(|text| address(text.trim()))), config)
    } else {
        let lines: Vec<_> = headers.get_all(header::FORWARDED).iter().collect();
        furthest(lines.iter().rev().flat_map(|line| read(line).into_iter().rev()).map(|element| element.node), config)
    }
}

/// What a client has asked for, as far as that is known here: the only answer to the question for scheme, host and port.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) scheme: RedirectScheme,
    /// `host[:port]`; empty in HTTP/1.0 without a Host.
    pub(crate) host: Cow<'a, str>,
}

impl<'a> Asked<'a> {
    /// Read from a head that is prepared, which says what a trusted proxy said of these, or what we say ourselves. What is no scheme or no
    /// host is not believed.
    pub(crate) fn of(headers: &'a HeaderMap, exchange: &Exchange) -> Self {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        let connection = exchange.connection();
        let scheme = connection.map_or(RedirectScheme::Http, |connection| spoken(connection));
        let mut asked = Self { scheme, host: Cow::Borrowed(host) };
        let snapshot = exchange.snapshot();
        let config = snapshot.shared().config();
        if connection.is_none() {
            // Then nothing has been prepared.
            return asked;
        }
        if config.forwarded.is_x() {
            asked.hear(last(headers, &X_FORWARDED_PROTO), last(headers, &X_FORWARDED_HOST));
            return asked;
        }
        // Each proxy tells what it was asked itself (RFC 7239, section 5), so the one that the client has asked has the last word.
        let lines: Vec<_> = headers.get_all(header::FORWARDED).iter().collect();
        for element in lines.iter().rev().flat_map(|line| read(line).into_iter().rev()) {
            asked.hear(element.proto, element.host);
            if !element.node.is_some_and(|node| config.trusts(node)) {
                break;
            }
        }
        asked
    }

    fn hear(&mut self, scheme: Option<Cow<'a, str>>, host: Option<Cow<'a, str>>) {
        match scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => self.scheme = RedirectScheme::Https,
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => self.scheme = RedirectScheme::Http,
            _ => {}
        }
        if let Some(host) = host.filter(|host| is_authority(host.as_bytes())) {
            self.host = host;
        }
    }
}

/// The scheme of our client's own connection.
fn spoken(connection: &ClientConnection) -> RedirectScheme {
    if connection.tls().is_some() { RedirectScheme::Https } else { RedirectScheme::Http }
}

/// The last entry of a list: the one that our peer has written, if others before it have left theirs.
fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let line = headers.get_all(name).iter().next_back()?;
    line.to_str().ok()?.rsplit(',').next().map(|entry| Cow::Borrowed(entry.trim()))
}

/// Of a chain from its right end.
fn furthest(chain: impl Iterator<Item = Option<IpAddr>>, config: &Config) -> Option<IpAddr> {
    let mut furthest = None;
    for address in chain.map_while(|entry| entry) {
        furthest = Some(address);
        if !config.trusts(address) {
            break;
        }
    }
    furthest
}

/// An address, alone or with a port, as proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|a| a.ip()));
    address.map(|address| address.to_canonical())
}

/// What an element of a `Forwarded` line says (RFC 7239, section 4).
#[derive(Debug, Default)]
struct Element<'a> {
    /// It has a `for`; and that is an address, neither `unknown` nor obfuscated.
    named: bool,
    node: Option<IpAddr>,
    host: Option<Cow<'a, str>>,
    proto: Option<Cow<'a, str>>,
}

/// The elements of a line. One that breaks the grammar says nothing, and nothing that stands left of it counts.
fn read(line: &HeaderValue) -> Vec<Element<'_>> {
    elements(line.as_bytes()).unwrap_or_else(|| vec![Element::default()])
}

/// `None` for a line that breaks the grammar.
fn elements(line: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut rest = std::str::from_utf8(line).ok()?.trim_start_matches(BLANKS);
    let mut elements = vec![Element::default()];
    loop {
        let name = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
        if name > 0 {
            let (value, after) = value(rest[name..].strip_prefix('=')?)?;
            elements.last_mut()?.take(&rest[..name], value)?;
            rest = after;
        }
        rest = rest.trim_start_matches(BLANKS);
        match rest.bytes().next() {
            None => return Some(elements),
            Some(b';') => {}
            Some(b',') => elements.push(Element::default()),
            Some(_) => return None,
        }
        rest = rest[1..].trim_start_matches(BLANKS);
    }
}

impl<'a> Element<'a> {
    /// `None`: the parameter is there already, which breaks the grammar (section 4).
    fn take(&mut self, name: &str, value: Cow<'a, str>) -> Option<()> {
        let again = if name.eq_ignore_ascii_case("for") {
            self.node = address(&value);
            std::mem::replace(&mut self.named, true)
        } else if name.eq_ignore_ascii_case("host") {
            self.host.replace(value).is_some()
        } else if name.eq_ignore_ascii_case("proto") {
            self.proto.replace(value).is_some()
        } else {
            false
        };
        (!again).then_some(())
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// RFC 9110, section 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// A token or a quoted string (RFC 9110, section 5.6.4), and what follows it.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
        return (end > 0).then(|| (Cow::Borrowed(&text[..end]), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

/// What a head has of what proxies say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// `Forwarded`.
    pub(super) forwarded: bool,
    /// Others of the family than the three that we write: `X-Forwarded-Port`, `X-Real-IP` and the like.
    pub(super) others: bool,
    /// A name with `_`.
    pub(super) underscore: bool,
}

impl Told {
    /// Whether a name is one of the others. No standard has them all; endpoints believe many.
    pub(super) fn is_other(name: &str) -> bool {
        match alike::behind(name, "x-forwarded-") {
            Some(what) => !matches!(what, "for" | "proto" | "host"),
            None => alike::are(name, "x-real-ip"),
        }
    }
}

/// Whether a field says, to any endpoint, by which way a request came.
pub(super) fn is_of_the_way(name: &str) -> bool {
    alike::behind(name, "x-forwarded-").is_some() || alike::are(name, "x-real-ip") || name == "forwarded"
}

/// Tells the endpoint who asked. What a client says of those before it is kept only if it is itself a trusted proxy.
pub(super) fn tell(headers: &mut HeaderMap, form: Forwarded, told: Told, exchange: &Exchange) {
    let Some(connection) = exchange.connection() else { return };
    let trusted = exchange.trusts_peer();
    let Told { forwarded, others, underscore } = told;
    if others && !trusted {
        let others: Vec<_> = headers.keys().filter(|name| Told::is_other(name.as_str())).cloned().collect();
        for name in others {
            headers.remove(name);
        }
    }
    if form.is_rfc7239() {
        let element = element(connection, headers.get(header::HOST));
        append(headers, &header::FORWARDED, &element, trusted && forwarded);
    } else if forwarded {
        headers.remove(header::FORWARDED);
    }
    if underscore && !(trusted && form.is_x()) {
        // Not the fields themselves alone: see `alike`.
        for name in [&X_FORWARDED_FOR, &X_FORWARDED_PROTO, &X_FORWARDED_HOST] {
            alike::remove(headers, name);
        }
    }
    if form.is_x() {
        tell_x(headers, connection, trusted);
    } else {
        for name in [&X_FORWARDED_FOR, &X_FORWARDED_PROTO, &X_FORWARDED_HOST] {
            headers.remove(name);
        }
    }
}

fn tell_x(headers: &mut HeaderMap, connection: &ClientConnection, trusted: bool) {
    let chained = trusted && headers.contains_key(&X_FORWARDED_FOR);
    append(headers, &X_FORWARDED_FOR, connection.forwarded_for(), chained);
    if !trusted || !headers.contains_key(&X_FORWARDED_PROTO) {
        let scheme = match spoken(connection) {
            RedirectScheme::Https => &HTTPS,
            RedirectScheme::Http => &HTTP,
        };
        headers.insert(&X_FORWARDED_PROTO, scheme.clone());
    }
    if !trusted || !headers.contains_key(&X_FORWARDED_HOST) {
        match headers.get(header::HOST).cloned() {
            Some(host) => headers.insert(&X_FORWARDED_HOST, host),
            None => headers.remove(&X_FORWARDED_HOST),
        };
    }
}

/// Writes one line: `last`, behind what the lines there say if that is `chained`.
fn append(headers: &mut HeaderMap, name: &HeaderName, last: &HeaderValue, chained: bool) {
    let value = if chained {
        let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let all = lines.chain([last.as_bytes()]).collect::<Vec<_>>().join(&b", "[..]);
        // Made of valid values, so it is one.
        HeaderValue::from_bytes(&all).unwrap_or_else(|_| last.clone())
    } else {
        last.clone()
    };
    headers.insert(name, value);
}

/// Our element of `Forwarded` (RFC 7239, section 5). `by` is left out: it would tell endpoints nothing but our address.
fn element(connection: &ClientConnection, host: Option<&HeaderValue>) -> HeaderValue {
    let peer = connection.forwarded_for().to_str().unwrap_or("unknown");
    // Section 6: a v6 address stands in brackets, and with them in quotes.
    let peer = if peer.contains(':') { format!("\"[{peer}]\"") } else { peer.to_owned() };
    // A checked host has neither quotes nor backslashes.
    let host = host.and_then(|host| host.to_str().ok()).map(|host| match host.chars().all(is_token) {
        true => format!(";host={host}"),
        false => format!(";host=\"{host}\""),
    });
    let scheme = match spoken(connection) {
        RedirectScheme::Https => "https",
        RedirectScheme::Http => "http",
    };
    let element = format!("for={peer}{};proto={scheme}", host.unwrap_or_default());
    HeaderValue::try_from(element).expect("made of field values")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(line: &str) -> Option<Vec<String>> {
        let text = |node: Option<IpAddr>| node.map_or_else(|| "-".to_owned(), |address| address.to_string());
        Some(elements(line.as_bytes())?.into_iter().map(|element| text(element.node)).collect())
    }

    #[test]
    fn an_element_says_what_was_asked_and_of_whom() {
        let line = b"for=10.0.0.1;Host=\"a.test:81\";proto=https, by=x;proto=http;host=b.test";
        let said: Vec<_> = elements(line).unwrap().into_iter().map(|e| (e.proto.unwrap(), e.host.unwrap())).collect();
        assert_eq!(said, [("https".into(), "a.test:81".into()), ("http".into(), "b.test".into())]);
    }

    #[test]
    fn the_examples_of_rfc_7239_are_read() {
        for (line, expected) in [
            ("for=\"_gazonk\"", &["-"][..]),
            ("For=\"[2001:db8:cafe::17]:4711\"", &["2001:db8:cafe::17"]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", &["192.0.2.60"]),
            ("for=192.0.2.43, for=198.51.100.17", &["192.0.2.43", "198.51.100.17"]),
            ("for=_hidden, for=_SEVKISEK", &["-", "-"]),
            ("for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown", &["192.0.2.43", "2001:db8:cafe::17", "-"]),
            ("for=192.0.2.43,   for=\"[2001:db8:cafe::17]\";by=x", &["192.0.2.43", "2001:db8:cafe::17"]),
            ("proto=https", &["-"]),
            ("for=\"192.0.2.43:47011\"", &["192.0.2.43"]),
            ("for=\"1\\92.0.2.43\"", &["192.0.2.43"]),
            (";;for=10.0.0.1;", &["10.0.0.1"]),
        ] {
            assert_eq!(nodes(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn a_comma_in_quotes_hides_no_element_and_makes_none() {
        assert_eq!(nodes("host=\"a,for=6.6.6.6\";for=10.0.0.1").unwrap(), ["10.0.0.1"]);
        assert_eq!(nodes("host=\"a\\\",for=6.6.6.6\";for=10.0.0.1").unwrap(), ["10.0.0.1"]);
    }

    #[test]
    fn a_line_that_breaks_the_grammar_says_nothing() {
        for line in [
            "for",
            "for=",
            "for=\"1",
            "for=1.1.1.1 for=2.2.2.2",
            "for=1.1.1.1;for=2.2.2.2",
            "=x",
            "for=\"\\",
            "for=é",
            "host=a;host=a",
            "proto=http;Proto=http",
        ] {
            assert_eq!(nodes(line), None, "{line}");
        }
    }
}

//! Version 1: one line of text (section 2.1).

use super::header::{Announced, Header, HeaderFault, in_one_family};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How every line begins.
pub(super) const BEGIN: &[u8] = b"PROXY ";

/// Bytes of the longest line, its CRLF included (section 2.1, "worst case").
const LINE_MAX: usize = 107;

/// Reads a line that begins with [`BEGIN`], as far as it goes.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderFault> {
    let bytes = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = end_of_line(bytes)? else {
        return if bytes.len() < LINE_MAX { Ok(None) } else { Err(HeaderFault::TooLong) };
    };
    let announced = announced(&bytes[BEGIN.len()..end])?;
    Ok(Some(Header { announced, length: end + 2 }))
}

/// Where the CRLF is. Neither of its bytes may stand alone (section 2.1: neither ends the line, and no field has one).
fn end_of_line(bytes: &[u8]) -> Result<Option<usize>, HeaderFault> {
    let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return Ok(None) };
    match bytes[end..] {
        [b'\r', b'\n', ..] => Ok(Some(end)),
        [b'\r'] => Ok(None),
        _ => Err(HeaderFault::Malformed("its line does not end with CRLF")),
    }
}

fn announced(fields: &[u8]) -> Result<Announced, HeaderFault> {
    // Section 2.1: whatever else is in such a line must be ignored.
    if fields == b"UNKNOWN" || fields.starts_with(b"UNKNOWN ") {
        return Ok(Announced::Unknown);
    }
    let fields = std::str::from_utf8(fields).map_err(|_| HeaderFault::Malformed("it is not ASCII"))?;
    let mut fields = fields.split(' ');
    let ip = match fields.next() {
        Some("TCP4") => |text: &str| text.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
        Some("TCP6") => |text: &str| text.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
        _ => return Err(HeaderFault::Malformed("its protocol is neither TCP4 nor TCP6 nor UNKNOWN")),
    };
    let mut address = || fields.next().and_then(ip).ok_or(HeaderFault::Malformed("an address is wrong"));
    let (source, destination) = (address()?, address()?);
    let mut port = || fields.next().and_then(port).ok_or(HeaderFault::Malformed("a port is wrong"));
    let (source_port, destination_port) = (port()?, port()?);
    if fields.next().is_some() {
        return Err(HeaderFault::Malformed("it has too many fields"));
    }
    Ok(Announced::Ip {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

/// Section 2.1: decimal, without leading zeroes.
fn port(text: &str) -> Option<u16> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    plain.then(|| text.parse().ok()).flatten()
}

pub(super) fn write(announced: Announced) -> Vec<u8> {
    let Announced::Ip { source, destination } = announced else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let (source, destination) = in_one_family(source, destination);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::{parse, write};
    use super::*;
    use evenkeel_model::ProxyProtocol;

    fn said(line: &str) -> Result<Announced, HeaderFault> {
        parse(line.as_bytes()).map(|header| header.expect("the line is whole").announced)
    }

    fn ip(source: &str, destination: &str) -> Announced {
        Announced::Ip { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn the_lines_of_the_specification_are_read() {
        let line = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
        assert_eq!(said(line), Ok(ip("192.168.0.1:56324", "192.168.0.11:443")));
        let header = parse(format!("{line}GET / HTTP/1.1\r\n").as_bytes()).unwrap().unwrap();
        assert_eq!(header.length, line.len());
        assert_eq!(said("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), Ok(ip("[2001:db8::1]:0", "[::1]:65535")));
        assert_eq!(said("PROXY UNKNOWN\r\n"), Ok(Announced::Unknown));
        assert_eq!(parse(b"PROXY UNKNOWN \xff\0\r\n").map(|header| header.unwrap().length), Ok(18));
        let eights = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let worst = format!("PROXY UNKNOWN {eights} {eights} 65535 65535\r\n");
        assert_eq!((worst.len(), said(&worst)), (LINE_MAX, Ok(Announced::Unknown)));
    }

    #[test]
    fn what_does_not_match_exactly_is_refused() {
        for line in [
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
            "PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
            "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY \u{e4}\r\n",
            "PROXY \r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rX",
        ] {
            assert!(matches!(parse(line.as_bytes()), Err(HeaderFault::Malformed(_))), "{line:?}");
        }
        for line in ["GET / HTTP/1.1\r\n", "proxy TCP4", "PROXYTCP4", "\n"] {
            assert_eq!(parse(line.as_bytes()), Err(HeaderFault::Missing), "{line:?}");
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_refused_at_its_108th_byte() {
        let mut endless = b"PROXY UNKNOWN ".to_vec();
        endless.resize(LINE_MAX - 1, b'x');
        assert_eq!(parse(&endless), Ok(None));
        endless.push(b'\r');
        assert_eq!(parse(&endless), Err(HeaderFault::TooLong));
        endless.push(b'\n');
        assert_eq!(parse(&endless), Err(HeaderFault::TooLong));
    }

    #[test]
    fn addresses_of_two_families_are_written_in_one() {
        let line = |announced| String::from_utf8(write(ProxyProtocol::V1, announced)).unwrap();
        assert_eq!(line(ip("[::ffff:1.2.3.4]:5", "6.7.8.9:10")), "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n");
        assert_eq!(line(ip("1.2.3.4:5", "[::1]:10")), "PROXY TCP6 ::ffff:1.2.3.4 ::1 5 10\r\n");
        for nothing in [Announced::Itself, Announced::Unknown, Announced::Unix] {
            assert_eq!(line(nothing), "PROXY UNKNOWN\r\n");
        }
    }
}

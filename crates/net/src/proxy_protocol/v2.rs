//! Version 2: a signature, a length, addresses, and values behind them that we skip (section 2.2).

use super::header::{Announced, HEADER_MAX, Header, HeaderFault, in_one_family};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How every header begins.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, version and command, family and transport, and the length of the rest.
const FIXED: usize = 16;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// AF_UNSPEC; also what we make of datagrams, which no stream can speak for.
const UNSPEC: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX: u8 = 0x31;

/// Bytes of the addresses of a unix connection: twice a `sun_path` (unix(7)).
const UNIX_ADDRESSES: usize = 216;

/// Reads a header that begins with [`SIGNATURE`], as far as it goes.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderFault> {
    let malformed = |what| Err(HeaderFault::Malformed(what));
    let Some(&command) = bytes.get(SIGNATURE.len()) else { return Ok(None) };
    if !matches!(command, LOCAL | PROXY) {
        return malformed("its version is not 2, or its command is neither LOCAL nor PROXY");
    }
    let Some(&family) = bytes.get(SIGNATURE.len() + 1) else { return Ok(None) };
    // A LOCAL one may say what it wants about its family: it is ignored (section 2.2).
    if command == PROXY && (family >> 4 > 3 || family & 0xf > 2) {
        return malformed("its family or transport is unspecified");
    }
    let Some(&[high, low]) = bytes.get(SIGNATURE.len() + 2..FIXED) else { return Ok(None) };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_MAX {
        return Err(HeaderFault::TooLong);
    }
    let Some(block) = bytes.get(FIXED..length) else { return Ok(None) };
    let announced = if command == LOCAL { Announced::Itself } else { announced(family, block)? };
    Ok(Some(Header { announced, length }))
}

fn announced(family: u8, block: &[u8]) -> Result<Announced, HeaderFault> {
    let short = HeaderFault::Malformed("its length has no room for its addresses");
    let (announced, values) = match family {
        TCP4 => {
            let (addresses, values) = block.split_first_chunk::<12>().ok_or(short)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *addresses;
            (ip(Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into(), ports), values)
        }
        TCP6 => {
            let (source, rest) = block.split_first_chunk::<16>().ok_or(short)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
            let (ports, values) = rest.split_first_chunk::<4>().ok_or(short)?;
            (ip(Ipv6Addr::from(*source).into(), Ipv6Addr::from(*destination).into(), *ports), values)
        }
        UNIX => (Announced::Unix, block.split_at_checked(UNIX_ADDRESSES).ok_or(short)?.1),
        // Section 2.2: what a receiver does not support it takes for UNSPEC, and then the whole block is skipped.
        _ => return Ok(Announced::Unknown),
    };
    skip(values)?;
    Ok(announced)
}

fn ip(source: IpAddr, destination: IpAddr, ports: [u8; 4]) -> Announced {
    let [a, b, c, d] = ports;
    Announced::Ip {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    }
}

/// Walks over type, length and value, again and again (section 2.2). None of them matters to us, but a block that does not come out
/// even was not written by anybody who knows this protocol.
fn skip(mut values: &[u8]) -> Result<(), HeaderFault> {
    while !values.is_empty() {
        let rest = match *values {
            [_, high, low, ref rest @ ..] => rest.get(usize::from(u16::from_be_bytes([high, low]))..),
            _ => None,
        };
        values = rest.ok_or(HeaderFault::Malformed("a value is longer than the header"))?;
    }
    Ok(())
}

pub(super) fn write(announced: Announced) -> Vec<u8> {
    match announced {
        Announced::Itself => header(LOCAL, UNSPEC, &[]),
        Announced::Unknown => header(PROXY, UNSPEC, &[]),
        Announced::Unix => header(PROXY, UNIX, &[&[0; UNIX_ADDRESSES]]),
        Announced::Ip { source, destination } => {
            let (source, destination) = in_one_family(source, destination);
            let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()];
            match (source.ip(), destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    header(PROXY, TCP4, &[&source.octets(), &destination.octets(), &ports[0], &ports[1]])
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    header(PROXY, TCP6, &[&source.octets(), &destination.octets(), &ports[0], &ports[1]])
                }
                _ => unreachable!("they are of one family"),
            }
        }
    }
}

fn header(command: u8, family: u8, block: &[&[u8]]) -> Vec<u8> {
    let block = block.concat();
    let length = u16::try_from(block.len()).expect("no address is that long");
    [&SIGNATURE[..], &[command, family], &length.to_be_bytes(), &block].concat()
}

#[cfg(test)]
mod tests {
    use super::super::{parse, write};
    use super::*;
    use evenkeel_model::ProxyProtocol;

    fn said(command: u8, family: u8, block: &[u8]) -> Result<Announced, HeaderFault> {
        let bytes = header(command, family, &[block]);
        let header = parse(&[&bytes[..], b"GET /"].concat())?.expect("the header is whole");
        assert_eq!(header.length, bytes.len());
        Ok(header.announced)
    }

    const ADDRESSES: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 0x1f, 0x90, 0x01, 0xbb];

    fn addressed() -> Announced {
        Announced::Ip { source: "1.2.3.4:8080".parse().unwrap(), destination: "5.6.7.8:443".parse().unwrap() }
    }

    #[test]
    fn addresses_and_ports_are_read_in_network_order() {
        assert_eq!(said(PROXY, TCP4, &ADDRESSES), Ok(addressed()));
        let mut six = [0; 36];
        six[15] = 1;
        six[16] = 0xfd;
        six[33] = 7;
        let announced =
            Announced::Ip { source: "[::1]:7".parse().unwrap(), destination: "[fd00::]:0".parse().unwrap() };
        assert_eq!(said(PROXY, TCP6, &six), Ok(announced));
        assert_eq!(said(PROXY, UNIX, &[b'/'; 216]), Ok(Announced::Unix));
    }

    #[test]
    fn values_behind_the_addresses_are_skipped_and_must_fit() {
        for (values, good) in [
            (&b"\x04\0\0"[..], true),
            (b"\x01\0\x02h2\x20\0\x03abc", true),
            (b"\x04\0", false),
            (b"\x04", false),
            (b"\x01\0\x03h2", false),
            (b"\x01\xff\xff", false),
        ] {
            let said = said(PROXY, TCP4, &[&ADDRESSES[..], values].concat());
            assert_eq!(said.is_ok(), good, "{values:?}");
            assert!(!good || said == Ok(addressed()));
        }
    }

    #[test]
    fn a_local_connection_speaks_for_itself_whatever_else_is_there() {
        for (family, block) in [(UNSPEC, &[][..]), (TCP4, &ADDRESSES), (0xff, b"any"), (TCP6, b"short")] {
            assert_eq!(said(LOCAL, family, block), Ok(Announced::Itself));
        }
    }

    #[test]
    fn what_is_valid_and_not_supported_is_unknown() {
        for family in [UNSPEC, 0x12, 0x22, 0x32, 0x10, 0x01] {
            assert_eq!(said(PROXY, family, b"any"), Ok(Announced::Unknown), "{family:#x}");
        }
    }

    #[test]
    fn what_the_specification_has_not_assigned_is_refused() {
        for (command, family) in [(0x22, TCP4), (0x11, TCP4), (0x01, TCP4), (PROXY, 0x41), (PROXY, 0x13)] {
            assert!(matches!(said(command, family, &ADDRESSES), Err(HeaderFault::Malformed(_))), "{command} {family}");
        }
        for (family, length) in [(TCP4, 11), (TCP6, 35), (UNIX, 215)] {
            assert!(matches!(said(PROXY, family, &vec![0; length]), Err(HeaderFault::Malformed(_))), "{family:#x}");
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_its_bytes_come() {
        let begin = |length: usize| {
            let length = u16::try_from(length - FIXED).unwrap();
            [&SIGNATURE[..], &[PROXY, UNSPEC], &length.to_be_bytes()].concat()
        };
        assert_eq!(parse(&begin(HEADER_MAX)), Ok(None));
        assert_eq!(parse(&begin(HEADER_MAX + 1)), Err(HeaderFault::TooLong));
    }

    #[test]
    fn a_probe_is_a_local_connection() {
        assert_eq!(write(ProxyProtocol::V2, Announced::Itself), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }
}

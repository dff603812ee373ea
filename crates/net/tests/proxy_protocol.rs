//! Headers by chance: written and read again, cut, changed, and read by another parser (`ppp`) as well.

use evenkeel_model::ProxyProtocol;
use evenkeel_net::proxy_protocol::{Announced, HEADER_MAX, Header, HeaderFault, parse, write};
use ppp::{HeaderResult, PartialResult, v1, v2};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::net::SocketAddr;

fn address() -> impl Strategy<Value = SocketAddr> {
    (
        prop_oneof![
            any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
            any::<[u8; 16]>().prop_map(std::net::IpAddr::from)
        ],
        any::<u16>(),
    )
        .prop_map(SocketAddr::from)
}

fn announced() -> impl Strategy<Value = Announced> {
    prop_oneof![
        1 => Just(Announced::Itself),
        1 => Just(Announced::Unknown),
        1 => Just(Announced::Unix),
        9 => (address(), address()).prop_map(|(source, destination)| Announced::Ip { source, destination }),
    ]
}

fn version() -> impl Strategy<Value = ProxyProtocol> {
    select(vec![ProxyProtocol::V1, ProxyProtocol::V2])
}

/// What is read when this was written: an address has one form, and version 1 has fewer words.
fn as_written(version: ProxyProtocol, announced: Announced) -> Announced {
    match announced {
        Announced::Ip { source, destination } => {
            let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
            let six = |ip: std::net::IpAddr| match ip {
                std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
                std::net::IpAddr::V6(_) => ip,
            };
            let (from, to) = if from.is_ipv4() && to.is_ipv4() { (from, to) } else { (six(from), six(to)) };
            Announced::Ip {
                source: SocketAddr::new(from, source.port()),
                destination: SocketAddr::new(to, destination.port()),
            }
        }
        Announced::Itself | Announced::Unknown | Announced::Unix if version == ProxyProtocol::V1 => Announced::Unknown,
        other => other,
    }
}

/// What `ppp` makes of it, in our words: `Ok(None)` for an incomplete one.
fn by_ppp(bytes: &[u8]) -> Result<Option<Header>, String> {
    let result = HeaderResult::parse(bytes);
    if result.is_incomplete() {
        return Ok(None);
    }
    match result {
        HeaderResult::V1(header) => {
            let header = header.map_err(|error| error.to_string())?;
            let announced = match header.addresses {
                v1::Addresses::Unknown => Announced::Unknown,
                v1::Addresses::Tcp4(ip) => {
                    ip_of(ip.source_address, ip.source_port, ip.destination_address, ip.destination_port)
                }
                v1::Addresses::Tcp6(ip) => {
                    ip_of(ip.source_address, ip.source_port, ip.destination_address, ip.destination_port)
                }
            };
            Ok(Some(Header { announced, length: header.header.len() }))
        }
        HeaderResult::V2(header) => {
            let header = header.map_err(|error| error.to_string())?;
            let announced = match (header.command, header.protocol, header.addresses) {
                (v2::Command::Local, ..) => Announced::Itself,
                (_, v2::Protocol::Stream, v2::Addresses::IPv4(ip)) => {
                    ip_of(ip.source_address, ip.source_port, ip.destination_address, ip.destination_port)
                }
                (_, v2::Protocol::Stream, v2::Addresses::IPv6(ip)) => {
                    ip_of(ip.source_address, ip.source_port, ip.destination_address, ip.destination_port)
                }
                (_, v2::Protocol::Stream, v2::Addresses::Unix(_)) => Announced::Unix,
                _ => Announced::Unknown,
            };
            let values: Result<Vec<_>, _> = header.tlvs().collect();
            if matches!(announced, Announced::Ip { .. } | Announced::Unix) {
                values.map_err(|error| error.to_string())?;
            }
            Ok(Some(Header { announced, length: header.header.len() }))
        }
    }
}

fn ip_of(
    source: impl Into<std::net::IpAddr>,
    from: u16,
    destination: impl Into<std::net::IpAddr>,
    to: u16,
) -> Announced {
    Announced::Ip { source: SocketAddr::new(source.into(), from), destination: SocketAddr::new(destination.into(), to) }
}

/// Once anything is certain, no byte that follows changes it.
fn holds(bytes: &[u8]) -> Result<(), TestCaseError> {
    let whole = parse(bytes);
    let mut settled: Option<Result<Option<Header>, HeaderFault>> = None;
    for end in 0..=bytes.len() {
        let now = parse(&bytes[..end]);
        match settled {
            None if now == Ok(None) => {}
            None => {
                if let Ok(Some(header)) = now {
                    prop_assert_eq!(header.length, end, "it ends where it says");
                    prop_assert!(end <= HEADER_MAX);
                }
                settled = Some(now);
            }
            Some(before) => prop_assert_eq!(now, before),
        }
    }
    prop_assert_eq!(settled.unwrap_or(Ok(None)), whole);
    Ok(())
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_and_every_part_of_it_needs_more(
        version in version(),
        announced in announced(),
        behind in vec(any::<u8>(), 0..40),
    ) {
        let bytes = write(version, announced);
        let header = Header { announced: as_written(version, announced), length: bytes.len() };
        for end in 0..bytes.len() {
            prop_assert_eq!(parse(&bytes[..end]), Ok(None));
        }
        prop_assert_eq!(parse(&[bytes, behind].concat()), Ok(Some(header)));
    }

    #[test]
    fn what_is_written_is_read_by_another_parser(version in version(), announced in announced()) {
        let bytes = write(version, announced);
        prop_assert_eq!(by_ppp(&bytes), Ok(parse(&bytes).unwrap()));
    }

    #[test]
    fn additional_values_are_skipped_as_another_parser_does(
        announced in announced(),
        values in vec((any::<u8>(), vec(any::<u8>(), 0..60)), 0..6),
        cut in option::of(0_usize..100),
    ) {
        let mut bytes = write(ProxyProtocol::V2, announced);
        for (kind, value) in values {
            bytes.push(kind);
            bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            bytes.extend(value);
        }
        // Sometimes the length says less than there is, and values end too early.
        let length = cut.map_or(bytes.len(), |cut| bytes.len().saturating_sub(cut).max(16));
        let said = u16::try_from(length - 16).unwrap().to_be_bytes();
        bytes[14..16].copy_from_slice(&said);
        holds(&bytes)?;
        let (ours, theirs) = (parse(&bytes), by_ppp(&bytes));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn a_changed_header_is_settled_once_and_says_what_another_parser_reads_in_it(
        version in version(),
        announced in announced(),
        changes in vec((0_usize..120, any::<u8>()), 1..4),
        behind in vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = [write(version, announced), behind].concat();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        holds(&bytes)?;
        let theirs = by_ppp(&bytes);
        match parse(&bytes) {
            // It also wants to understand what is to be ignored: the family of a LOCAL header, the addresses of a datagram.
            Ok(Some(Header { announced: Announced::Itself | Announced::Unknown, .. })) if theirs.is_err() => {}
            Ok(Some(ours)) => prop_assert_eq!(theirs, Ok(Some(ours))),
            Ok(None) | Err(_) => {}
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..300), version in option::of(version())) {
        let begin: &[u8] = match version {
            None => b"",
            Some(ProxyProtocol::V1) => b"PROXY TCP4 ",
            Some(ProxyProtocol::V2) => b"\r\n\r\n\0\r\nQUIT\n\x21",
        };
        holds(&[begin, &bytes].concat())?;
    }
}

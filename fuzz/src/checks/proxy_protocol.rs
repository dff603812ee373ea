//! Any first bytes of a connection: once it is certain what they are, no byte that follows changes it, and a header that was read is
//! written and read again.

use evenkeel_model::ProxyProtocol;
use evenkeel_net::proxy_protocol::{Announced, HEADER_MAX, parse, write};

pub fn check(data: &[u8]) {
    let whole = parse(data);
    let mut open = true;
    for end in 0..=data.len() {
        let part = parse(&data[..end]);
        if open && part == Ok(None) {
            continue;
        }
        if let (true, Ok(Some(header))) = (open, part) {
            assert!(header.length == end && end <= HEADER_MAX, "{header:?} of {end} bytes");
        }
        open = false;
        assert_eq!(part, whole, "the verdict on {end} bytes is another than that on all");
    }
    if let Ok(Some(header)) = whole {
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            again(version, header.announced);
        }
    }
}

fn again(version: ProxyProtocol, announced: Announced) {
    let bytes = write(version, announced);
    let header = parse(&bytes).expect("what we write is good").expect("and whole");
    assert_eq!(header.length, bytes.len());
    match (announced, header.announced) {
        (Announced::Ip { source, destination }, Announced::Ip { source: from, destination: to }) => {
            for (address, again) in [(source, from), (destination, to)] {
                let same = address.ip().to_canonical() == again.ip().to_canonical() && address.port() == again.port();
                assert!(same, "{address} became {again}");
            }
        }
        (_, Announced::Unknown) if version == ProxyProtocol::V1 => {}
        (before, after) => assert_eq!(before, after),
    }
}

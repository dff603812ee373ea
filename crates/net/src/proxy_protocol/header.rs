//! What a header says, and which version it is in.

use super::{v1, v2};
use evenkeel_model::ProxyProtocol;
use std::net::{IpAddr, SocketAddr};

/// Bytes of a header that we read. Version 2 could announce 64 KiB for additional values that we skip; what load balancers send fits
/// into one segment (section 2.2 expects it), and nginx takes as much (`NGX_PROXY_PROTOCOL_MAX_HEADER`).
pub const HEADER_MAX: usize = 4096;

/// For whom a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// For the sender itself, such as a probe (LOCAL). Version 1 has no word for it and writes [`Announced::Unknown`].
    Itself,
    /// For a client whose address the sender does not know or cannot write (UNKNOWN, UNSPEC). The addresses of the connection itself
    /// are the best ones to be had.
    Unknown,
    /// For a TCP client.
    Ip {
        /// The client.
        source: SocketAddr,
        /// Where the client has connected to.
        destination: SocketAddr,
    },
    /// For a process on the sender's machine. Clients of unix sockets have no names, so none is kept or written.
    Unix,
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it says.
    pub announced: Announced,
    /// Its bytes; what follows belongs to the connection.
    pub length: usize,
}

/// Why bytes are no header. Nothing that could follow would make them one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// They begin as something else.
    #[error("there is no PROXY header")]
    Missing,
    /// They begin as a header and break its rules.
    #[error("the PROXY header is malformed: {0}")]
    Malformed(&'static str),
    /// A line of more than 107 bytes (version 1), or a length above [`HEADER_MAX`] (version 2).
    #[error("the PROXY header is too long")]
    TooLong,
}

/// Reads a header of either version (section 2.2 says how to tell them apart). `None`: all of the bytes belong to a header that is not
/// complete.
///
/// # Errors
/// [`HeaderFault`], as soon as it is certain.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderFault> {
    if agree(bytes, &v2::SIGNATURE) {
        v2::parse(bytes)
    } else if agree(bytes, v1::BEGIN) {
        v1::parse(bytes)
    } else {
        Err(HeaderFault::Missing)
    }
}

/// The header that says so. What a version has no words for is announced as unknown.
#[must_use]
pub fn write(version: ProxyProtocol, announced: Announced) -> Vec<u8> {
    match version {
        ProxyProtocol::V1 => v1::write(announced),
        ProxyProtocol::V2 => v2::write(announced),
    }
}

/// Whether two texts are the same as far as both go.
fn agree(bytes: &[u8], begin: &[u8]) -> bool {
    bytes.iter().zip(begin).all(|(byte, wanted)| byte == wanted)
}

/// Two addresses in one family, as both versions want them: in version 4 if both are (a v4-mapped one is), else both in version 6.
pub(super) fn in_one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let (from, to) = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => (from, to),
        _ => (in_v6(from), in_v6(to)),
    };
    (SocketAddr::new(from, source.port()), SocketAddr::new(to, destination.port()))
}

fn in_v6(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(_) => address,
    }
}

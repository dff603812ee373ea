//! What a connection to an endpoint says first, where the upstream has `proxy_protocol`: for which client it is made.
//!
//! Written by `connect`, and a part of a pooled connection's `identity`: it must never carry a request of another client.

use crate::request::Exchange;
use evenkeel_model::ProxyProtocol;
use evenkeel_net::{
    Peer,
    proxy_protocol::{self, Announced},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first words on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    version: ProxyProtocol,
    announced: Announced,
}

impl Announcement {
    /// For whom this request is sent: the client of its connection, as a PROXY header or the socket says. Not what `X-Forwarded-For`
    /// claims: a connection of a trusted proxy carries requests of many, and this speaks of connections.
    pub(super) fn of(exchange: &Exchange, version: ProxyProtocol) -> Self {
        let announced = exchange.connection().map_or(Announced::Unknown, |client| match client.peer() {
            Peer::Unix => Announced::Unix,
            Peer::Ip(source) => {
                let destination = client.reached().unwrap_or_else(|| nowhere(source));
                Announced::Ip { source, destination }
            }
        });
        Self { version, announced }
    }

    pub(super) fn header(&self) -> Vec<u8> {
        proxy_protocol::write(self.version, self.announced)
    }
}

/// Stands for an address that is not known, in the family of the other one.
fn nowhere(source: SocketAddr) -> SocketAddr {
    let ip: IpAddr = if source.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}

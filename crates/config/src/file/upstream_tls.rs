//! `[upstreams.NAME.tls]`: TLS to endpoints.
//!
//! As with `tls`, only what stands in the file is looked at here; files and names are checked by whoever loads them.

use super::tls::{CERTIFICATE, FILE, certificate, file};
use crate::{
    error::Finding,
    shape::{Key, Literal, Shape, Table},
    walk::{Node, Section, Value, Word},
};
use evenkeel_model::{Address, Endpoint, Protocol, TlsVersion, UpstreamProtocol, UpstreamTls};
use std::path::Path;

/// What may be spoken inside. Every word is one of [`Protocol::ALL`].
static PROTOCOL: Shape = Shape::Choice { words: &["h2", "http/1.1"], later: &[] };

pub(super) static UPSTREAM_TLS: Table = Table {
    doc: "TLS to endpoints.",
    keys: &[
        Key::preset(
            "verify",
            Shape::Boolean,
            Literal::Boolean(true),
            "false: whatever certificate an endpoint shows is taken, so that anybody on the way to it can answer in its place and read \
             everything. `check` warns of it. For a certificate of your own making write it, or its authority, into ca instead.",
        ),
        Key::optional(
            "ca",
            FILE,
            "the authorities that the system trusts",
            "A PEM file with the certificates of the authorities whose word counts; no others do then. The file is watched.",
        ),
        Key::optional(
            "crl",
            FILE,
            "none is revoked",
            "A PEM file with lists of certificates that their authorities have taken back. The file is watched.",
        ),
        Key::optional(
            "server_name",
            Shape::Text("^.+$"),
            "the host of the endpoint's address",
            "The name that endpoints are asked for (SNI) and that their certificates must have; or an IP address. Write it when addresses \
             are not what certificates are made for, and for unix sockets.",
        ),
        Key::optional(
            "certificate",
            Shape::Table(&CERTIFICATE),
            "we show none",
            "Who we are, for endpoints that ask. The files are watched.",
        ),
        Key::preset(
            "min_version",
            Shape::Choice { words: &["1.2", "1.3"], later: &[] },
            Literal::Text("1.2"),
            "The oldest version of TLS that is spoken.",
        ),
        Key::optional(
            "alpn",
            Shape::List(&PROTOCOL, 1),
            "what protocol says; h2 first with \"auto\"; nothing for connections of tcp listeners",
            "What is offered inside, the dearest first; nothing that protocol excludes. Write it for the other order. An endpoint that \
             chooses nothing speaks HTTP/1.1.",
        ),
    ],
    later: &["max_version", "ciphers", "groups", "sni"],
};

/// The settings of what is written; `Some(None)` for `false`, `None` when something is wrong.
pub(super) fn read(
    node: Node<'_>,
    endpoints: &[Endpoint],
    protocol: UpstreamProtocol,
    folder: &Path,
) -> Option<Option<UpstreamTls>> {
    let tls = match node.is_table() {
        true => table(&node.section(&UPSTREAM_TLS)?, protocol, folder)?,
        false if !bool::read(node, &Shape::Boolean)? => return Some(None),
        false => UpstreamTls { protocols: protocol.offers().to_vec(), ..UpstreamTls::default() },
    };
    let nameless = endpoints.iter().any(|endpoint| matches!(endpoint.address, Address::Unix(_)));
    if nameless && tls.server_name.is_none() {
        node.refuse("an endpoint is a unix socket, which has no name to verify", "write server_name");
        return None;
    }
    Some(Some(tls))
}

fn table(section: &Section<'_>, protocol: UpstreamProtocol, folder: &Path) -> Option<UpstreamTls> {
    let verify: bool = section.preset("verify");
    if !verify {
        let message = "certificates of these endpoints are not verified: anybody on the way can answer in their place";
        let finding = Finding::warning(section.place_of("verify"), message);
        section.report().add(finding.hint("write ca, and server_name if their certificates are for another name"));
    }
    let named = |key| section.node(key).map_or(Some(None), |node| file(Some(node), folder).map(Some));
    let (ca, crl) = (named("ca"), named("crl"));
    let pair = section.node("certificate").map_or(Some(None), |node| certificate(node, folder).map(Some));
    let server_name = match section.get::<&str>("server_name") {
        None if section.node("server_name").is_some() => return None,
        name => name.map(str::to_owned),
    };
    let min_version = match section.preset::<Word>("min_version").0 {
        "1.3" => TlsVersion::V1_3,
        _ => TlsVersion::V1_2,
    };
    let protocols = protocols(section, protocol)?;
    let written = section.node("alpn").is_some();
    let session_protocols = if written { protocols.clone() } else { Vec::new() };
    let (ca, crl, certificate) = (ca?, crl?, pair?);
    Some(UpstreamTls { verify, ca, crl, server_name, certificate, min_version, protocols, session_protocols })
}

/// What is offered, of what the upstream's `protocol` allows.
fn protocols(section: &Section<'_>, spoken: UpstreamProtocol) -> Option<Vec<Protocol>> {
    let offers = spoken.offers();
    if section.node("alpn").is_none() {
        return Some(offers.to_vec());
    }
    let read = |node| {
        let word = Word::read(node, &PROTOCOL)?.0;
        let known = offers.iter().copied().find(|protocol| protocol.as_str() == word);
        if known.is_none() {
            let hint = "write protocol = \"auto\" on the upstream for both, \"h2\" for HTTP/2 alone";
            node.refuse(format!("{word:?} is not what protocol says of these endpoints"), hint);
        }
        known
    };
    section.list("alpn").into_iter().map(read).collect()
}

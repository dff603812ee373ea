//! `[listeners.NAME.tls]`: TLS to clients.
//!
//! Only what stands in the file is looked at here. Whether the files that it names are there and fit is found out by whoever loads
//! them, who knows TLS; `load::at` gives what is wrong its place.

use super::field;
use crate::{
    error::Finding,
    shape::{Key, Literal, Shape, Table},
    walk::{Node, Section, Value, Word},
};
use evenkeel_model::{CertificateFiles, ClientAuth, ClientAuthMode, Protocol, Tls, TlsVersion, UnknownNames};
use http::HeaderName;
use std::path::{Path, PathBuf};

/// Any path; an empty one is refused.
pub(super) const FILE: Shape = Shape::Text("^.+$");

/// What may be spoken inside. Every word is one of [`Protocol::ALL`].
static PROTOCOL: Shape = Shape::Choice { words: &["h2", "http/1.1"], later: &[] };

pub(super) static TLS: Table = Table {
    doc: "TLS to clients. Written, the listener speaks nothing else.",
    keys: &[
        Key::required(
            "certificates",
            Shape::List(&Shape::Table(&CERTIFICATE), 1),
            "Whom this listener can be. Which one a client is shown follows from the name that it asks for (SNI): exact, then wildcard, then the \
             first. Of two for one name, ECDSA and RSA, the client gets the one that it understands. The files are watched: a renewed \
             certificate takes effect at once, and a bad one leaves the old in place.",
        ),
        Key::preset(
            "unknown_names",
            Shape::Choice { words: &["default", "refuse"], later: &[] },
            Literal::Text("default"),
            "A client that asks for a name which no certificate has, or for none. default: it is shown the first certificate. refuse: its \
             handshake ends with an alert.",
        ),
        Key::preset(
            "min_version",
            Shape::Choice { words: &["1.2", "1.3"], later: &[] },
            Literal::Text("1.2"),
            "The oldest version of TLS that is spoken. Write \"1.3\" when all clients are younger than 2018.",
        ),
        Key::preset(
            "alpn",
            Shape::List(&PROTOCOL, 1),
            Literal::List(&[Literal::Text("h2"), Literal::Text("http/1.1")]),
            "What may be spoken inside, the dearest first. A client that offers only others is refused; one that offers none speaks HTTP/1.1. \
             A tcp listener agrees upon nothing unless this is written.",
        ),
        Key::optional(
            "client_auth",
            Shape::Table(&CLIENT_AUTH),
            "clients show no certificate",
            "Clients show who they are. Then no session is resumed, because that would skip the check: each connection costs a full handshake.",
        ),
    ],
    later: &["max_version", "ciphers", "groups", "ocsp", "acme", "early_data"],
};

pub(super) static CERTIFICATE: Table = Table {
    doc: "A certificate and its key.",
    keys: &[
        Key::required(
            "cert",
            FILE,
            "A PEM file, relative to the folder of this file: the certificate, then those that lead to a root.",
        ),
        Key::required("key", FILE, "A PEM file with the certificate's private key, without a password."),
    ],
    later: &["name", "ocsp"],
};

static CLIENT_AUTH: Table = Table {
    doc: "Clients show who they are.",
    keys: &[
        Key::preset(
            "mode",
            Shape::Choice { words: &["required", "optional"], later: &[] },
            Literal::Text("required"),
            "required: no connection without a good certificate. optional: whoever shows one must show a good one.",
        ),
        Key::required("ca", FILE, "A PEM file with the certificates of the authorities whose word counts."),
        Key::optional(
            "crl",
            FILE,
            "nothing is revoked",
            "A PEM file of revocation lists (X509 CRL). A certificate whose authority has no list in it stays good.",
        ),
        Key::preset(
            "header",
            Shape::FIELD,
            Literal::Text("x-forwarded-client-cert"),
            "The field in which endpoints learn who it was: Subject=\"..\";URI=..;DNS=... What clients send under this name is removed, on \
             every listener.",
        ),
    ],
    later: &["depth"],
};

/// `spoken` is what holds where no `alpn` is written.
pub(super) fn read(section: &Section<'_>, folder: &Path, spoken: &[Protocol]) -> Option<Tls> {
    let certificates = section.list("certificates");
    let written = certificates.len();
    let certificates: Vec<_> = certificates.into_iter().filter_map(|node| certificate(node, folder)).collect();
    section.required("certificates")?;
    let unknown_names = match section.preset::<Word>("unknown_names").0 {
        "refuse" => UnknownNames::Refuse,
        _ => UnknownNames::Default,
    };
    let min_version = match section.preset::<Word>("min_version").0 {
        "1.3" => TlsVersion::V1_3,
        _ => TlsVersion::V1_2,
    };
    let protocols = protocols(section, spoken)?;
    let client_auth = match section.section("client_auth") {
        Some(section) => Some(client_auth(&section, folder)?),
        None => None,
    };
    (certificates.len() == written && written > 0).then_some(Tls {
        certificates,
        unknown_names,
        min_version,
        protocols,
        client_auth,
    })
}

pub(super) fn certificate(node: Node<'_>, folder: &Path) -> Option<CertificateFiles> {
    let section = node.section(&CERTIFICATE)?;
    let (cert, key) = (file(section.required("cert"), folder), file(section.required("key"), folder));
    Some(CertificateFiles { cert: cert?, key: key? })
}

/// What may be spoken inside.
fn protocols(section: &Section<'_>, spoken: &[Protocol]) -> Option<Vec<Protocol>> {
    if section.node("alpn").is_none() {
        return Some(spoken.to_vec());
    }
    let words = section.list("alpn").into_iter();
    let words: Option<Vec<Word>> = words.map(|node| Word::read(node, &PROTOCOL)).collect();
    let known = |word: Word| Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == word.0);
    words?.into_iter().map(known).collect()
}

fn client_auth(section: &Section<'_>, folder: &Path) -> Option<ClientAuth> {
    let mode = match section.preset::<Word>("mode").0 {
        "optional" => ClientAuthMode::Optional,
        _ => ClientAuthMode::Required,
    };
    let ca = file(section.required("ca"), folder);
    let crl = match section.node("crl") {
        Some(node) => Some(file(Some(node), folder)?),
        None => None,
    };
    let header = identity_field(section);
    Some(ClientAuth { mode, ca: ca?, crl, header: header? })
}

/// The field in which endpoints learn who a client is: one that means nothing else.
fn identity_field(section: &Section<'_>) -> Option<HeaderName> {
    let (place, report) = (section.place_of("header"), section.report());
    let name = field::name(section.preset::<&str>("header"), place, report)?;
    let taken = [field::of_the_connection, field::of_the_request, field::of_others];
    let Some(why) = taken.into_iter().find_map(|why| why(&name)) else { return Some(name) };
    report.add(Finding::error(place, format!("{:?} cannot carry who a client is", name.as_str())).hint(why));
    None
}

pub(super) fn file(node: Option<Node<'_>>, folder: &Path) -> Option<PathBuf> {
    let node = node?;
    let text = node.text()?;
    if text.is_empty() {
        node.refuse("an empty path", "write the path of a file");
        return None;
    }
    Some(folder.join(text))
}

//! What a certificate says: whose it is, how long it holds. Read from certificates that the operator has given, and from those of
//! clients that rustls has verified; nothing here decides whom to trust.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::SystemTime,
};
use x509_cert::{
    certificate::{CertificateInner, Raw},
    crl::CertificateList,
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// What a certificate says.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Its DNS names in lower case and its addresses (RFC 5280, section 4.2.1.6).
    pub(super) names: Box<[Box<str>]>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    /// `Subject="..";URI=..;DNS=..`: see [`identity`].
    identity: String,
}

impl Facts {
    /// `None`: it is no certificate.
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        // The profile that forgives serial numbers of more than 20 bytes, as everybody else does.
        let certificate = CertificateInner::<Raw>::from_der(der).ok()?;
        let certificate = certificate.tbs_certificate();
        let alternatives = certificate.get_extension::<SubjectAltName>().ok()?;
        let alternatives = alternatives.map(|(_, names)| names.0).unwrap_or_default();
        Some(Self {
            names: alternatives.iter().filter_map(name).collect(),
            not_before: certificate.validity().not_before.to_system_time(),
            not_after: certificate.validity().not_after.to_system_time(),
            identity: identity(&certificate.subject().to_string(), &alternatives),
        })
    }

    /// Who it is, in the form of [`identity`].
    pub(super) fn into_identity(self) -> String {
        self.identity
    }
}

/// Whose list of revocations this is, and when there should be another one. `None`: it cannot be read, or does not say.
pub(super) fn next_update(der: &[u8]) -> Option<(String, SystemTime)> {
    let list = CertificateList::<Raw>::from_der(der).ok()?.tbs_cert_list;
    Some((list.issuer.to_string(), list.next_update?.to_system_time()))
}

fn name(name: &GeneralName) -> Option<Box<str>> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase().into()),
        GeneralName::IpAddress(bytes) => Some(address(bytes.as_bytes())?.to_string().into()),
        GeneralName::OtherName(_)
        | GeneralName::Rfc822Name(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::UniformResourceIdentifier(_)
        | GeneralName::RegisteredId(_) => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| Ipv4Addr::from(octets).into());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|octets| Ipv6Addr::from(octets).into())).ok()
}

/// One line of printable ASCII in the form of Envoy's `x-forwarded-client-cert`: the subject (RFC 4514) in quotes, then the names that
/// are used for identities. What could end a value or the line is percent-encoded (RFC 3986, section 2.1).
fn identity(subject: &str, names: &[GeneralName]) -> String {
    let mut text = String::from("Subject=\"");
    for byte in subject.bytes() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            0x20..=0x7e => text.push(char::from(byte)),
            _ => percent(&mut text, byte),
        }
    }
    text.push('"');
    for name in names {
        let (key, value) = match name {
            GeneralName::UniformResourceIdentifier(uri) => (";URI=", uri),
            GeneralName::DnsName(dns) => (";DNS=", dns),
            GeneralName::Rfc822Name(mail) => (";Email=", mail),
            GeneralName::OtherName(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EdiPartyName(_)
            | GeneralName::IpAddress(_)
            | GeneralName::RegisteredId(_) => continue,
        };
        text.push_str(key);
        for byte in value.as_str().bytes() {
            match byte {
                b'"' | b',' | b';' | b'\\' | 0..=0x20 | 0x7f.. => percent(&mut text, byte),
                _ => text.push(char::from(byte)),
            }
        }
    }
    text
}

fn percent(text: &mut String, byte: u8) {
    write!(text, "%{byte:02X}").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn facts(params: CertificateParams) -> Facts {
        Facts::of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
    }

    #[test]
    fn names_are_in_lower_case_and_addresses_are_among_them() {
        let facts =
            facts(CertificateParams::new(["A.Example", "*.b.example", "10.0.0.1", "::1"].map(String::from)).unwrap());
        assert_eq!(
            facts.names.iter().map(|name| &**name).collect::<Vec<_>>(),
            ["a.example", "*.b.example", "10.0.0.1", "::1"]
        );
        assert!(facts.not_before < facts.not_after);
    }

    #[test]
    fn nobody_can_name_himself_out_of_his_place_in_the_line() {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "a\";URI=spiffe://x\r\nB: é");
        params.subject_alt_names = vec![SanType::URI("spiffe://a/b;c,d".try_into().unwrap())];

        let identity = facts(params).into_identity();

        assert!(identity.bytes().all(|b| (0x20..0x7f).contains(&b)), "{identity}");
        assert!(identity.ends_with("\";URI=spiffe://a/b%3Bc%2Cd"), "{identity}");
        // The one quote of the name is escaped, however often.
        assert_eq!(identity.matches(";URI=").count(), 2, "{identity}");
        let inside = identity.strip_prefix("Subject=\"").unwrap();
        let mut escaped = false;
        let end = inside.bytes().position(|b| {
            let ends = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        });
        assert!(inside[end.unwrap() + 1..].starts_with(";URI=spiffe://a/b"), "{identity}");
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        assert!(Facts::of(b"").is_none());
        assert!(Facts::of(&[0x30, 0x82, 0xff, 0xff, 0]).is_none());
    }
}

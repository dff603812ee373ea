//! TLS between a client and a listener, and between us and an endpoint: what is said, and with which certificates.

use crate::Duration;
use http::HeaderName;
use std::{fmt, path::PathBuf};

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whom we can be, at least one. The first is shown to clients that name nobody.
    pub certificates: Vec<CertificateFiles>,
    /// What a client gets that asks for a name which no certificate has.
    pub unknown_names: UnknownNames,
    /// Nothing older is spoken.
    pub min_version: TlsVersion,
    /// What may be spoken inside, the dearest first (ALPN, RFC 7301).
    pub protocols: Vec<Protocol>,
    /// Whether clients show who they are.
    pub client_auth: Option<ClientAuth>,
}

impl Tls {
    /// Every file that is named.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = self.certificates.iter().flat_map(|pair| [&pair.cert, &pair.key]);
        pairs.chain(self.client_auth.iter().flat_map(|auth| std::iter::once(&auth.ca).chain(&auth.crl)))
    }
}

/// A certificate and what proves that it is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, then those that lead to a root, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM: PKCS #8, PKCS #1 or SEC1.
    pub key: PathBuf,
}

/// What a client gets that asks for a name which no certificate has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownNames {
    /// The first certificate, as nginx, HAProxy and Envoy do.
    #[default]
    Default,
    /// Nothing: the handshake ends with an alert (RFC 6066, section 3), and so does one without a name.
    Refuse,
}

/// A version of TLS. Older ones are deprecated (RFC 8996).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// What clients may speak; inside of TLS by its ALPN name (RFC 7301, section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2. Without TLS: from the first byte ("prior knowledge", RFC 9113, section 3.3).
    Http2,
    /// HTTP/1.1.
    #[default]
    Http11,
}

impl Protocol {
    /// All that we can speak, in the order in which we would rather.
    pub const ALL: [Self; 2] = [Self::Http2, Self::Http11];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http2 => "h2",
            Self::Http11 => "http/1.1",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How clients show who they are. Where they do, no session is ever resumed: a resumed one skips the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// Whether they must.
    pub mode: ClientAuthMode,
    /// Whose word counts: certificates of authorities, in PEM.
    pub ca: PathBuf,
    /// Certificates that were taken back, in PEM.
    pub crl: Option<PathBuf>,
    /// The field in which endpoints learn who it was.
    pub header: HeaderName,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// Without a good one there is no connection.
    Required,
    /// Whoever shows one must show a good one.
    Optional,
}

/// How we speak TLS to the endpoints of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Whether an endpoint must show who it is. Without it anybody on the way can answer in its place.
    pub verify: bool,
    /// Whose word counts: certificates of authorities, in PEM. `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// Certificates that were taken back, in PEM.
    pub crl: Option<PathBuf>,
    /// The name or IP address that an endpoint's certificate must have, and that is asked for (SNI). `None`: the host of its address.
    pub server_name: Option<String>,
    /// Who we are, for endpoints that ask.
    pub certificate: Option<CertificateFiles>,
    /// Nothing older is spoken.
    pub min_version: TlsVersion,
    /// What may be spoken inside, the dearest first (ALPN, RFC 7301).
    pub protocols: Vec<Protocol>,
    /// The same for connections that are passed on as they are: what the operator has written, and mostly nothing.
    pub session_protocols: Vec<Protocol>,
}

impl UpstreamTls {
    /// Every file that is named.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.ca.iter().chain(&self.crl).chain(self.certificate.iter().flat_map(|pair| [&pair.cert, &pair.key]))
    }
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self {
            verify: true,
            ca: None,
            crl: None,
            server_name: None,
            certificate: None,
            min_version: TlsVersion::default(),
            protocols: vec![Protocol::Http11],
            session_protocols: Vec::new(),
        }
    }
}

/// How long a handshake may take, with a client from accept to its last byte.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

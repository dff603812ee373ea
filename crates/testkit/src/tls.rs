//! A client that speaks TLS as it is told, and shows what the handshake was like.

use crate::{
    certificates::{Authority, Issued},
    eventually::in_time,
    place::{Place, Socket},
    wire::Wire,
};
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, SignatureScheme, SupportedProtocolVersion,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use std::{io, sync::Arc};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A client that speaks TLS.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: String,
}

/// What a handshake was like, and the connection that came of it.
#[derive(Debug)]
pub struct Secured {
    /// The connection.
    pub wire: Wire,
    /// The server's certificate, in DER; empty for a resumed session of old TLS.
    pub certificate: Vec<u8>,
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// Whether a session from before went on.
    pub resumed: bool,
    /// The group in which keys were exchanged, such as `X25519MLKEM768`.
    pub group: Option<String>,
    /// What both sides agreed to speak.
    pub protocol: Option<String>,
}

impl TlsClient {
    /// Trusts this authority, asks for this name, offers HTTP/1.1 and remembers sessions.
    #[must_use]
    pub fn new(authority: &Authority, name: &str) -> Self {
        Self::with(authority, name, aws_lc_rs::default_provider(), &[&TLS13, &TLS12], None)
    }

    /// Speaks only TLS 1.2.
    #[must_use]
    pub fn old(authority: &Authority, name: &str) -> Self {
        Self::with(authority, name, aws_lc_rs::default_provider(), &[&TLS12], None)
    }

    /// Understands no signatures but those with RSA.
    #[must_use]
    pub fn knowing_only_rsa(authority: &Authority, name: &str) -> Self {
        let mut provider = aws_lc_rs::default_provider();
        let rsa = |scheme: &SignatureScheme| format!("{scheme:?}").starts_with("RSA");
        // The authorities' own signatures are ECDSA, and still have to be understood.
        let mapping: Vec<_> =
            provider.signature_verification_algorithms.mapping.iter().filter(|(s, _)| rsa(s)).copied().collect();
        provider.signature_verification_algorithms.mapping = Vec::leak(mapping);
        Self::with(authority, name, provider, &[&TLS13, &TLS12], None)
    }

    /// Shows this certificate when it is asked for one.
    #[must_use]
    pub fn showing(authority: &Authority, name: &str, issued: &Issued) -> Self {
        Self::with(authority, name, aws_lc_rs::default_provider(), &[&TLS13, &TLS12], Some(issued))
    }

    fn with(
        authority: &Authority,
        name: &str,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
        shows: Option<&Issued>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().to_vec().into()).expect("an authority of our own");
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(versions).expect("versions that exist");
        let builder = builder.with_root_certificates(roots);
        let mut config = match shows {
            Some(issued) => {
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key of our own");
                builder.with_client_auth_cert(vec![issued.der.clone().into()], key).expect("a pair of our own")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(8);
        Self { config: Arc::new(config), name: name.to_owned() }
    }

    /// The same with other settings.
    #[must_use]
    pub fn but(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = (*self.config).clone();
        change(&mut config);
        self.config = Arc::new(config);
        self
    }

    /// The same without saying for which name it asks.
    #[must_use]
    pub fn nameless(self) -> Self {
        self.but(|config| config.enable_sni = false)
    }

    /// Connects.
    ///
    /// # Panics
    /// When there is no connection or no agreement.
    pub async fn connect(&self, place: &Place) -> Secured {
        self.try_connect(place).await.unwrap_or_else(|e| panic!("no TLS with {place}: {e}"))
    }

    /// Connects, for a library to speak over.
    ///
    /// # Panics
    /// When there is no connection or no agreement.
    pub async fn socket(&self, place: &Place) -> Socket {
        let stream = self.shake(place).await.unwrap_or_else(|e| panic!("no TLS with {place}: {e}"));
        Socket::Tls(Box::new(stream.into()))
    }

    /// Begins TLS on a connection that is there, for a library to speak over.
    ///
    /// # Panics
    /// When there is no agreement.
    pub async fn over(&self, socket: Socket) -> Socket {
        let stream = self.shake_over(socket).await.unwrap_or_else(|e| panic!("no TLS: {e}"));
        Socket::Tls(Box::new(stream.into()))
    }

    async fn shake(&self, place: &Place) -> io::Result<TlsStream<Socket>> {
        self.shake_over(in_time("a connection", place.connect()).await?).await
    }

    async fn shake_over(&self, socket: Socket) -> io::Result<TlsStream<Socket>> {
        let name = ServerName::try_from(self.name.clone()).expect("a DNS name or an address");
        let connecting = TlsConnector::from(Arc::clone(&self.config)).connect(name, socket);
        in_time("a TLS handshake", connecting).await
    }

    /// Connects, if the server agrees. A refusal of this client's certificate is seen only by the first read (TLS 1.3).
    ///
    /// # Errors
    /// What the system says, or what the two did not agree on.
    pub async fn try_connect(&self, place: &Place) -> io::Result<Secured> {
        let stream = self.shake(place).await?;
        let seen = stream.get_ref().1;
        let certificate = seen.peer_certificates().and_then(|chain| Some(chain.first()?.to_vec()));
        Ok(Secured {
            certificate: certificate.unwrap_or_default(),
            version: if seen.protocol_version() == Some(ProtocolVersion::TLSv1_3) { "1.3" } else { "1.2" },
            resumed: seen.handshake_kind() == Some(HandshakeKind::Resumed),
            group: seen.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
            protocol: seen.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            wire: Wire::over(Socket::Tls(Box::new(stream.into()))),
        })
    }
}

/// For a client that remembers no sessions.
#[must_use]
pub fn no_sessions() -> Resumption {
    Resumption::disabled()
}

//! The server's side of TLS, for origins: who they are, whom they ask for a certificate, and what came of it.

use crate::{
    certificates::{Authority, Issued},
    place::Socket,
};
use rustls::{
    HandshakeKind, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio_rustls::TlsAcceptor;

/// Speaks TLS for an origin. Clones share what they have seen.
#[derive(Clone, Debug)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    greeted: Arc<Mutex<Vec<Greeted>>>,
}

/// A handshake that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeted {
    /// The name that was asked for.
    pub name: Option<String>,
    /// Whether the client showed a certificate.
    pub shown: bool,
    /// Whether a session from before went on.
    pub resumed: bool,
    /// What both sides agreed to speak.
    pub protocol: Option<String>,
}

impl TlsServer {
    /// Shows this certificate to whoever comes.
    #[must_use]
    pub fn new(issued: &Issued) -> Self {
        Self::with(issued, None)
    }

    /// Wants a certificate of this authority from whoever comes.
    #[must_use]
    pub fn asking(issued: &Issued, authority: &Authority) -> Self {
        Self::with(issued, Some(authority))
    }

    fn with(issued: &Issued, clients: Option<&Authority>) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().expect("versions that exist");
        let builder = match clients {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der().to_vec().into()).expect("an authority of our own");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("an authority is there"))
            }
            None => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key of our own");
        let chain = vec![CertificateDer::from(issued.der.clone())];
        let mut config = builder.with_single_cert(chain, key).expect("a pair of our own");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { config: Arc::new(config), greeted: Arc::default() }
    }

    /// The same with other settings.
    #[must_use]
    pub fn but(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = (*self.config).clone();
        change(&mut config);
        self.config = Arc::new(config);
        self
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Greeted>> {
        self.greeted.lock().expect("nobody panics while holding it")
    }

    /// The handshakes that came to their end, oldest first.
    #[must_use]
    pub fn greeted(&self) -> Vec<Greeted> {
        self.lock().clone()
    }

    /// The same, offering these for what is spoken inside (ALPN). None: nothing is negotiated.
    #[must_use]
    pub fn speaking(self, protocols: &[&str]) -> Self {
        let names = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self.but(|config| config.alpn_protocols = names)
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// What the system says, or what the two did not agree on.
    pub async fn accept(&self, socket: Socket) -> io::Result<Socket> {
        let stream = TlsAcceptor::from(Arc::clone(&self.config)).accept(socket).await?;
        let seen = stream.get_ref().1;
        self.lock().push(Greeted {
            name: seen.server_name().map(str::to_owned),
            shown: seen.peer_certificates().is_some(),
            resumed: seen.handshake_kind() == Some(HandshakeKind::Resumed),
            protocol: seen.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        });
        Ok(Socket::Tls(Box::new(stream.into())))
    }
}

//! Whom we believe when an endpoint says who it is: the authorities of a file, those that the system trusts, or anybody.

use super::files::{TlsProblem, authorities};
use evenkeel_model::UpstreamTls;
use rustls::{
    DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::sync::{Arc, OnceLock};

/// Whom to believe. Two that are equal are the same trust.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    Authorities(Arc<RootCertStore>),
    Anybody,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Authorities(one), Self::Authorities(other)) => Arc::ptr_eq(one, other) || one.roots == other.roots,
            (Self::Anybody, Self::Anybody) => true,
            (Self::Authorities(_), Self::Anybody) | (Self::Anybody, Self::Authorities(_)) => false,
        }
    }
}

impl Trust {
    pub(super) fn of(settings: &UpstreamTls) -> Result<Self, TlsProblem> {
        let named = settings.ca.as_deref().map(|path| authorities(path, "ca").map(Arc::new)).transpose()?;
        match named {
            _ if !settings.verify => Ok(Self::Anybody),
            Some(roots) => Ok(Self::Authorities(roots)),
            None => system().map(Self::Authorities),
        }
    }
}

/// The authorities that the system trusts, read once for the process: every upstream shares them.
fn system() -> Result<Arc<RootCertStore>, TlsProblem> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(known) = SYSTEM.get() {
        return Ok(Arc::clone(known));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Bundles of systems have some that nobody can use any more (webpki wants version 3): one of them is no reason to trust none.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let cause = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(TlsProblem {
            key: String::new(),
            message: format!("this system trusts no authority{cause}"),
            hint: "install its package ca-certificates, or write ca",
        });
    }
    Ok(Arc::clone(SYSTEM.get_or_init(|| Arc::new(roots))))
}

/// Believes everybody, as the operator has written and `check` has warned of. Signatures are not looked at either: they would only prove
/// that whoever answers has the key of a certificate that says nothing.
#[derive(Debug)]
pub(super) struct BelievesEverybody(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for BelievesEverybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

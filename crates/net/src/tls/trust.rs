//! Whom we believe when an endpoint says who it is: the authorities of a file, those that the system trusts, or anybody; but
//! not what they have taken back.

use super::files::{Ends, TlsProblem, authorities, next_updates, revocations};
use evenkeel_model::UpstreamTls;
use rustls::{
    DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime},
};
use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

/// Whom to believe. Two that are equal are the same trust.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    authorities: Option<Authorities>,
    /// When there should be other lists of what was taken back. It follows from `authorities`.
    lists: Ends,
    verifier: Arc<dyn ServerCertVerifier>,
}

/// Whose word counts, and what they have taken back.
#[derive(Clone, Debug)]
struct Authorities {
    roots: Arc<RootCertStore>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        match (&self.authorities, &other.authorities) {
            (Some(one), Some(other)) => {
                let same = Arc::ptr_eq(&one.roots, &other.roots) || one.roots.roots == other.roots.roots;
                same && one.revoked == other.revoked
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Trust {
    pub(super) fn of(settings: &UpstreamTls, provider: &Arc<CryptoProvider>) -> Result<Self, TlsProblem> {
        let named = settings.ca.as_deref().map(|path| authorities(path, "ca").map(Arc::new)).transpose()?;
        let revoked = settings.crl.as_deref().map_or(Ok(Vec::new()), |path| revocations(path, "crl"))?;
        if !settings.verify {
            let verifier = Arc::new(BelievesEverybody(Arc::clone(provider)));
            return Ok(Self { authorities: None, lists: Ends::new(), verifier });
        }
        let roots = named.map_or_else(system, Ok)?;
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
        // As with clients: a list says nothing about certificates of other authorities.
        let builder = builder.with_crls(revoked.iter().cloned()).allow_unknown_revocation_status();
        let verifier = builder.build().map_err(|error| {
            let path = settings.crl.as_deref().unwrap_or(Path::new(""));
            TlsProblem::new("crl", path, error, "a PEM file of revocation lists (X509 CRL)")
        })?;
        Ok(Self { lists: next_updates(&revoked), authorities: Some(Authorities { roots, revoked }), verifier })
    }

    /// Each authority with the time by which there should be another list of its revocations.
    pub(super) fn next_updates(&self) -> Ends {
        self.lists.clone()
    }

    /// What rustls asks.
    pub(super) fn verifier(&self) -> Arc<dyn ServerCertVerifier> {
        Arc::clone(&self.verifier)
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
struct BelievesEverybody(Arc<CryptoProvider>);

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

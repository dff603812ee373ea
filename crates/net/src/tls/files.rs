//! Reads what the configuration names: PEM in, checked certificates out, and a sentence for everything that is wrong with them.

use super::{
    certificates::Certificate,
    facts::{self, Facts},
};
use evenkeel_model::{CertificateFiles, ClientAuth, ClientAuthMode};
use rustls::{
    Error, InconsistentKeys, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

/// Bytes of a file of certificates, keys or revocations. Above it is some other file, and reading on would only take memory.
const FILE_MAX: u64 = 16 << 20;

/// What is wrong with a `tls` section, mostly with a file that it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TlsProblem {
    /// The path of the key below `tls`, such as `certificates[0].cert`.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: &'static str,
}

impl TlsProblem {
    pub(super) fn new(key: &str, path: &Path, what: impl std::fmt::Display, hint: &'static str) -> Self {
        Self { key: key.to_owned(), message: format!("{}: {what}", path.display()), hint }
    }
}

/// Reads a pair, `known` being the one that runs in its place. One that runs may have expired meanwhile: taking it away helps nobody.
pub(super) fn certificate(
    files: &CertificateFiles,
    at: &str,
    now: SystemTime,
    known: Option<&Certificate>,
    provider: &CryptoProvider,
) -> Result<Certificate, Vec<TlsProblem>> {
    let (cert_key, key_key) = (format!("{at}.cert"), format!("{at}.key"));
    let chain = certificates(&files.cert, &cert_key);
    let key = private_key(&files.key, &key_key);
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err([chain.err(), key.err()].into_iter().flatten().collect()),
    };
    let of_cert = |what: String, hint| vec![TlsProblem::new(&cert_key, &files.cert, what, hint)];
    let of_key = |what: String, hint| vec![TlsProblem::new(&key_key, &files.key, what, hint)];

    let no_certificate = || of_cert("the first certificate cannot be read".to_owned(), "it must be X.509 version 3");
    let facts = Facts::of(&chain[0]).ok_or_else(no_certificate)?;
    let runs = known.is_some_and(|known| known.key.cert[0] == chain[0]);
    if facts.not_after <= now && !runs {
        let since = now.duration_since(facts.not_after).unwrap_or_default().as_secs() / 86_400;
        return Err(of_cert(format!("the certificate has expired, {since} days ago"), "renew it"));
    }
    if facts.not_before > now && !runs {
        let hint = "is this machine's clock right?";
        return Err(of_cert("the certificate is not valid yet".to_owned(), hint));
    }
    let key = provider.key_provider.load_private_key(key).map_err(|error| {
        of_key(
            format!("the key cannot be used: {error}"),
            "RSA of 2048 bits and more, ECDSA P-256 to P-521, or Ed25519",
        )
    })?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        // Unknown: the kind of key cannot tell.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Ok(Certificate { key: Arc::new(key), facts })
        }
        Err(Error::InconsistentKeys(_)) => Err(of_key(
            format!("this is not the key of {}", files.cert.display()),
            "the first certificate of the file must be the one for this key",
        )),
        Err(error) => {
            Err(of_cert(format!("the first certificate cannot be used: {error}"), "it must be X.509 version 3"))
        }
    }
}

/// Whose word counts for clients, and which of them no longer; and when there should be other lists of those.
pub(super) fn client_verifier(
    auth: &ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<(Arc<dyn ClientCertVerifier>, Ends), Vec<TlsProblem>> {
    let (ca_key, crl_key) = ("client_auth.ca", "client_auth.crl");
    let of_ca = |what: String| vec![TlsProblem::new(ca_key, &auth.ca, what, AUTHORITIES)];
    let roots = authorities(&auth.ca, ca_key).map_err(|problem| vec![problem])?;
    let crls = auth.crl.as_deref().map_or(Ok(Vec::new()), |path| revocations(path, crl_key)).map_err(|p| vec![p])?;
    let lists = next_updates(&crls);
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    // A list says nothing about certificates of other authorities; those stay good.
    let builder = builder.with_crls(crls).allow_unknown_revocation_status();
    let builder = match auth.mode {
        ClientAuthMode::Required => builder,
        ClientAuthMode::Optional => builder.allow_unauthenticated(),
    };
    let verifier = builder.build().map_err(|error| match &auth.crl {
        Some(crl) => vec![TlsProblem::new(crl_key, crl, error, "a PEM file of revocation lists (X509 CRL)")],
        None => of_ca(error.to_string()),
    })?;
    Ok((verifier, lists))
}

const AUTHORITIES: &str = "a PEM file of the authorities' certificates";

/// Whose word counts.
pub(super) fn authorities(path: &Path, key: &str) -> Result<RootCertStore, TlsProblem> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, key)? {
        let unusable = |error| format!("an authority's certificate cannot be used: {error}");
        roots.add(certificate).map_err(|error| TlsProblem::new(key, path, unusable(error), AUTHORITIES))?;
    }
    Ok(roots)
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let hint = "a PEM file with BEGIN CERTIFICATE";
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&read(path, key)?).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsProblem::new(key, path, "there is no certificate in it", hint)),
        Ok(found) => Ok(found),
        Err(error) => Err(TlsProblem::new(key, path, error, hint)),
    }
}

fn private_key(path: &Path, key: &str) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    let hint = "a PEM file with BEGIN PRIVATE KEY, without a password";
    PrivateKeyDer::from_pem_slice(&read(path, key)?).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsProblem::new(key, path, "there is no private key in it", hint),
        other => TlsProblem::new(key, path, other, hint),
    })
}

/// Names, and when what goes by them runs out; in no order, and a name perhaps more than once.
pub type Ends = Vec<(String, SystemTime)>;

/// When there should be other lists than these, each by the name of its authority.
pub(super) fn next_updates(lists: &[CertificateRevocationListDer<'_>]) -> Ends {
    lists.iter().filter_map(|list| facts::next_update(list)).collect()
}

/// What authorities have taken back.
pub(super) fn revocations(path: &Path, key: &str) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsProblem> {
    let hint = "a PEM file with BEGIN X509 CRL";
    let found: Result<Vec<_>, pem::Error> = CertificateRevocationListDer::pem_slice_iter(&read(path, key)?).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsProblem::new(key, path, "there is no revocation list in it", hint)),
        Ok(found) => Ok(found),
        Err(error) => Err(TlsProblem::new(key, path, error, hint)),
    }
}

fn read(path: &Path, key: &str) -> Result<Vec<u8>, TlsProblem> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 <= FILE_MAX => Ok(bytes),
        Ok(_) => Err(TlsProblem::new(key, path, "larger than 16 MiB", "is this the right file?")),
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => "a relative path begins at the folder of the configuration file",
                io::ErrorKind::PermissionDenied => "the user that runs evenkeel must be able to read it",
                _ => "it must be a file that can be read",
            };
            Err(TlsProblem::new(key, path, format!("cannot be read: {error}"), hint))
        }
    }
}

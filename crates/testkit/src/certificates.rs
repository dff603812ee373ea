//! Certificates for tests, made at run time: no key is ever in the repository, and none expires there.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RevokedCertParams,
    RsaKeySize, SanType, SerialNumber, date_time_ymd,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Serial numbers, so that one can be revoked without another.
static NEXT: AtomicU64 = AtomicU64::new(1000);

/// Somebody whose word counts.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
    pem: String,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, in PEM.
    pub cert: String,
    /// Its private key, in PEM.
    pub key: String,
    /// The certificate, in DER.
    pub der: Vec<u8>,
    serial: u64,
}

/// A certificate that is about to be made.
#[derive(Debug)]
#[must_use = "there is no certificate until it is made"]
pub struct Order<'a> {
    authority: &'a Authority,
    params: CertificateParams,
    rsa: bool,
}

impl Authority {
    /// A new one of this name.
    ///
    /// # Panics
    /// When no key can be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("an authority can sign itself");
        Self { der: certificate.der().to_vec(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// Its own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its own certificate, in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// A certificate for a server of these names, good from 2020 to 2100, with an ECDSA key.
    ///
    /// # Panics
    /// When one of them is no name.
    pub fn server(&self, names: &[&str]) -> Order<'_> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("DNS names or addresses");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Order { authority: self, params, rsa: false }.until(2100)
    }

    /// A certificate for a client of this name.
    pub fn client(&self, name: &str) -> Order<'_> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Order { authority: self, params, rsa: false }.until(2100)
    }

    /// A list that takes these back, in PEM.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn revokes(&self, issued: &[&Issued]) -> String {
        self.revokes_until(2100, issued)
    }

    /// The same, due to be renewed on the first day of this year.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn revokes_until(&self, year: i32, issued: &[&Issued]) -> String {
        let revoked = |issued: &&Issued| RevokedCertParams {
            serial_number: SerialNumber::from(issued.serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: issued.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("an authority can sign a list").pem().expect("a list is text")
    }
}

impl Order<'_> {
    /// With an RSA key instead.
    pub fn rsa(mut self) -> Self {
        self.rsa = true;
        self
    }

    /// Good until the first day of this year.
    pub fn until(mut self, year: i32) -> Self {
        (self.params.not_before, self.params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(year, 1, 1));
        self
    }

    /// Good only from the first day of this year.
    pub fn from(mut self, year: i32) -> Self {
        self.params.not_before = date_time_ymd(year, 1, 1);
        self
    }

    /// With this URI among its names.
    ///
    /// # Panics
    /// When it is not ASCII.
    pub fn uri(mut self, uri: &str) -> Self {
        self.params.subject_alt_names.push(SanType::URI(uri.try_into().expect("a URI in ASCII")));
        self
    }

    /// With these bytes for its names (RFC 5280, section 4.2.1.6), whatever they are.
    pub fn names(mut self, der: &[u8]) -> Self {
        self.params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], der.to_vec()));
        self
    }

    /// Makes it.
    ///
    /// # Panics
    /// When no key can be made.
    #[must_use]
    pub fn make(mut self) -> Issued {
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        self.params.serial_number = Some(SerialNumber::from(serial));
        let key = match self.rsa {
            true => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            false => KeyPair::generate(),
        };
        let key = key.expect("a key");
        let certificate = self.params.signed_by(&key, &self.authority.issuer).expect("an authority can sign");
        Issued { cert: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec(), serial }
    }
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key` into a folder, each by a rename, as careful tools do.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, folder: &Path, name: &str) {
        replace(folder.join(format!("{name}.key")), &self.key);
        replace(folder.join(format!("{name}.pem")), &self.cert);
    }
}

fn replace(path: PathBuf, text: &str) {
    let beside = path.with_added_extension("new");
    fs::write(&beside, text).expect("a file in our folder");
    fs::rename(beside, path).expect("a rename in our folder");
}

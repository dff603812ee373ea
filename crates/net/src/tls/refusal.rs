//! Why there is no TLS with an endpoint, in words that a person can act on.

use evenkeel_model::Protocol;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use std::{io, time::Duration};

/// Why there is no TLS with an endpoint.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The handshake did not end in time.
    #[error("no TLS handshake after {waited:?}")]
    TimedOut {
        /// How long we waited.
        waited: Duration,
    },
    /// It ended badly: what one side did not like of the other.
    #[error("no TLS: {0}")]
    Failed(String),
}

impl Refusal {
    /// The handshake ended well, and the endpoint speaks something that was not offered.
    pub(super) fn of_protocol(offered: &[Protocol]) -> Self {
        let offered: Vec<_> = offered.iter().map(|protocol| protocol.as_str()).collect();
        Self::Failed(format!("it did not choose {} (ALPN)", offered.join(" or ")))
    }

    /// The handshake failed, with this offered.
    pub(super) fn of(error: &io::Error, offered: &[Protocol]) -> Self {
        Self::Failed(inside(error).map_or_else(|| of_the_socket(error, offered), words))
    }
}

/// For a connection that ended with an alert of the endpoint after our side of the handshake was done: with TLS 1.3 an endpoint
/// that does not like our certificate can say so no earlier (RFC 8446, section 4.4.2.4). `None`: it ended for another reason.
#[must_use]
pub fn refused_later(error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
    let error = error.downcast_ref::<io::Error>().and_then(inside)?;
    matches!(error, Error::AlertReceived(_)).then(|| Refusal::Failed(words(error)))
}

fn inside(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn of_the_socket(error: &io::Error, offered: &[Protocol]) -> String {
    match error.kind() {
        // Some servers close before their alert is out.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset if *offered == [Protocol::Http2] => {
            "it closed the connection in the handshake; perhaps it does not speak h2 (ALPN)".to_owned()
        }
        io::ErrorKind::UnexpectedEof => "it closed the connection in the handshake".to_owned(),
        _ => error.to_string(),
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(wrong) => of_a_certificate(wrong),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS here; perhaps plain text".to_owned()
        }
        Error::AlertReceived(alert) => {
            let why = match alert {
                AlertDescription::CertificateRequired => "it wants a client certificate (tls.certificate)",
                AlertDescription::UnknownCA => "it does not know the authority of our certificate",
                AlertDescription::CertificateExpired => "our certificate has expired",
                AlertDescription::UnrecognisedName => "it does not know this server name",
                AlertDescription::ProtocolVersion => "it speaks no version of TLS that we speak",
                AlertDescription::NoApplicationProtocol => "it speaks nothing of what we offer (ALPN)",
                _ => return format!("it refused with the alert {alert:?}"),
            };
            why.to_owned()
        }
        other => other.to_string(),
    }
}

fn of_a_certificate(wrong: &CertificateError) -> String {
    match wrong {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        CertificateError::Revoked => "its certificate was taken back (tls.crl)".to_owned(),
        CertificateError::UnknownIssuer => {
            "its certificate is from an authority that is not trusted (unknown issuer)".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented = match presented.is_empty() {
                true => "none".to_owned(),
                false => presented.join(", "),
            };
            format!("its certificate is not for {}; its names: {presented}", expected.to_str())
        }
        // The version or kind of a certificate that calls itself an authority, and the like.
        other => format!("its certificate cannot be accepted: {other}"),
    }
}

//! Why a handshake did not come to an end, or a connection within TLS did not end well, in few words.

use rustls::{Error, InvalidMessage};
use std::io;

/// Why a handshake failed: whose fault it was and what kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client asked for a name that no certificate has, where that is refused.
    UnknownName,
    /// The client showed no certificate where one is wanted, or none that counts.
    ClientCertificate,
    /// No version, cipher suite, group, signature or protocol that both sides speak.
    Incompatible,
    /// The client gave up and said so, as it does when it does not trust our certificate.
    Alert,
    /// What came was not TLS, or broke its rules.
    Malformed,
    /// The client closed the connection.
    Closed,
}

impl Failure {
    pub(super) fn of(error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return Self::Closed;
        };
        match error {
            // What rustls says when the resolver has nothing to give (rustls 0.23, `server::hs`).
            Error::General(_) => Self::UnknownName,
            Error::InvalidCertificate(_) | Error::NoCertificatesPresented | Error::InvalidCertRevocationList(_) => {
                Self::ClientCertificate
            }
            Error::PeerIncompatible(_)
            | Error::NoApplicationProtocol
            | Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => Self::Incompatible,
            Error::AlertReceived(_) => Self::Alert,
            _ => Self::Malformed,
        }
    }
}

/// What a peer has done to an established connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A record that its key does not open: it was changed on the way, or never was of this connection.
    BadRecord,
    /// It gave up and said so.
    Alert,
    /// What came was not TLS, or broke its rules.
    Malformed,
}

impl Fault {
    /// Of an error that reading gave. `None`: the connection has failed beneath TLS.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        Some(match error.get_ref()?.downcast_ref::<Error>()? {
            Error::DecryptError => Self::BadRecord,
            Error::AlertReceived(_) => Self::Alert,
            _ => Self::Malformed,
        })
    }
}

//! Where something is: an IP address and port, a host name and port, or a unix socket.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
    str::FromStr,
    sync::Arc,
};

/// An address as a person writes it. A host name is resolved later and again (by `net`), never here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// `10.0.0.1:8080` or `[::1]:8080`.
    Ip(SocketAddr),
    /// `backend.internal:8080`.
    Host(HostName, u16),
    /// `unix:/run/app.sock`.
    Unix(Arc<Path>),
}

/// A host name: letters, digits, `-`, `_` and dots, at most 253 bytes, labels of 1 to 63 (RFC 1123, section 2.1), lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `:port` at the end.
    #[error("the port is missing: write HOST:PORT")]
    NoPort,
    /// The port is no number from 0 to 65535.
    #[error("'{0}' is not a port (0 to 65535)")]
    BadPort(String),
    /// Neither an IP address nor a host name.
    #[error("'{0}' is neither an IP address nor a host name")]
    BadHost(String),
    /// `unix:` without an absolute path.
    #[error("a unix socket is written unix:/absolute/path")]
    BadPath,
    /// `http://` and the like.
    #[error("an address has no scheme and no path: write HOST:PORT")]
    Scheme,
}

impl HostName {
    /// The name in lower case, without a trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // "1.2.3" is a mistyped IP address, not a name: no top-level domain is a number (RFC 3696, section 2).
        let numeric = text.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        (text.len() <= 253 && !numeric && text.split('.').all(label)).then(|| Self(text.to_ascii_lowercase().into()))
    }
}

impl Address {
    /// The port, where there is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(address) => Some(address.port()),
            Self::Host(_, port) => Some(*port),
            Self::Unix(_) => None,
        }
    }

    /// What to write into a `Host` field when nothing else is known; a unix socket is `localhost`.
    #[must_use]
    pub fn authority(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Ip(_) | Self::Host(..) => self.to_string(),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            // sun_path holds 108 bytes with its closing NUL (unix(7)).
            let good = path.starts_with('/') && path.len() < 108 && !path.contains('\0');
            return if good { Ok(Self::Unix(Path::new(path).into())) } else { Err(AddressError::BadPath) };
        }
        if text.contains('/') {
            return Err(AddressError::Scheme);
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        if host.is_empty() || (text.parse::<IpAddr>().is_ok()) {
            return Err(AddressError::NoPort);
        }
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port = digits.then(|| port.parse().ok()).flatten().ok_or_else(|| AddressError::BadPort(port.to_owned()))?;
        if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            let ip: std::net::Ipv6Addr = v6.parse().map_err(|_| AddressError::BadHost(host.to_owned()))?;
            return Ok(Self::Ip(SocketAddr::new(ip.into(), port)));
        }
        if let Ok(ip) = host.parse::<std::net::Ipv4Addr>() {
            return Ok(Self::Ip(SocketAddr::new(ip.into(), port)));
        }
        let name = HostName::parse(host).ok_or_else(|| AddressError::BadHost(host.to_owned()))?;
        Ok(Self::Host(name, port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Host(name, port) => write!(f, "{}:{port}", name.0),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_as_it_is_read() {
        for text in ["10.0.0.1:80", "[::1]:8080", "backend.internal:0", "localhost:65535", "unix:/run/a.sock", "a_b:1"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("Backend.Internal.:80".parse::<Address>().unwrap().to_string(), "backend.internal:80");
    }

    #[test]
    fn a_wrong_address_says_what_is_wrong() {
        for (text, error) in [
            ("10.0.0.1", AddressError::NoPort),
            ("::1", AddressError::NoPort),
            (":80", AddressError::NoPort),
            ("a:99999", AddressError::BadPort("99999".into())),
            ("a:+1", AddressError::BadPort("+1".into())),
            ("a:", AddressError::BadPort(String::new())),
            ("10.0.0.256:80", AddressError::BadHost("10.0.0.256".into())),
            ("[::g]:80", AddressError::BadHost("[::g]".into())),
            ("-a:80", AddressError::BadHost("-a".into())),
            ("http://a:80", AddressError::Scheme),
            ("unix:run", AddressError::BadPath),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }
}

//! The nouns of Evenkeel as plain data.
//!
//! Everything above speaks in these words. A value of these types has been checked once, where it was made (`config`
//! for a file, the constructors here for an embedder), and nobody behind that door asks again.
//! No I/O, no threads, no clock.

mod address;
mod config;
mod filter;
mod listener;
mod name;
mod path;
mod policy;
mod probe;
mod route;
mod tls;
mod units;
mod upgrade;
mod upstream;

pub use address::{Address, AddressError, HostName};
pub use config::{AccessLog, Admin, Config, Drain, Log, LogFormat, LogLevel, LogOutput};
pub use filter::{Filter, FixedResponse, HeaderChange, Redirect, RedirectScheme};
pub use listener::{HalfClosedClients, HeaderSenders, Listener, ListenerProtocol, SniRoute, Tcp};
pub use name::{ListenerName, NameError, RouteName, UpstreamName};
pub use path::{PathError, PathFolding, normalise as normalise_path};
pub use policy::{ClientTimeouts, Forwarded, Limits, Pings, Pool, RateMin, Underscores, UpstreamTimeouts};
pub use probe::{GrpcProbe, HttpProbe, Probe, ProbeKind};
pub use route::{HeaderMatch, HostPattern, HostPatternError, PathMatch, Route};
pub use tls::{
    CertificateFiles, ClientAuth, ClientAuthMode, HANDSHAKE_TIMEOUT, Protocol, Tls, TlsVersion, UnknownNames,
    UpstreamTls,
};
pub use units::{ByteSize, Duration, UnitError, Weight, parse_duration, parse_size};
pub use upgrade::{UpgradeToken, UpgradeTokenError};
pub use upstream::{Algorithm, Endpoint, ProxyProtocol, Upstream, UpstreamProtocol};

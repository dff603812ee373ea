//! A whole configuration, checked.

use crate::{Address, Duration, Forwarded, Limits, Listener, Route, Tls, Upstream, UpstreamTls};
use std::{net::IpAddr, num::NonZeroUsize, path::PathBuf};

/// A whole configuration. Every name it refers to is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Threads that serve; `None`: the cores that the process may use. Takes effect at start only.
    pub workers: Option<NonZeroUsize>,
    /// The operator's door; `None`: none.
    pub admin: Option<Admin>,
    /// Where we accept.
    pub listeners: Vec<Listener>,
    /// In the order of the file.
    pub routes: Vec<Route>,
    /// Where requests go.
    pub upstreams: Vec<Upstream>,
    /// Peers whose `X-Forwarded-*` or `Forwarded` we believe.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// In which fields endpoints learn who asked, and which a trusted proxy is believed in.
    pub forwarded: Forwarded,
    /// What one client may cost us.
    pub limits: Limits,
    /// How we stop.
    pub drain: Drain,
    /// One line a request; `None`: off.
    pub access_log: Option<AccessLog>,
    /// What we say ourselves.
    pub log: Log,
}

impl Config {
    /// Every file that it names and that belongs to what it says: certificates and their like.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let listeners = self.listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(Tls::files);
        listeners.chain(self.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref()).flat_map(UpstreamTls::files))
    }

    /// Whether this peer is believed when it says who asked.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|net| net.contains(&peer))
    }
}

/// The operator's door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens. Off loopback it serves `/metrics`, `/livez` and `/readyz` only.
    pub listen: Address,
}

/// How we stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// From the signal until listeners close: time for whoever balances over us to notice `/readyz`.
    pub grace: Duration,
    /// From the end of the grace until what still runs is cut.
    pub deadline: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { grace: Duration::from_secs(5), deadline: Duration::from_secs(30) }
    }
}

/// One JSON object a line for each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where the lines go.
    pub output: LogOutput,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Appended to a file, opened again on USR1.
    File(PathBuf),
}

/// What we say ourselves, on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// From this level up.
    pub level: LogLevel,
    /// How.
    pub format: LogFormat,
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what needs a person now.
    Error,
    /// And what may need one.
    Warn,
    /// And what happened.
    #[default]
    Info,
    /// And why.
    Debug,
    /// And everything else.
    Trace,
}

/// How it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

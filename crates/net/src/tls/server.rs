//! The server's side of TLS, for one listener.

use super::{
    certificates::{Names, Resolver, Table},
    facts::Facts,
    failure::Failure,
    files::{self, Ends, TlsProblem},
    resuming::Resuming,
};
use crate::Stream;
use arc_swap::ArcSwap;
use evenkeel_model::{Protocol, Tls, TlsVersion};
use rustls::{
    HandshakeKind, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    server::NoServerSessionStorage,
    version::{TLS12, TLS13},
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};
use tokio_rustls::{TlsAcceptor, server::FallibleAccept};

/// Bytes in which endpoints are told who a client is. They would refuse a longer line: httpd takes 8190 bytes of one field, name
/// included, and most others 8 KiB.
const IDENTITY_MAX: usize = 8000;

/// TLS as one listener speaks it. It lives as long as the listener's name: with it live the keys of tickets and the remembered sessions,
/// so that clients resume over reloads of everything.
pub struct ServerTls {
    current: ArcSwap<Current>,
    resolver: Arc<Resolver>,
    resuming: Resuming,
}

/// What the files said when they were read.
struct Current {
    settings: Tls,
    /// What rustls works with.
    config: Arc<ServerConfig>,
    /// When there should be other lists of revocations.
    lists: Ends,
}

/// Everything read and checked; nothing that runs has been touched.
#[must_use = "nothing changes until it is installed"]
pub struct Ready {
    server: Arc<ServerTls>,
    current: Arc<Current>,
    table: Arc<Table>,
}

/// How reading the files again has ended.
#[derive(Debug, Default)]
pub struct Reloaded {
    /// Certificates that changed.
    pub changed: usize,
    /// What was wrong; each such file goes on as it was.
    pub problems: Vec<TlsProblem>,
}

/// What is known of a client after its handshake.
#[derive(Clone, Debug)]
pub struct Session {
    /// The name that it asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// The names of the certificates that were chosen for it.
    pub names: Option<Names>,
    /// Who it is, by its verified certificate: one line of printable ASCII, of a few thousand bytes at most.
    pub client: Option<String>,
    /// Whether it resumed a session from before.
    pub resumed: bool,
    /// What will be spoken.
    pub protocol: Protocol,
}

impl ServerTls {
    /// Reads and checks everything that `settings` name. `previous` is what the listener has now. Blocks: it reads files.
    ///
    /// # Errors
    /// All that is wrong with the files.
    pub fn prepare(settings: &Tls, previous: Option<&Arc<Self>>, now: SystemTime) -> Result<Ready, Vec<TlsProblem>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let running = previous.map(|previous| (previous.current.load_full(), previous.resolver.table()));
        let mut problems = Vec::new();
        let mut certificates = Vec::new();
        for (index, pair) in settings.certificates.iter().enumerate() {
            let known = running.as_ref().and_then(|(current, table)| {
                let at = current.settings.certificates.iter().position(|known| known == pair)?;
                table.get(at)
            });
            match files::certificate(pair, &format!("certificates[{index}]"), now, known, &provider) {
                Ok(certificate) => certificates.push(certificate),
                Err(wrong) => problems.extend(wrong),
            }
        }
        let table = Arc::new(Table::new(certificates, settings.unknown_names));
        let (resolver, resuming) = match previous {
            Some(previous) => (Arc::clone(&previous.resolver), previous.resuming.clone()),
            None => (Arc::new(Resolver::new(Arc::clone(&table))), Resuming::new().map_err(|problem| vec![problem])?),
        };
        let current = match Current::of(settings, &provider, &resolver, &resuming) {
            Ok(current) if problems.is_empty() => Arc::new(current),
            Ok(_) => return Err(problems),
            Err(wrong) => {
                problems.extend(wrong);
                return Err(problems);
            }
        };
        let server = previous
            .cloned()
            .unwrap_or_else(|| Arc::new(Self { current: ArcSwap::new(Arc::clone(&current)), resolver, resuming }));
        Ok(Ready { server, current, table })
    }

    /// Reads all files again. A pair that is wrong stays as it was, the others change. Blocks.
    pub fn reload(&self, now: SystemTime) -> Reloaded {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (current, table) = (self.current.load_full(), self.resolver.table());
        let settings = &current.settings;
        let mut reloaded = Reloaded::default();
        let mut certificates = Vec::new();
        for (index, pair) in settings.certificates.iter().enumerate() {
            let known = table.get(index);
            let read = files::certificate(pair, &format!("certificates[{index}]"), now, known, &provider);
            let read = read.map_err(|wrong| reloaded.problems.extend(wrong)).ok();
            let changed = |(read, known): (&super::certificates::Certificate, &super::certificates::Certificate)| {
                read.key.cert != known.key.cert
            };
            reloaded.changed += usize::from(read.as_ref().zip(known).is_some_and(changed));
            certificates.extend(read.or_else(|| known.cloned()));
        }
        if settings.client_auth.is_some() {
            // Nothing is resumed there, so nothing is lost with the old configuration; it is the only way to another list of revocations.
            match Current::of(settings, &provider, &self.resolver, &self.resuming) {
                Ok(current) => self.current.store(Arc::new(current)),
                Err(wrong) => reloaded.problems.extend(wrong),
            }
        }
        self.resolver.swap(Arc::new(Table::new(certificates, settings.unknown_names)));
        reloaded
    }

    /// Begins a handshake. It does not keep time: whoever polls it does.
    #[must_use]
    pub fn accept(self: &Arc<Self>, stream: Stream) -> Handshake {
        let config = Arc::clone(&self.current.load().config);
        Handshake { accept: TlsAcceptor::from(config).accept(stream).into_fallible(), server: Arc::clone(self) }
    }

    /// Each name with the end of its certificate, in no order and perhaps more than once.
    #[must_use]
    pub fn ends(&self) -> Ends {
        self.resolver.table().ends().map(|(name, end)| (name.to_owned(), end)).collect()
    }

    /// Each authority with the time by which there should be another list of its revocations.
    #[must_use]
    pub fn next_updates(&self) -> Ends {
        self.current.load().lists.clone()
    }
}

impl Ready {
    /// Makes it what new connections get.
    pub fn install(&self) -> Arc<ServerTls> {
        self.server.resolver.swap(Arc::clone(&self.table));
        self.server.current.store(Arc::clone(&self.current));
        Arc::clone(&self.server)
    }

    /// What it will be installed in.
    #[must_use]
    pub fn server(&self) -> &Arc<ServerTls> {
        &self.server
    }
}

impl Current {
    fn of(
        settings: &Tls,
        provider: &Arc<CryptoProvider>,
        resolver: &Arc<Resolver>,
        resuming: &Resuming,
    ) -> Result<Self, Vec<TlsProblem>> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider));
        let builder = builder
            .with_protocol_versions(versions(settings.min_version))
            .expect("aws-lc-rs has suites for both versions");
        let (builder, lists) = match &settings.client_auth {
            Some(auth) => {
                let (verifier, lists) = files::client_verifier(auth, provider)?;
                (builder.with_client_cert_verifier(verifier), lists)
            }
            None => (builder.with_no_client_auth(), Ends::new()),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(resolver) as _);
        config.alpn_protocols = settings.protocols.iter().map(|protocol| protocol.as_str().into()).collect();
        if settings.client_auth.is_some() {
            // A resumed session skips the check of the certificate, and of what was revoked since. No tickets, no memory, and nothing
            // shared with a configuration that has them.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            config.session_storage = Arc::clone(&resuming.sessions);
            config.ticketer = Arc::clone(&resuming.tickets);
        }
        // max_early_data_size stays 0: early data can be replayed (RFC 8446, section 8).
        Ok(Self { settings: settings.clone(), config: Arc::new(config), lists })
    }
}

/// The versions from this one up.
pub(super) fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match least {
        TlsVersion::V1_2 => &BOTH,
        TlsVersion::V1_3 => &BOTH[..1],
    }
}

/// A handshake in progress. Each poll may cost some hundred microseconds.
pub struct Handshake {
    accept: FallibleAccept<Stream>,
    server: Arc<ServerTls>,
}

impl Future for Handshake {
    type Output = Result<(Stream, Session), (Failure, std::io::Error)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.accept).poll(cx).map(|done| match done {
            Ok(stream) => {
                let session = Session::of(stream.get_ref().1, &self.server.resolver)?;
                Ok((Stream::Tls(Box::new(stream.into())), session))
            }
            Err((error, _)) => Err((Failure::of(&error), error)),
        })
    }
}

impl Session {
    /// A client that is verified and cannot be named is none: it must not pass for one that has shown nothing.
    fn of(connection: &rustls::ServerConnection, resolver: &Resolver) -> Result<Self, (Failure, std::io::Error)> {
        let server_name: Option<Box<str>> = connection.server_name().map(|name| name.to_ascii_lowercase().into());
        let chain = connection.peer_certificates().unwrap_or_default();
        let client = chain.first().map(|certificate| named(certificate)).transpose();
        let client = client.map_err(|why| (Failure::ClientCertificate, std::io::Error::other(why)))?;
        let spoken = connection.alpn_protocol();
        let protocol = Protocol::ALL.into_iter().find(|known| spoken == Some(known.as_str().as_bytes()));
        Ok(Self {
            names: resolver.names(server_name.as_deref()),
            server_name,
            client,
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            // Clients that do not negotiate speak HTTP/1.1: there was nothing else before ALPN.
            protocol: protocol.unwrap_or(Protocol::Http11),
        })
    }
}

/// Whose it is, in one line. What rustls verifies it does not read to its end: a name in its extensions may be none.
fn named(certificate: &[u8]) -> Result<String, &'static str> {
    let identity = Facts::of(certificate).ok_or("the client's certificate cannot be read")?.into_identity();
    if identity.len() > IDENTITY_MAX { Err("the client's certificate has too many names") } else { Ok(identity) }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("settings", &self.current.load().settings).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").field("settings", &self.current.settings).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

//! Our side of TLS with the endpoints of one upstream.

use super::{
    certificates::Certificate,
    files::{self, Ends, TlsProblem},
    refusal::Refusal,
    server::{Reloaded, versions},
    trust::Trust,
};
use crate::Stream;
use arc_swap::ArcSwap;
use evenkeel_model::{Address, Protocol, UpstreamTls};
use rustls::{
    ClientConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::ServerName,
    sign::SingleCertAndKey,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};
use tokio_rustls::TlsConnector;

/// Server names whose sessions an upstream remembers, all workers together, with eight tickets each (`rustls`). More endpoints than
/// this still work, with full handshakes.
const SESSIONS_MAX: usize = 1024;

/// TLS as one upstream speaks it. It lives as long as its settings: with it live the sessions that endpoints let us resume.
pub struct ClientTls {
    settings: UpstreamTls,
    current: ArcSwap<Current>,
}

/// What the files said when they were read.
struct Current {
    identity: Identity,
    trust: Trust,
    certificate: Option<Certificate>,
    config: Arc<ClientConfig>,
    /// The same without a memory of sessions.
    forgetful: Arc<ClientConfig>,
}

/// With which settings and files a connection was made. What has another one was made under other rules, and is not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(u64);

/// What is to be spoken within TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// What the endpoint chooses of what the settings offer.
    Agreed,
    /// This and nothing else, whatever the settings say.
    Only(Protocol),
    /// Whatever it is, it is not our business: no protocol is offered that the operator has not written, for an endpoint would choose it,
    /// or refuse a list without its own.
    Bytes,
}

/// A connection within TLS.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub stream: Stream,
    /// What is spoken inside.
    pub protocol: Protocol,
    /// With which settings it was made.
    pub identity: Identity,
}

/// Read and checked; nothing that runs has been touched.
#[must_use = "nothing changes until it is installed"]
pub struct ClientReady {
    client: Arc<ClientTls>,
    current: Arc<Current>,
}

impl ClientTls {
    /// Reads and checks all that `settings` name, for endpoints at these addresses. `previous` is what the upstream has now: with the same
    /// settings it goes on, with its sessions if the files are the same too. Blocks: it reads files.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn prepare<'a>(
        settings: &UpstreamTls,
        addresses: impl IntoIterator<Item = &'a Address>,
        previous: Option<&Arc<Self>>,
        now: SystemTime,
    ) -> Result<ClientReady, Vec<TlsProblem>> {
        let previous = previous.filter(|previous| previous.settings == *settings);
        let mut problems: Vec<_> =
            addresses.into_iter().filter_map(|address| server_name(settings, address).err()).take(1).collect();
        let known = previous.map(|previous| previous.current.load_full());
        match Current::read(settings, known.as_ref(), now) {
            Ok(current) if problems.is_empty() => {
                let fresh =
                    || Arc::new(Self { settings: settings.clone(), current: ArcSwap::new(Arc::clone(&current)) });
                Ok(ClientReady { client: previous.cloned().unwrap_or_else(fresh), current })
            }
            read => {
                problems.extend(read.err().into_iter().flatten());
                Err(problems)
            }
        }
    }

    /// Reads all files again. If anything is wrong with them, all stays as it was. Blocks.
    pub fn reload(&self, now: SystemTime) -> Reloaded {
        let known = self.current.load_full();
        match Current::read(&self.settings, Some(&known), now) {
            Ok(read) => {
                let changed = usize::from(read.identity != known.identity);
                self.current.store(read);
                Reloaded { changed, problems: Vec::new() }
            }
            Err(problems) => Reloaded { changed: 0, problems },
        }
    }

    /// Each name of the certificate that endpoints are shown, with its end. One without names goes by the empty one.
    #[must_use]
    pub fn ends(&self) -> Ends {
        let current = self.current.load();
        let ends = current.certificate.iter().flat_map(Certificate::ends);
        ends.map(|(name, end)| (name.to_owned(), end)).collect()
    }

    /// Each authority with the time by which there should be another list of its revocations.
    #[must_use]
    pub fn next_updates(&self) -> Ends {
        self.current.load().trust.next_updates()
    }

    /// Of the connections that are made from now on.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.current.load().identity
    }

    /// Speaks TLS over `stream`, which leads to `address`, and agrees on what is spoken `inside`.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was sent but the handshake.
    pub async fn connect(
        &self,
        stream: Stream,
        address: &Address,
        inside: Inside,
        limit: Duration,
    ) -> Result<Connected, Refusal> {
        let current = self.current.load_full();
        self.shake(&current, &current.config, stream, address, inside, limit).await
    }

    /// The same for a probe, which resumes no session: an endpoint would not show its certificate (RFC 8446, section 2.2), and one that
    /// has run out since would not be noticed.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was sent but the handshake.
    pub async fn probe(
        &self,
        stream: Stream,
        address: &Address,
        inside: Inside,
        limit: Duration,
    ) -> Result<Connected, Refusal> {
        let current = self.current.load_full();
        self.shake(&current, &current.forgetful, stream, address, inside, limit).await
    }

    async fn shake(
        &self,
        current: &Current,
        config: &Arc<ClientConfig>,
        stream: Stream,
        address: &Address,
        inside: Inside,
        limit: Duration,
    ) -> Result<Connected, Refusal> {
        let name = server_name(&self.settings, address).map_err(|problem| Refusal::Failed(problem.message))?;
        let offered = match &inside {
            Inside::Agreed => &self.settings.protocols[..],
            Inside::Only(protocol) => std::slice::from_ref(protocol),
            Inside::Bytes => &self.settings.session_protocols[..],
        };
        let names = offered.iter().map(|protocol| protocol.as_str().into()).collect();
        let connecting = TlsConnector::from(Arc::clone(config)).with_alpn(names).connect(name, stream);
        let connected = tokio::time::timeout(limit, connecting).await;
        let stream =
            connected.map_err(|_| Refusal::TimedOut { waited: limit })?.map_err(|e| Refusal::of(&e, offered))?;
        let spoken = stream.get_ref().1.alpn_protocol();
        let protocol = Protocol::ALL.into_iter().find(|known| spoken == Some(known.as_str().as_bytes()));
        // Endpoints that do not negotiate speak HTTP/1.1: there was nothing else before ALPN.
        let protocol = protocol.unwrap_or(Protocol::Http11);
        if inside != Inside::Bytes && !offered.contains(&protocol) {
            return Err(Refusal::of_protocol(offered));
        }
        Ok(Connected { protocol, stream: Stream::Tls(Box::new(stream.into())), identity: current.identity })
    }
}

impl ClientReady {
    /// Makes it what new connections get.
    pub fn install(&self) {
        self.client.current.store(Arc::clone(&self.current));
    }

    /// What it will be installed in.
    #[must_use]
    pub fn client(&self) -> &Arc<ClientTls> {
        &self.client
    }
}

/// For whom an endpoint's certificate must be: the written name, or the host of its address, as with Envoy's and HAProxy's `sni` and
/// `verifyhost`: never the request's Host, which a client chooses.
fn server_name(settings: &UpstreamTls, address: &Address) -> Result<ServerName<'static>, TlsProblem> {
    let host = match (&settings.server_name, address) {
        (Some(written), _) => written.clone(),
        (None, Address::Ip(address)) => return Ok(ServerName::IpAddress(address.ip().to_canonical().into())),
        (None, Address::Host(name, _)) => name.as_str().to_owned(),
        (None, Address::Unix(_)) => String::new(),
    };
    ServerName::try_from(host.clone()).map_err(|_| TlsProblem {
        key: if settings.server_name.is_some() { "server_name".to_owned() } else { String::new() },
        message: format!("{host:?} is neither a DNS name nor an IP address, so no certificate can be for it"),
        hint: "write a name that the endpoints' certificates have as server_name",
    })
}

impl Current {
    /// What the files say now; `known` itself, if they say what they said.
    fn read(settings: &UpstreamTls, known: Option<&Arc<Self>>, now: SystemTime) -> Result<Arc<Self>, Vec<TlsProblem>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let before = known.and_then(|known| known.certificate.as_ref());
        let certificate =
            settings.certificate.as_ref().map(|pair| files::certificate(pair, "certificate", now, before, &provider));
        let (trust, certificate) = match (Trust::of(settings, &provider), certificate.transpose()) {
            (Ok(trust), Ok(certificate)) => (trust, certificate),
            (trust, certificate) => {
                return Err(trust.err().into_iter().chain(certificate.err().into_iter().flatten()).collect());
            }
        };
        let chain = |certificate: &Option<Certificate>| certificate.as_ref().map(|one| one.key.cert.clone());
        if let Some(known) = known
            && known.trust == trust
            && chain(&known.certificate) == chain(&certificate)
        {
            return Ok(Arc::clone(known));
        }
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let config = config(settings, &trust, certificate.as_ref(), &provider);
        let mut forgetful = config.clone();
        forgetful.resumption = Resumption::disabled();
        let identity = Identity(NEXT.fetch_add(1, Relaxed));
        Ok(Arc::new(Self { identity, trust, certificate, config: Arc::new(config), forgetful: Arc::new(forgetful) }))
    }
}

/// What rustls works with. Each has its own memory of sessions: one that was made under other rules is never resumed.
fn config(
    settings: &UpstreamTls,
    trust: &Trust,
    certificate: Option<&Certificate>,
    provider: &Arc<CryptoProvider>,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider));
    let builder = builder.with_protocol_versions(versions(settings.min_version));
    let builder = builder.expect("aws-lc-rs has suites for both versions");
    let builder = builder.dangerous().with_custom_certificate_verifier(trust.verifier());
    let mut config = match certificate {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&own.key)))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    config
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ClientReady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientReady").field("client", &self.client).finish_non_exhaustive()
    }
}

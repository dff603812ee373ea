//! Endpoints within TLS that speak HTTP/2, and proxies that trust them.

use super::origin::{H2Origin, echo};
use evenkeel_testkit::{Authority, Builder, Proxy, TlsServer};
use std::{fmt::Display, fs};

pub(super) const TRUSTING: &str = "tls = { ca = \"ca.pem\", server_name = \"a.test\" }";
pub(super) const H2: &str = "protocol = \"h2\"\ntls = { ca = \"ca.pem\", server_name = \"a.test\" }";
pub(super) const AUTO: &str = "protocol = \"auto\"\ntls = { ca = \"ca.pem\", server_name = \"a.test\" }";

/// Somebody whom proxies trust, and a server with a certificate of theirs.
pub(super) struct Site {
    pub(super) authority: Authority,
    pub(super) tls: TlsServer,
}

impl Site {
    pub(super) fn new() -> Self {
        let authority = Authority::new("Test Authority");
        let tls = TlsServer::new(&authority.server(&["a.test"]).make());
        Self { authority, tls: tls.speaking(&["h2", "http/1.1"]) }
    }

    /// The same server, speaking this and nothing else.
    pub(super) fn speaking(&self, protocols: &[&str]) -> TlsServer {
        self.tls.clone().speaking(protocols)
    }

    pub(super) async fn origin(&self) -> H2Origin {
        H2Origin::secured(&self.tls, echo).await
    }

    /// A proxy before these endpoints.
    pub(super) fn before<E: Display>(&self, endpoints: impl IntoIterator<Item = E>, upstream: &str) -> Builder {
        let endpoints = endpoints.into_iter().map(|endpoint| endpoint.to_string());
        let builder = Proxy::with_endpoints(endpoints).upstream(upstream).workers(1);
        fs::write(builder.folder().join("ca.pem"), self.authority.pem()).expect("a file in our folder");
        builder
    }

    /// What was agreed on, handshake by handshake.
    pub(super) fn agreed(&self) -> Vec<String> {
        self.tls.greeted().into_iter().map(|greeted| greeted.protocol.unwrap_or_default()).collect()
    }
}

//! TLS to clients and to endpoints: who we are, who they are, what is spoken, and what bad input gets.

mod clients;
mod endpoints;
mod expiry;
mod faults;
mod handshakes;
mod idle;
mod names;
mod reload;
mod requests;
mod through;

use evenkeel_testkit::{Authority, Builder, Origin, Proxy, RawResponse, Secured, TlsClient, Wire};

/// The listener's certificate is `site.pem`, and nothing else is said.
const SITE: &str = "tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]";

/// An authority, an endpoint, and a proxy that is about to start with a certificate for `a.test` and `*.wild.test`.
async fn site() -> (Authority, Origin, Builder) {
    let authority = Authority::new("Test Authority");
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin).listener(SITE);
    authority.server(&["a.test", "*.wild.test"]).make().write(builder.folder(), "site");
    (authority, origin, builder)
}

/// Asks for `/` of this host.
async fn get(wire: &mut Wire, host: &str) -> RawResponse {
    wire.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    wire.response().await
}

/// Connects and asks once, so that the session can be remembered (TLS 1.3 tells it after the handshake).
async fn visit(client: &TlsClient, proxy: &Proxy, host: &str) -> Secured {
    let mut secured = client.connect(proxy.web()).await;
    assert_eq!(get(&mut secured.wire, host).await.status, 200);
    secured
}

/// How many handshakes ended so.
async fn counts(proxy: &Proxy, result: &str, goal: u32) {
    let (what, goal) = (format!("{goal} handshakes: {result}"), f64::from(goal));
    let labels = [("result", result)];
    proxy.metrics_show(&what, |m| (m.sum("evenkeel_tls_handshakes_total", &labels) - goal).abs() < 0.5).await;
}

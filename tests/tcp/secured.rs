//! TLS between us and the endpoints of a tcp listener: what is spoken inside is the business of the two ends.

use super::{ended, leading};
use evenkeel_testkit::{Authority, Origin, Proxy, TlsServer};
use std::fs;

/// A tcp listener before an endpoint within TLS, with probes.
async fn before(origin: &Origin, authority: &Authority, alpn: &str) -> Proxy {
    let tls = format!("tls = {{ ca = \"ca.pem\", server_name = \"a.test\"{alpn} }}");
    let probes = "health = { tcp = true, interval = \"100ms\", healthy_after = 1, unhealthy_after = 1 }";
    let builder = leading("", [origin], &format!("{tls}\n{probes}"));
    fs::write(builder.folder().join("ca.pem"), authority.pem()).expect("a file in our folder");
    let proxy = builder.start().await;
    proxy.sees(origin, true).await;
    proxy
}

async fn serves(proxy: &Proxy) {
    let mut wire = proxy.at("db").connect().await.map(evenkeel_testkit::Wire::over).expect("somebody accepts");
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wire.response().await.status, 200);
    drop(wire);
    ended(proxy, "complete", 1).await;
}

#[tokio::test]
async fn no_protocol_is_offered_for_bytes_that_are_passed_on() {
    let authority = Authority::new("Test Authority");
    let issued = authority.server(&["a.test"]).make();
    // The first would choose what is offered, the second would refuse it.
    for speaks in [&["h2", "http/1.1"][..], &["postgresql"]] {
        let tls = TlsServer::new(&issued).speaking(speaks);
        let origin = Origin::http1().tls(&tls).start().await;
        let proxy = before(&origin, &authority, "").await;

        serves(&proxy).await;

        let greeted = tls.greeted();
        assert!(greeted.iter().all(|greeted| greeted.protocol.is_none()), "{greeted:?}");
    }
}

#[tokio::test]
async fn a_protocol_that_is_written_is_offered() {
    let authority = Authority::new("Test Authority");
    let tls = TlsServer::new(&authority.server(&["a.test"]).make());
    let origin = Origin::http1().tls(&tls).start().await;
    let proxy = before(&origin, &authority, ", alpn = [\"http/1.1\"]").await;

    serves(&proxy).await;

    let greeted = tls.greeted();
    assert!(greeted.iter().all(|greeted| greeted.protocol.as_deref() == Some("http/1.1")), "{greeted:?}");
}

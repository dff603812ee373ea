//! Which certificate a client is shown: by the name that it asks for, and by what it understands.

use super::{SITE, counts, get, site, visit};
use evenkeel_testkit::{Authority, Origin, Proxy, TlsClient};

#[tokio::test]
async fn a_request_over_tls_is_answered_and_the_endpoint_learns_the_scheme() {
    let (authority, origin, builder) = site().await;
    let proxy = builder.start().await;

    let mut secured = visit(&TlsClient::new(&authority, "a.test"), &proxy, "a.test").await;

    assert_eq!((secured.version, secured.protocol.as_deref()), ("1.3", Some("http/1.1")));
    assert_eq!(secured.group.as_deref(), Some("X25519MLKEM768"));
    assert_eq!(origin.last_seen().header("x-forwarded-proto"), Some("https"));
    // The connection is kept.
    assert_eq!(get(&mut secured.wire, "a.test").await.status, 200);
    counts(&proxy, "full", 1).await;
}

#[tokio::test]
async fn the_name_that_is_asked_for_chooses_exact_then_wildcard_then_the_first() {
    let authority = Authority::new("Test Authority");
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin).listener(
        "tls.certificates = [{ cert = \"first.pem\", key = \"first.key\" }, { cert = \"wild.pem\", key = \"wild.key\" },
         { cert = \"exact.pem\", key = \"exact.key\" }]",
    );
    let issue = |name: &str, names: &[&str]| {
        let issued = authority.server(names).make();
        issued.write(builder.folder(), name);
        issued.der
    };
    let first = issue("first", &["first.test", "127.0.0.1"]);
    let wild = issue("wild", &["*.b.test"]);
    let exact = issue("exact", &["x.b.test"]);
    let proxy = builder.start().await;

    for (name, expected) in [("first.test", &first), ("a.b.test", &wild), ("x.b.test", &exact), ("X.B.Test", &exact)] {
        let secured = TlsClient::new(&authority, name).connect(proxy.web()).await;
        assert_eq!(secured.certificate, *expected, "{name}");
    }
    // An address is not asked for in SNI (RFC 6066, section 3), and a wildcard stands for one label.
    assert_eq!(TlsClient::new(&authority, "127.0.0.1").connect(proxy.web()).await.certificate, first);
    for stranger in ["b.test", "y.a.b.test", "other.test"] {
        let error = TlsClient::new(&authority, stranger).try_connect(proxy.web()).await.unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{stranger}: {error}");
    }
}

#[tokio::test]
async fn unknown_names_can_be_refused() {
    let (authority, _origin, builder) = site().await;
    let proxy = builder.listener("tls.unknown_names = \"refuse\"").start().await;

    visit(&TlsClient::new(&authority, "a.test"), &proxy, "a.test").await;
    assert!(TlsClient::new(&authority, "b.test").try_connect(proxy.web()).await.is_err());
    assert!(TlsClient::new(&authority, "a.test").nameless().try_connect(proxy.web()).await.is_err());

    counts(&proxy, "unknown_name", 2).await;
}

#[tokio::test]
async fn of_two_certificates_for_one_name_a_client_gets_the_one_that_it_understands() {
    let authority = Authority::new("Test Authority");
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin).listener(
        "tls.certificates = [{ cert = \"rsa.pem\", key = \"rsa.key\" }, { cert = \"site.pem\", key = \"site.key\" }]",
    );
    let rsa = authority.server(&["a.test"]).rsa().make();
    rsa.write(builder.folder(), "rsa");
    let ecdsa = authority.server(&["a.test"]).make();
    ecdsa.write(builder.folder(), "site");
    let proxy = builder.start().await;

    assert_eq!(TlsClient::new(&authority, "a.test").connect(proxy.web()).await.certificate, ecdsa.der);
    assert_eq!(TlsClient::knowing_only_rsa(&authority, "a.test").connect(proxy.web()).await.certificate, rsa.der);
}

#[tokio::test]
async fn both_versions_are_spoken_unless_the_older_is_refused() {
    let (authority, _origin, builder) = site().await;
    let proxy = builder.start().await;
    let old = visit(&TlsClient::old(&authority, "a.test"), &proxy, "a.test").await;
    assert_eq!(old.version, "1.2");

    let new_only = proxy.file().text().replace(SITE, &format!("{SITE}\ntls.min_version = \"1.3\""));
    proxy.reload_with(&new_only).await;

    assert!(TlsClient::old(&authority, "a.test").try_connect(proxy.web()).await.is_err());
    visit(&TlsClient::new(&authority, "a.test"), &proxy, "a.test").await;
    counts(&proxy, "incompatible", 1).await;
}

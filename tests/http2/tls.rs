//! HTTP/2 inside of TLS: for whoever offers it.

use super::talk::{Talk, request};
use evenkeel_testkit::{Authority, Builder, Origin, Proxy, TlsClient};

fn site(authority: &Authority, origin: &Origin) -> Builder {
    let builder = Proxy::with_upstream(origin).listener("tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]");
    authority.server(&["a.test"]).make().write(builder.folder(), "a");
    builder
}

fn offering(authority: &Authority, protocols: &[&str]) -> TlsClient {
    let protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsClient::new(authority, "a.test").but(|config| config.alpn_protocols = protocols)
}

#[tokio::test]
async fn a_client_that_offers_it_speaks_http_2_and_the_endpoint_learns_the_scheme() {
    let authority = Authority::new("Test Authority");
    let origin = Origin::http1().start().await;
    let proxy = site(&authority, &origin).start().await;
    let talk = Talk::over(offering(&authority, &["http/1.1", "h2"]).socket(proxy.web()).await).await;

    let answer = talk.ask(request("GET", "/")).await.unwrap();

    let seen = origin.last_seen();
    assert_eq!((answer.status, seen.header("via")), (200, Some("2.0 evenkeel")));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    let body = vec![b'x'; 3 << 20];
    assert_eq!(talk.post(request("POST", "/"), body.clone(), None).await.unwrap().status, 200);
    assert!(origin.last_seen().body == body);
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_host_that_the_certificate_does_not_name_is_misdirected() {
    let authority = Authority::new("Test Authority");
    let origin = Origin::http1().start().await;
    let proxy = site(&authority, &origin).start().await;
    let talk = Talk::over(offering(&authority, &["h2"]).socket(proxy.web()).await).await;

    let answer = talk.ask(http::Request::get("https://b.test/")).await.unwrap();

    assert_eq!((answer.status, origin.requests()), (421, 0));
    assert_eq!(talk.ask(http::Request::get("https://a.test/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_connection_is_shared_by_the_hosts_of_its_certificate_and_by_no_others() {
    let authority = Authority::new("Test Authority");
    let origin = Origin::http1().start().await;
    let both = "tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }, { cert = \"b.pem\", key = \"b.key\" }]";
    let builder = Proxy::with_upstream(&origin).listener(both);
    authority.server(&["a.test", "*.shared.test"]).make().write(builder.folder(), "a");
    authority.server(&["b.test", "own.shared.test"]).make().write(builder.folder(), "b");
    let proxy = builder.start().await;
    let talk = Talk::over(offering(&authority, &["h2"]).socket(proxy.web()).await).await;

    for (host, status) in [("a.test", 200), ("x.shared.test", 200), ("b.test", 421), ("a.test", 200)] {
        let answer = talk.ask(http::Request::get(format!("https://{host}/"))).await.unwrap();
        assert_eq!(answer.status, status, "{host}");
    }
    proxy.counts_local("misdirected", 1).await;
}

#[tokio::test]
async fn a_client_that_offers_nothing_speaks_http_1_and_so_does_everybody_where_the_file_says_so() {
    let authority = Authority::new("Test Authority");
    let origin = Origin::http1().start().await;
    let proxy = site(&authority, &origin).start().await;
    let silent = offering(&authority, &[]).connect(proxy.web()).await;
    assert_eq!(silent.protocol, None);

    let proxy = site(&authority, &origin).listener("tls.alpn = [\"http/1.1\"]").start().await;
    let both = offering(&authority, &["h2", "http/1.1"]).connect(proxy.web()).await;
    assert_eq!(both.protocol.as_deref(), Some("http/1.1"));
}

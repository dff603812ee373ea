//! What runs out is told before it does: our own certificates for endpoints, and lists of revocations.

use super::SITE;
use evenkeel_testkit::{Authority, Origin, Proxy, TlsServer};
use std::fs;

const NOT_AFTER: &str = "evenkeel_tls_certificate_not_after_timestamp_seconds";
const NEXT_UPDATE: &str = "evenkeel_tls_crl_next_update_timestamp_seconds";
/// The first days of these years.
const IN_2022: f64 = 1_640_995_200.0;
const IN_2031: f64 = 1_924_992_000.0;
const IN_2032: f64 = 1_956_528_000.0;
const IN_2040: f64 = 2_208_988_800.0;
const IN_2041: f64 = 2_240_611_200.0;

async fn shows(proxy: &Proxy, metric: &str, name: &str, seconds: f64) {
    let labels = [("name", name)];
    let what = format!("{metric} of {name} is {seconds}");
    proxy.metrics_show(&what, |m| m.get(metric, &labels).is_some_and(|end| (end - seconds).abs() < 0.5)).await;
}

#[tokio::test]
async fn the_end_of_a_certificate_that_endpoints_are_shown_is_told_by_its_names_or_the_upstreams() {
    let (authority, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    let tls = TlsServer::asking(&authority.server(&["a.test"]).make(), &clients);
    let origin = Origin::http1().tls(&tls).start().await;
    let own =
        "tls = { ca = \"ca.pem\", server_name = \"a.test\", certificate = { cert = \"own.pem\", key = \"own.key\" } }";
    let builder = Proxy::with_upstream(&origin).upstream(own);
    fs::write(builder.folder().join("ca.pem"), authority.pem()).unwrap();
    clients.client("proxy").until(2031).make().write(builder.folder(), "own");
    let proxy = builder.start().await;
    shows(&proxy, NOT_AFTER, "site", IN_2031).await;

    clients.client("proxy").until(2032).make().write(proxy.folder(), "own");
    shows(&proxy, NOT_AFTER, "site", IN_2032).await;

    clients.server(&["proxy.test"]).until(2040).make().write(proxy.folder(), "own");
    shows(&proxy, NOT_AFTER, "proxy.test", IN_2040).await;
    assert_eq!(proxy.metrics().await.get(NOT_AFTER, &[("name", "site")]), None, "it is in use no longer");
}

#[tokio::test]
async fn the_next_update_of_a_list_of_revocations_is_told_by_its_authority() {
    let (authority, partners) = (Authority::new("Servers"), Authority::new("Partners"));
    let origin = Origin::http1().tls(&TlsServer::new(&authority.server(&["a.test"]).make())).start().await;
    let listener = format!("{SITE}\ntls.client_auth = {{ ca = \"partners.pem\", crl = \"partners.crl\" }}");
    let upstream = "tls = { ca = \"ca.pem\", crl = \"servers.crl\", server_name = \"a.test\" }";
    let builder = Proxy::with_upstream(&origin).listener(&listener).upstream(upstream);
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    for (file, text) in [
        ("ca.pem", authority.pem()),
        ("servers.crl", &authority.revokes_until(2040, &[])),
        ("partners.pem", partners.pem()),
        ("partners.crl", &partners.revokes_until(2022, &[])),
    ] {
        fs::write(builder.folder().join(file), text).unwrap();
    }
    let proxy = builder.start().await;
    shows(&proxy, NEXT_UPDATE, "CN=Partners", IN_2022).await;
    shows(&proxy, NEXT_UPDATE, "CN=Servers", IN_2040).await;

    // What an authority publishes anew takes effect like a new certificate.
    fs::write(proxy.folder().join("partners.crl"), partners.revokes_until(2031, &[])).unwrap();
    shows(&proxy, NEXT_UPDATE, "CN=Partners", IN_2031).await;
    fs::write(proxy.folder().join("servers.crl"), authority.revokes_until(2041, &[])).unwrap();
    shows(&proxy, NEXT_UPDATE, "CN=Servers", IN_2041).await;

    // Of a bad one the old stays, and so does its date.
    fs::write(proxy.folder().join("partners.crl"), "nothing").unwrap();
    proxy.logs("there is no revocation list in it").await;
    shows(&proxy, NEXT_UPDATE, "CN=Partners", IN_2031).await;
    assert_eq!(proxy.metrics().await.problems(), Vec::<String>::new());
}

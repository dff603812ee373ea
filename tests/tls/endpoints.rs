//! TLS to endpoints: whom we believe, who we are, and what becomes of requests when there is no agreement.

use evenkeel_testkit::{
    Authority, Builder, Edit, Issued, Origin, Proxy, RawOrigin, Script, TlsClient, TlsServer, eventually, run_command,
    until,
};
use std::{fs, path::Path};

/// The authority of `ca.pem`, and the name in certificates.
pub(super) const TRUSTING: &str = "tls = { ca = \"ca.pem\", server_name = \"a.test\" }";

/// An authority, an endpoint with a certificate for `a.test`, and what it saw.
pub(super) async fn secured(name: &str) -> (Authority, TlsServer, Origin) {
    let authority = Authority::new("Test Authority");
    let tls = TlsServer::new(&authority.server(&["a.test"]).make());
    let origin = Origin::http1().named(name).tls(&tls).start().await;
    (authority, tls, origin)
}

fn trusts(folder: &Path, authority: &Authority) {
    fs::write(folder.join("ca.pem"), authority.pem()).expect("a file in our folder");
}

pub(super) async fn start(builder: Builder, authority: &Authority) -> Proxy {
    trusts(builder.folder(), authority);
    builder.start().await
}

/// A proxy for this endpoint, with these lines in its upstream.
async fn proxied(origin: &Origin, authority: &Authority, lines: &str) -> Proxy {
    start(Proxy::with_upstream(origin).upstream(lines), authority).await
}

/// Such an endpoint gets no request, and the log says why.
async fn refused(issued: &Issued, authority: &Authority, lines: &str, why: &str) {
    let origin = Origin::http1().tls(&TlsServer::new(issued)).start().await;
    let proxy = proxied(&origin, authority, lines).await;

    let response = proxy.client().post("/", "secret").send().await;

    assert_eq!(response.status, 502, "{why}: {response:?}");
    proxy.counts_local("upstream_tls", 1).await;
    proxy.logs(why).await;
    assert_eq!(origin.requests(), 0, "{why}");
    let metrics = proxy.metrics().await;
    assert!(metrics.sum("evenkeel_upstream_connects_total", &[("result", "tls_failed")]) > 0.5, "{}", metrics.text());
}

#[tokio::test]
async fn an_endpoint_is_believed_by_the_word_of_a_written_authority() {
    let (authority, tls, origin) = secured("safe").await;
    let proxy = proxied(&origin, &authority, TRUSTING).await;

    let response = proxy.client().get("/x").send().await;

    assert_eq!((response.status, response.origin()), (200, "safe"));
    let greeted = tls.greeted();
    assert_eq!(greeted[0].name.as_deref(), Some("a.test"));
    assert_eq!(greeted[0].protocol.as_deref(), Some("http/1.1"));
    assert!(!greeted[0].shown);
}

#[tokio::test]
async fn an_endpoint_that_is_not_who_it_should_be_gets_not_one_request() {
    let (ours, theirs) = (Authority::new("Ours"), Authority::new("Theirs"));
    let right = || ours.server(&["a.test"]);
    refused(&ours.server(&["b.test"]).make(), &ours, TRUSTING, "its certificate is not for a.test").await;
    refused(&right().until(2021).make(), &ours, TRUSTING, "its certificate has expired").await;
    refused(&right().from(2090).make(), &ours, TRUSTING, "its certificate is not valid yet").await;
    refused(&theirs.server(&["a.test"]).make(), &ours, TRUSTING, "an authority that is not trusted").await;
    // Of all that the system trusts, nobody has signed this.
    refused(&right().make(), &ours, "tls = { server_name = \"a.test\" }", "an authority that is not trusted").await;
    // The endpoint's address is an IP address, and the certificate is for a name.
    refused(&right().make(), &ours, "tls = { ca = \"ca.pem\" }", "its certificate is not for 127.0.0.1").await;
}

#[tokio::test]
async fn the_authorities_of_the_system_are_trusted_when_none_is_written() {
    let (authority, _tls, origin) = secured("safe").await;
    let builder = Proxy::with_upstream(&origin).upstream("tls = { server_name = \"a.test\" }");
    let bundle = builder.folder().join("ca.pem");

    let proxy = start(builder.environment("SSL_CERT_FILE", bundle), &authority).await;

    assert_eq!(proxy.client().get("/").send().await.status, 200);
}

#[tokio::test]
async fn without_a_written_name_the_host_of_the_address_is_verified() {
    let authority = Authority::new("Test Authority");
    let tls = TlsServer::new(&authority.server(&["127.0.0.1", "localhost"]).make());
    let origin = Origin::http1().tls(&tls).start().await;
    let by_address = proxied(&origin, &authority, "tls = { ca = \"ca.pem\" }").await;
    let named = format!("localhost:{}", origin.place().port());
    let by_name = start(Proxy::with_endpoints([named]).upstream("tls = { ca = \"ca.pem\" }"), &authority).await;

    for proxy in [&by_address, &by_name] {
        // Never the request's Host: a client chooses that.
        assert_eq!(proxy.client().get("/").host("b.test").send().await.status, 200);
    }

    let names: Vec<_> = tls.greeted().into_iter().map(|greeted| greeted.name).collect();
    // An address is no name to ask for (RFC 6066, section 3).
    assert_eq!(names, [None, Some("localhost".to_owned())]);
}

#[tokio::test]
async fn who_does_not_verify_is_warned_and_served() {
    let stranger = Authority::new("Stranger").server(&["b.test"]).until(2021).make();
    let origin = Origin::http1().tls(&TlsServer::new(&stranger)).start().await;
    let builder = Proxy::with_upstream(&origin).upstream("tls = { verify = false }");
    let path = builder.folder().join("checked.toml");
    fs::write(&path, builder.text()).unwrap();

    let end = run_command(&["check", "--config", path.to_str().unwrap()]).await;

    assert_eq!(end.code, Some(0), "{}", end.stdout);
    assert!(end.stdout.contains("certificates of these endpoints are not verified"), "{}", end.stdout);
    assert_eq!(builder.start().await.client().get("/").send().await.status, 200);
}

#[tokio::test]
async fn an_endpoint_that_asks_who_we_are_is_shown_our_certificate() {
    let (authority, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    let tls = TlsServer::asking(&authority.server(&["a.test"]).make(), &clients);
    let origin = Origin::http1().tls(&tls).start().await;
    let own =
        "tls = { ca = \"ca.pem\", server_name = \"a.test\", certificate = { cert = \"own.pem\", key = \"own.key\" } }";
    let builder = Proxy::with_upstream(&origin).upstream(own);
    clients.client("proxy").make().write(builder.folder(), "own");
    let proxy = start(builder, &authority).await;

    assert_eq!(proxy.client().get("/").send().await.status, 200);
    assert!(tls.greeted()[0].shown);

    // And whoever shows none learns it after its side of the handshake is done.
    let nobody = proxied(&origin, &authority, TRUSTING).await;
    assert_eq!(nobody.client().get("/").send().await.status, 502);
    nobody.logs("it wants a client certificate").await;
    nobody.counts_local("upstream_tls", 1).await;
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn connections_are_kept_for_requests_that_can_be_repeated_and_for_those_that_cannot() {
    let (authority, _tls, origin) = secured("safe").await;
    let builder = Proxy::with_upstream(&origin).workers(1).upstream(TRUSTING);
    let proxy = start(builder, &authority).await;
    let client = proxy.client();

    for n in 0..50 {
        assert_eq!(client.post("/", format!("{n}")).send().await.json()["body"], format!("{n}"));
        assert_eq!(client.get("/").send().await.status, 200);
    }

    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn new_connections_resume_the_session_of_those_before() {
    let (authority, tls, origin) = secured("safe").await;
    let lines = format!("{TRUSTING}\npool.idle_connections_max = 0");
    let proxy = proxied(&origin, &authority, &lines).await;

    assert_eq!(proxy.client().get("/").repeat(10).statuses().await, [200; 10]);

    let greeted = tls.greeted();
    assert_eq!(greeted.iter().filter(|greeted| greeted.resumed).count(), 9, "{greeted:?}");
}

#[tokio::test]
async fn an_authority_that_changes_holds_at_once_and_for_kept_connections_too() {
    let (authority, _tls, origin) = secured("safe").await;
    let proxy = proxied(&origin, &authority, TRUSTING).await;
    let client = proxy.client();
    let answers = async |status| (client.get("/").send().await.status == status).then_some(());
    until("the first authority is trusted", async || answers(200).await).await;
    let old = origin.connections();

    fs::write(proxy.folder().join("ca.pem"), "nothing").unwrap();
    proxy.logs("there is no certificate in it").await;
    assert_eq!(client.get("/").send().await.status, 200, "what is wrong leaves what was right");

    trusts(proxy.folder(), &Authority::new("Another"));
    until("the old connections are left", async || answers(502).await).await;

    trusts(proxy.folder(), &authority);
    until("the first authority is trusted again", async || answers(200).await).await;
    assert!(origin.connections() > old);
}

#[tokio::test]
async fn a_setting_that_changes_leaves_the_connections_from_before() {
    let (authority, _tls, origin) = secured("safe").await;
    let proxy = proxied(&origin, &authority, TRUSTING).await;
    let client = proxy.client();
    assert_eq!(client.get("/").repeat(10).statuses().await, [200; 10]);

    proxy.reload_with(&proxy.file().text().replace("\"a.test\"", "\"b.test\"")).await;
    assert_eq!(client.get("/").repeat(5).statuses().await, [502; 5]);

    // Back again, and another setting that has nothing to do with TLS.
    proxy.reload_with(&proxy.file().text().replace("\"b.test\"", "\"a.test\"")).await;
    assert_eq!(client.get("/").repeat(10).statuses().await, [200; 10]);
    let connections = origin.connections();
    proxy.reload_with(&proxy.file().text().replace(TRUSTING, &format!("{TRUSTING}\nresolve_interval = \"9s\""))).await;
    assert_eq!(client.get("/").send().await.status, 200);
    assert_eq!(origin.connections(), connections);
}

#[tokio::test]
async fn an_endpoint_without_tls_is_passed_over_whatever_the_request() {
    let (authority, _tls, safe) = secured("safe").await;
    let plain = Origin::http1().named("plain").start().await;
    let mute = RawOrigin::start(Script::new().stalls()).await;
    let endpoints = [safe.to_string(), plain.to_string(), mute.to_string()];
    let lines = format!("{TRUSTING}\nbalance = \"round_robin\"\ntimeouts.tls = \"200ms\"");
    let proxy = start(Proxy::with_endpoints(endpoints).upstream(&lines), &authority).await;

    assert_eq!(proxy.client().post("/", "x").repeat(9).origins().await, ["safe"; 9]);

    assert_eq!(plain.requests(), 0);
    assert!(mute.connections() > 0);
    assert!(!mute.received_text().contains("POST"));
    proxy.logs("TLS").await;
}

#[tokio::test]
async fn an_endpoint_that_never_shakes_hands_is_waited_for_as_long_as_is_written() {
    let (authority, mute) = (Authority::new("Any"), RawOrigin::start(Script::new().stalls()).await);
    let lines = format!("{TRUSTING}\ntimeouts.tls = \"300ms\"");
    let proxy = start(Proxy::with_upstream(&mute).upstream(&lines), &authority).await;

    assert_eq!(proxy.client().get("/").send().await.status, 502);

    proxy.logs("no TLS handshake after 300ms").await;
    proxy.counts_local("upstream_tls", 1).await;
}

#[tokio::test]
async fn an_endpoint_of_plain_text_is_told_as_what_it_is() {
    let plain = RawOrigin::start(Script::new().sends("HTTP/1.1 400 Bad Request\r\n\r\n").closes()).await;
    let authority = Authority::new("Any");
    let proxy = start(Proxy::with_upstream(&plain).upstream(TRUSTING), &authority).await;

    assert_eq!(proxy.client().get("/").send().await.status, 502);

    proxy.logs("it does not speak TLS here; perhaps plain text").await;
}

#[tokio::test]
async fn probes_speak_tls_as_requests_do() {
    let (authority, tls, origin) = secured("safe").await;
    let stranger = Authority::new("Stranger").server(&["a.test"]).make();
    let strange = Origin::http1().tls(&TlsServer::new(&stranger)).start().await;
    let quick = "interval = \"100ms\", healthy_after = 1, unhealthy_after = 1";
    for probe in ["http = \"/health\"", "tcp = true"] {
        let builder = Proxy::with_endpoints([&origin, &strange]).upstream(TRUSTING);
        let proxy = start(builder.upstream(&format!("health = {{ {probe}, {quick} }}")), &authority).await;

        proxy.sees(&origin, true).await;
        proxy.sees(&strange, false).await;
        let view = proxy.asks_admin("/api/upstreams").await.text();
        assert!(view.contains("an authority that is not trusted"), "{probe}: {view}");
        assert_eq!(proxy.client().get("/").repeat(5).origins().await, ["safe"; 5]);
    }
    assert!(origin.probes() > 0);
    assert_eq!(strange.probes(), 0);
    assert!(tls.greeted().iter().all(|greeted| greeted.name.as_deref() == Some("a.test")));
}

/// A session that is resumed shows no certificate (RFC 8446, section 2.2), so one that has run out since would not be noticed.
#[tokio::test]
async fn each_probe_looks_at_the_certificate_again() {
    let (authority, tls, origin) = secured("safe").await;
    let probe = "health = { http = \"/health\", interval = \"100ms\", healthy_after = 1, unhealthy_after = 1 }";
    let _proxy = proxied(&origin, &authority, &format!("{TRUSTING}\n{probe}")).await;

    eventually("some probes", || origin.probes() >= 4).await;

    let greeted = tls.greeted();
    assert!(greeted.iter().all(|greeted| !greeted.resumed), "{greeted:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_file_or_a_name_is_shown_at_its_place() {
    let authority = Authority::new("Test Authority");
    for (lines, key, said) in [
        ("tls = { ca = \"none.pem\" }", "\"none.pem\"", "cannot be read"),
        ("tls = { ca = \"ca.pem\", server_name = \"not a name\" }", "\"not a name\"", "is neither a DNS name"),
        ("tls = { certificate = { cert = \"ca.pem\", key = \"x\" } }", "\"x\"", "cannot be read"),
    ] {
        let builder = Proxy::with_endpoints(["127.0.0.1:1"]).upstream(lines);
        trusts(builder.folder(), &authority);
        let path = builder.folder().join("checked.toml");
        fs::write(&path, builder.text()).unwrap();

        let end = run_command(&["check", "--config", path.to_str().unwrap()]).await;

        assert_eq!(end.code, Some(2), "{lines}: {}", end.stdout);
        let text = fs::read_to_string(&path).unwrap();
        let (at, line) = text.lines().enumerate().find(|(_, line)| *line == lines).unwrap();
        let place = format!("checked.toml:{}:{}", at + 1, line.find(key).unwrap() + 1);
        for part in [said, &place] {
            assert!(end.stdout.contains(part), "{lines}: {part:?} in\n{}", end.stdout);
        }
    }
}

#[tokio::test]
async fn a_change_that_names_a_bad_authority_is_refused_and_the_old_one_serves_on() {
    let (authority, _tls, origin) = secured("safe").await;
    let proxy = proxied(&origin, &authority, TRUSTING).await;

    proxy.edit(Edit::RenameOver, &proxy.file().text().replace("\"ca.pem\"", "\"other.pem\""));
    proxy.logs("the change was refused").await;

    assert!(proxy.log().contains("other.pem: cannot be read"), "{}", proxy.log());
    assert_eq!(proxy.client().get("/").send().await.status, 200);
}

#[tokio::test]
async fn clients_and_endpoints_can_both_want_to_know_who_it_is() {
    let (authority, partners) = (Authority::new("Servers"), Authority::new("Partners"));
    let tls = TlsServer::asking(&authority.server(&["a.test"]).make(), &partners);
    let origin = Origin::http1().tls(&tls).start().await;
    let own =
        "tls = { ca = \"ca.pem\", server_name = \"a.test\", certificate = { cert = \"own.pem\", key = \"own.key\" } }";
    let front = format!("{}\ntls.client_auth = {{ ca = \"partners.pem\" }}", super::SITE);
    let builder = Proxy::with_upstream(&origin).upstream(own).listener(&front);
    partners.client("proxy").make().write(builder.folder(), "own");
    authority.server(&["front.test"]).make().write(builder.folder(), "site");
    fs::write(builder.folder().join("partners.pem"), partners.pem()).unwrap();
    let proxy = start(builder, &authority).await;
    let ann = TlsClient::showing(&authority, "front.test", &partners.client("ann").make());

    let mut ann = ann.connect(proxy.web()).await;

    assert_eq!(super::get(&mut ann.wire, "front.test").await.status, 200);
    assert!(tls.greeted()[0].shown);
    assert_eq!(origin.last_seen().header("x-forwarded-client-cert"), Some("Subject=\"CN=ann\""));
}

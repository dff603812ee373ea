//! Clients that show who they are.

use super::{counts, get, visit};
use evenkeel_testkit::{Authority, Frame, FrameWire, Issued, Origin, Proxy, RawOrigin, Script, Secured, TlsClient};
use std::fs;

/// What listens has a certificate of the first authority and asks for one of the second; the file ends with `more`.
async fn partners(more: &str, revoked: &[&str]) -> (Authority, Vec<Issued>, Origin, Proxy) {
    let (authority, partners) = (Authority::new("Test Authority"), Authority::new("Partners"));
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin).listener(&format!(
        "tls.certificates = [{{ cert = \"site.pem\", key = \"site.key\" }}]\n\
         tls.client_auth = {{ ca = \"partners.pem\", crl = \"partners.crl\"{more} }}"
    ));
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    let known = ["ann", "bob"].map(|name| partners.client(name).uri(&format!("spiffe://test/{name}")).make());
    let gone: Vec<&Issued> =
        known.iter().zip(["ann", "bob"]).filter(|(_, n)| revoked.contains(n)).map(|(i, _)| i).collect();
    fs::write(builder.folder().join("partners.pem"), partners.pem()).expect("a file in our folder");
    fs::write(builder.folder().join("partners.crl"), partners.revokes(&gone)).expect("a file in our folder");
    let stranger = Authority::new("Strangers").client("eve").make();
    let proxy = builder.start().await;
    (authority, known.into_iter().chain([stranger]).collect(), origin, proxy)
}

/// Whether a request by this client is answered: with TLS 1.3 a client learns of its refusal only after its own handshake is over.
async fn is_served(client: &TlsClient, proxy: &Proxy) -> bool {
    let Ok(Secured { mut wire, .. }) = client.try_connect(proxy.web()).await else { return false };
    let sent = wire.try_send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.is_ok();
    sent && wire.try_response().await.is_ok_and(|response| response.status == 200)
}

#[tokio::test]
async fn where_a_certificate_is_required_only_good_ones_are_served_and_endpoints_learn_whose() {
    let (authority, issued, origin, proxy) = partners("", &["bob"]).await;
    let [ann, bob, eve] = [0, 1, 2].map(|n| TlsClient::showing(&authority, "a.test", &issued[n]));

    assert!(is_served(&ann, &proxy).await);
    assert_eq!(origin.last_seen().header_all("x-forwarded-client-cert"), ["Subject=\"CN=ann\";URI=spiffe://test/ann"]);
    // Revoked, of somebody else, and none at all.
    for refused in [bob, eve, TlsClient::new(&authority, "a.test")] {
        assert!(!is_served(&refused, &proxy).await);
    }
    assert_eq!(origin.requests(), 1);
    counts(&proxy, "client_certificate", 3).await;
}

#[tokio::test]
async fn where_it_is_optional_nobody_can_claim_to_be_somebody() {
    let (authority, issued, origin, proxy) = partners(", mode = \"optional\", header = \"X-Who\"", &[]).await;

    let mut nobody = TlsClient::new(&authority, "a.test").connect(proxy.web()).await;
    nobody.wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nX-Who: CN=ann\r\nx-who: CN=bob\r\n\r\n").await;
    assert_eq!(nobody.wire.response().await.status, 200);
    assert_eq!(origin.last_seen().header("x-who"), None);

    let mut ann = TlsClient::showing(&authority, "a.test", &issued[0]).connect(proxy.web()).await;
    ann.wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nX-Who: CN=bob\r\nConnection: x-who\r\n\r\n").await;
    assert_eq!(ann.wire.response().await.status, 200);
    assert_eq!(origin.last_seen().header_all("x-who"), ["Subject=\"CN=ann\";URI=spiffe://test/ann"]);

    assert!(!is_served(&TlsClient::showing(&authority, "a.test", &issued[2]), &proxy).await);
}

#[tokio::test]
async fn a_route_for_clients_that_show_a_certificate_takes_no_others() {
    let authority = Authority::new("Test Authority");
    let partners = Authority::new("Partners");
    let (inside, outside) = (Origin::http1().named("in").start().await, Origin::http1().named("out").start().await);
    let builder = Proxy::with_config(&format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\n{}\n\
         tls.client_auth = {{ ca = \"partners.pem\", mode = \"optional\" }}\n\
         [[routes]]\nheaders = {{ \"x-forwarded-client-cert\" = true }}\nupstream = \"in\"\n\
         [[routes]]\nupstream = \"out\"\n\
         [upstreams.in]\nendpoints = [\"{inside}\"]\n[upstreams.out]\nendpoints = [\"{outside}\"]\n",
        super::SITE
    ));
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    fs::write(builder.folder().join("partners.pem"), partners.pem()).expect("a file in our folder");
    let proxy = builder.start().await;
    let ann = partners.client("ann").make();
    let claims = "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Client-Cert: Subject=\"CN=ann\"\r\n\r\n";

    let mut shows = TlsClient::showing(&authority, "a.test", &ann).connect(proxy.web()).await;
    assert_eq!(get(&mut shows.wire, "a.test").await.header("x-origin"), Some("in"));
    let mut shows_none = TlsClient::new(&authority, "a.test").connect(proxy.web()).await;
    shows_none.wire.send(claims).await;
    assert_eq!(shows_none.wire.response().await.header("x-origin"), Some("out"));
}

#[tokio::test]
async fn the_field_is_removed_on_listeners_without_client_certificates_as_well() {
    let (_authority, _issued, origin, proxy) = partners("", &[]).await;
    let text =
        proxy.file().text().replacen("[[routes]]", "[listeners.plain]\nlisten = \"127.0.0.1:PORT\"\n[[routes]]", 1);
    let port = evenkeel_testkit::unused_port();
    proxy.reload_with(&text.replace("PORT", &port.to_string())).await;
    let mut wire = evenkeel_testkit::Wire::to(&evenkeel_testkit::Place::parse(&format!("127.0.0.1:{port}"))).await;

    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Client-Cert: Subject=\"CN=ann\"\r\n\r\n").await;

    assert_eq!(wire.response().await.status, 200);
    assert_eq!(origin.last_seen().header("x-forwarded-client-cert"), None);
}

#[tokio::test]
async fn no_session_is_resumed_past_the_check_and_a_new_list_of_revocations_takes_effect() {
    let (authority, issued, _origin, proxy) = partners("", &[]).await;
    let ann = TlsClient::showing(&authority, "a.test", &issued[0]);
    for _ in 0..3 {
        assert!(!visit(&ann, &proxy, "a.test").await.resumed);
    }
    let mut open = visit(&ann, &proxy, "a.test").await;

    // Whoever signs the list must be the authority that signed the certificate: all of another one are unknown now.
    let others = Authority::new("Others");
    fs::write(proxy.folder().join("partners.pem"), others.pem()).unwrap();
    fs::write(proxy.folder().join("partners.crl"), others.revokes(&[])).unwrap();

    let refused = async || (!is_served(&ann, &proxy).await).then_some(());
    evenkeel_testkit::until("the old authority counts no longer", refused).await;
    assert_eq!(get(&mut open.wire, "a.test").await.status, 200, "an open connection does not notice");
}

/// Such a listener takes nothing of what was agreed with it before it asked for certificates, or with another one.
#[tokio::test]
async fn a_session_that_was_not_verified_goes_nowhere_where_certificates_are_wanted() {
    let (authority, partners) = (Authority::new("Test Authority"), Authority::new("Partners"));
    let origin = Origin::http1().start().await;
    let open = format!("[listeners.open]\nlisten = \"127.0.0.1:0\"\n{}", super::SITE);
    let builder = Proxy::with_upstream(&origin).listener(super::SITE).more(&open);
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    fs::write(builder.folder().join("partners.pem"), partners.pem()).unwrap();
    let proxy = builder.start().await;
    let ann = partners.client("ann").make();
    let strangers = [TlsClient::new(&authority, "a.test"), TlsClient::old(&authority, "a.test")];
    for client in &strangers {
        assert!(!visit(client, &proxy, "a.test").await.resumed);
        assert!(visit(client, &proxy, "a.test").await.resumed);
    }

    let asks = format!("{}\ntls.client_auth = {{ ca = \"partners.pem\" }}\n[[routes]]", super::SITE);
    let (front, back) =
        proxy.file().text().split_once("[[routes]]").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    proxy.reload_with(&format!("{}{asks}{back}", front.replace(super::SITE, ""))).await;

    for client in &strangers {
        assert!(!is_served(client, &proxy).await);
        // What the other listener has agreed is not known here either.
        let mut elsewhere = client.connect(proxy.at("open")).await;
        assert_eq!(get(&mut elsewhere.wire, "a.test").await.status, 200);
        assert!(!is_served(client, &proxy).await);
    }
    assert!(!visit(&TlsClient::showing(&authority, "a.test", &ann), &proxy, "a.test").await.resumed);
    assert_eq!(origin.last_seen().header("x-forwarded-client-cert"), Some("Subject=\"CN=ann\""));
}

#[tokio::test]
async fn a_list_is_used_past_its_next_update() {
    let (authority, partners) = (Authority::new("Test Authority"), Authority::new("Partners"));
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin)
        .listener(&format!("{}\ntls.client_auth = {{ ca = \"partners.pem\", crl = \"partners.crl\" }}", super::SITE));
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    let [ann, bob] = ["ann", "bob"].map(|name| partners.client(name).make());
    fs::write(builder.folder().join("partners.pem"), partners.pem()).unwrap();
    fs::write(builder.folder().join("partners.crl"), partners.revokes_until(2022, &[&bob])).unwrap();
    let proxy = builder.start().await;

    assert!(is_served(&TlsClient::showing(&authority, "a.test", &ann), &proxy).await);
    assert!(!is_served(&TlsClient::showing(&authority, "a.test", &bob), &proxy).await);
}

#[tokio::test]
async fn nobody_claims_an_identity_in_trailers_or_over_http_2() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let origin = RawOrigin::start(Script::answering(answer)).await;
    let (authority, partners) = (Authority::new("Test Authority"), Authority::new("Partners"));
    let auth = "tls.client_auth = { ca = \"partners.pem\", mode = \"optional\", header = \"X-Who\" }";
    let builder = Proxy::with_upstream(&origin).workers(1).listener(&format!("{}\n{auth}", super::SITE));
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    fs::write(builder.folder().join("partners.pem"), partners.pem()).unwrap();
    let proxy = builder.start().await;
    let nobody = TlsClient::new(&authority, "a.test");
    let ann = TlsClient::showing(&authority, "a.test", &partners.client("ann").make());

    for (client, known) in [(&nobody, 0), (&ann, 1)] {
        let before = origin.requests().len();
        let mut wire = client.connect(proxy.web()).await.wire;
        let head = "POST / HTTP/1.1\r\nHost: a.test\r\nX-Who: CN=bob\r\nTE: trailers\r\nConnection: TE\r\nTrailer: x-who, x_who, x-sum\r\n";
        let trailers = "X-Who: CN=bob\r\nX_Who: CN=bob\r\nX-Sum: 1\r\n";
        wire.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{trailers}\r\n")).await;
        assert_eq!(wire.response().await.status, 200);

        let over = client.clone().but(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
        let mut wire = FrameWire::begun(over.socket(proxy.web()).await, &[]).await;
        let fields = [(":method", "POST"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")];
        let fields =
            [&fields[..], &[("x-who", "CN=bob"), ("te", "trailers"), ("trailer", "x-who, x_who, x-sum")]].concat();
        wire.send(Frame::headers(1, &fields, false)).await;
        wire.send(Frame::new(Frame::DATA, 0, 1, "hi")).await;
        wire.send(Frame::headers(1, &[("x-who", "CN=bob"), ("x_who", "CN=bob"), ("x-sum", "1")], true)).await;
        while !wire.frame_on(1).await.expect("an answer").ends_stream() {}

        let requests = origin.requests();
        assert_eq!(requests.len(), before + 2);
        for request in &requests[before..] {
            assert!(!request.contains("bob") && request.ends_with("x-sum: 1\r\n\r\n"), "{request}");
            assert_eq!(request.matches("x-who: Subject=\"CN=ann\"\r\n").count(), known, "{request}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_taken_back_is_refused_from_the_next_connection_on() {
    let (authority, partners) = (Authority::new("Test Authority"), Authority::new("Partners"));
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin)
        .listener(&format!("{}\ntls.client_auth = {{ ca = \"partners.pem\", crl = \"partners.crl\" }}", super::SITE));
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    let [ann, bob] = ["ann", "bob"].map(|name| partners.client(name).make());
    fs::write(builder.folder().join("partners.pem"), partners.pem()).unwrap();
    fs::write(builder.folder().join("partners.crl"), partners.revokes(&[])).unwrap();
    let proxy = builder.start().await;
    let [ann_comes, bob_comes] = [&ann, &bob].map(|who| TlsClient::showing(&authority, "a.test", who));
    assert!(is_served(&ann_comes, &proxy).await && is_served(&bob_comes, &proxy).await);

    fs::write(proxy.folder().join("partners.crl"), partners.revokes(&[&bob])).unwrap();

    let refused = async || (!is_served(&bob_comes, &proxy).await).then_some(());
    evenkeel_testkit::until("bob is refused", refused).await;
    assert!(is_served(&ann_comes, &proxy).await);
}

/// Somebody verified who cannot be named must not pass for nobody.
#[tokio::test]
async fn a_good_certificate_that_cannot_be_told_to_endpoints_opens_nothing() {
    let (authority, partners) = (Authority::new("Test Authority"), Authority::new("Partners"));
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin)
        .listener(&format!("{}\ntls.client_auth = {{ ca = \"partners.pem\", mode = \"optional\" }}", super::SITE));
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    fs::write(builder.folder().join("partners.pem"), partners.pem()).unwrap();
    let proxy = builder.start().await;
    // A sequence with a DNS name that is not ASCII, and more names than a field can take.
    let unreadable = partners.client("ann").names(&[0x30, 3, 0x82, 1, 0xff]).make();
    let mut long = partners.client("bob");
    for n in 0..300 {
        long = long.uri(&format!("spiffe://test/{n:040}"));
    }

    for issued in [unreadable, long.make()] {
        assert!(!is_served(&TlsClient::showing(&authority, "a.test", &issued), &proxy).await);
    }

    assert_eq!(origin.requests(), 0);
    counts(&proxy, "client_certificate", 2).await;
    assert!(is_served(&TlsClient::new(&authority, "a.test"), &proxy).await, "who shows none is nobody");
}

/// WSGI, CGI and PHP know no difference.
#[tokio::test]
async fn nobody_claims_an_identity_by_writing_the_field_with_underscores() {
    for (header, alike) in [("X-Who-Is", "X_Who_Is"), ("X-Who-Is", "x-who_is"), ("X_Who-Is", "X-Who-Is")] {
        let (authority, issued, origin, proxy) =
            partners(&format!(", mode = \"optional\", header = \"{header}\""), &[]).await;
        let nobody = TlsClient::new(&authority, "a.test");
        let ann = TlsClient::showing(&authority, "a.test", &issued[0]);
        for (client, known) in [(&nobody, 0), (&ann, 1)] {
            let mut wire = client.connect(proxy.web()).await.wire;
            wire.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{alike}: CN=bob\r\nX_Other: 1\r\n\r\n")).await;
            assert_eq!(wire.response().await.status, 200);

            let seen = origin.last_seen();
            assert_eq!(seen.header_all(alike).iter().filter(|value| value.contains("bob")).count(), 0, "{alike}");
            assert_eq!(seen.header_all(header).len(), known);
            assert_eq!(seen.header("x_other"), Some("1"), "others are left alone");
        }
    }
}

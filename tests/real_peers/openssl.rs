//! `openssl s_client`: the handshake as the most common library makes it.

use super::{SITE, Said, file, left_out, program, run, site, write};
use evenkeel_testkit::{Authority, Origin, Proxy};
use std::path::Path;

const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

/// Asks for `/` of `name`, which is also the name that it wants to see in the certificate.
async fn s_client(openssl: &Path, proxy: &Proxy, name: &str, words: &[&str]) -> Said {
    let (to, authority) = (format!("127.0.0.1:{}", proxy.web().port()), file(proxy, "authority.pem"));
    // It waits for our end after that of its input; without it a new session could come too late to be kept.
    let own = ["s_client", "-ign_eof", "-connect", &to, "-CAfile", &authority, "-verify_return_error"];
    let named = ["-servername", name, "-verify_hostname", name];
    let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    run(openssl, &[&own[..], &named, words].concat(), &request).await
}

impl Said {
    /// The handshake came to its end, and the request was answered.
    fn was_served(&self, version: &str, begun: &str) -> &Self {
        for part in ["Verify return code: 0 (ok)", "HTTP/1.1 200 OK", &format!("{begun}, {version}, Cipher is ")] {
            assert!(self.good && self.out.contains(part), "{part:?} in\n{}\n{}", self.out, self.err);
        }
        self
    }

    fn was_refused(&self, alert: &str) {
        assert!(!self.out.contains("HTTP/1.1 200"), "{}", self.out);
        assert!(self.err.contains(alert), "{alert:?} in\n{}\n{}", self.out, self.err);
    }
}

#[tokio::test]
async fn a_name_chooses_its_certificate_in_both_versions() {
    let Some(openssl) = program("openssl") else { return };
    let (authority, _origin, builder) = site().await;
    let other = "{ cert = \"other.pem\", key = \"other.key\" }]";
    let builder = Proxy::with_config(&builder.text().replace("site.key\" }]", &format!("site.key\" }}, {other}")));
    let issued = [("site", "a.test"), ("other", "*.wild.test")].map(|(file, name)| {
        let issued = authority.server(&[name]).make();
        issued.write(builder.folder(), file);
        issued
    });
    write(builder.folder(), "authority.pem", authority.pem());
    let proxy = builder.start().await;

    for (word, version) in VERSIONS {
        for (name, expected) in [("a.test", &issued[0]), ("b.wild.test", &issued[1])] {
            let said = s_client(&openssl, &proxy, name, &[word]).await;
            assert!(said.was_served(version, "New").out.contains(expected.cert.trim()), "{name}: {}", said.out);
        }
        s_client(&openssl, &proxy, "c.test", &[word]).await.was_refused("hostname mismatch");
    }
}

#[tokio::test]
async fn alpn_is_agreed_upon_refused_or_left_out() {
    let Some(openssl) = program("openssl") else { return };
    let (_authority, _origin, builder) = site().await;
    let proxy = builder.start().await;

    for (word, version) in VERSIONS {
        for (offered, agreed) in [("h2,http/1.1", "h2"), ("http/1.1,h2", "h2"), ("http/1.1", "http/1.1")] {
            let said = s_client(&openssl, &proxy, "a.test", &[word, "-alpn", offered]).await;
            assert!(said.out.contains(&format!("ALPN protocol: {agreed}\n")), "{offered}: {}", said.out);
        }
        s_client(&openssl, &proxy, "a.test", &[word, "-alpn", "smtp"]).await.was_refused("no application protocol");
        let silent = s_client(&openssl, &proxy, "a.test", &[word]).await;
        assert!(silent.was_served(version, "New").out.contains("No ALPN negotiated"), "{}", silent.out);
    }
}

#[tokio::test]
async fn versions_that_are_too_old_end_with_an_alert() {
    let Some(openssl) = program("openssl") else { return };
    let (_authority, _origin, builder) = site().await;
    let proxy = builder.start().await;

    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    s_client(&openssl, &proxy, "a.test", &old).await.was_refused("alert handshake failure");

    proxy.reload_with(&proxy.file().text().replace(SITE, &format!("{SITE}\ntls.min_version = \"1.3\""))).await;
    s_client(&openssl, &proxy, "a.test", &["-tls1_2"]).await.was_refused("alert protocol version");
    s_client(&openssl, &proxy, "a.test", &[]).await.was_served("TLSv1.3", "New");
}

#[tokio::test]
async fn a_session_goes_on_over_a_new_certificate_and_a_reload() {
    let Some(openssl) = program("openssl") else { return };
    let (authority, _origin, builder) = site().await;
    let proxy = builder.start().await;
    // Without tickets a session is one that the proxy remembers.
    let kinds = [("TLSv1.2", &["-tls1_2"][..]), ("TLSv1.2", &["-tls1_2", "-no_ticket"]), ("TLSv1.3", &["-tls1_3"])];
    let sessions = ["one", "two", "three"].map(|name| file(&proxy, name));
    for ((version, words), session) in kinds.into_iter().zip(&sessions) {
        let keep = [words, &["-sess_out", session]].concat();
        s_client(&openssl, &proxy, "a.test", &keep).await.was_served(version, "New");
    }

    let renewed = authority.server(&["a.test"]).make();
    renewed.write(proxy.folder(), "site");
    proxy.logs("certificates read again").await;
    proxy.reload_with(&proxy.file().text().replace(SITE, &format!("{SITE}\ntls.unknown_names = \"refuse\""))).await;

    for ((version, words), session) in kinds.into_iter().zip(&sessions) {
        let resume = [words, &["-sess_in", session]].concat();
        s_client(&openssl, &proxy, "a.test", &resume).await.was_served(version, "Reused");
        let anew = s_client(&openssl, &proxy, "a.test", words).await;
        assert!(anew.was_served(version, "New").out.contains(renewed.cert.trim()), "{}", anew.out);
    }
}

/// Clients of the partners' authority, and one of another.
async fn asking(mode: &str) -> (Origin, Proxy) {
    let (_authority, origin, builder) = site().await;
    let partners = Authority::new("Partners");
    let auth = format!("tls.client_auth = {{ ca = \"partners.pem\", mode = \"{mode}\" }}");
    let builder = builder.listener(&auth);
    write(builder.folder(), "partners.pem", partners.pem());
    partners.client("ann").make().write(builder.folder(), "ann");
    Authority::new("Strangers").client("eve").make().write(builder.folder(), "eve");
    (origin, builder.start().await)
}

#[tokio::test]
async fn a_client_certificate_is_accepted_wanted_and_refused() {
    let Some(openssl) = program("openssl") else { return };
    let (origin, proxy) = asking("required").await;
    let paths = ["ann.pem", "ann.key", "eve.pem", "eve.key"].map(|name| file(&proxy, name));
    let [ann, eve] = [["-cert", &paths[0], "-key", &paths[1]], ["-cert", &paths[2], "-key", &paths[3]]];

    for (word, version) in VERSIONS {
        let shown = s_client(&openssl, &proxy, "a.test", &[&[word][..], &ann].concat()).await;
        shown.was_served(version, "New");
        assert_eq!(origin.last_seen().header("x-forwarded-client-cert"), Some("Subject=\"CN=ann\""));
        s_client(&openssl, &proxy, "a.test", &[&[word][..], &eve].concat()).await.was_refused("alert unknown ca");
        s_client(&openssl, &proxy, "a.test", &[word]).await.was_refused("alert certificate required");
    }
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn where_certificates_are_asked_for_no_session_goes_on() {
    let Some(openssl) = program("openssl") else { return };
    let (_origin, proxy) = asking("optional").await;
    let paths = ["ann.pem", "ann.key"].map(|name| file(&proxy, name));
    let session = file(&proxy, "session");

    for (version, words) in [("TLSv1.2", &["-tls1_2"][..]), ("TLSv1.2", &["-tls1_2", "-no_ticket"]), ("TLSv1.3", &[])] {
        let keep = ["-cert", &paths[0], "-key", &paths[1], "-sess_out", &session];
        s_client(&openssl, &proxy, "a.test", &[words, &keep].concat()).await.was_served(version, "New");
        if Path::new(&session).exists() {
            let resume = [words, &["-sess_in", &session]].concat();
            s_client(&openssl, &proxy, "a.test", &resume).await.was_served(version, "New");
        }
    }
}

#[tokio::test]
async fn keys_are_exchanged_as_the_client_can() {
    let Some(openssl) = program("openssl") else { return };
    let (_authority, _origin, builder) = site().await;
    let proxy = builder.start().await;

    for (group, shown) in [("X25519", "X25519"), ("P-256", "prime256v1"), ("P-384", "secp384r1")] {
        let said = s_client(&openssl, &proxy, "a.test", &["-tls1_3", "-groups", group]).await;
        assert!(said.was_served("TLSv1.3", "New").out.contains(shown), "{group}: {}", said.out);
    }
    if !run(&openssl, &["list", "-kem-algorithms"], "").await.out.contains("X25519MLKEM768") {
        left_out("this openssl does not know X25519MLKEM768 (3.5 does)");
        return;
    }
    let said = s_client(&openssl, &proxy, "a.test", &["-tls1_3"]).await;
    assert!(said.was_served("TLSv1.3", "New").out.contains("X25519MLKEM768"), "{}", said.out);
}

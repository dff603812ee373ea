//! Certificates that change while traffic flows, and files that are wrong.

use super::{SITE, get, site, visit};
use evenkeel_testkit::{Edit, Issued, Proxy, TlsClient, run_command, until};
use std::{fs, os::unix::fs::symlink};

async fn is_shown(issued: &Issued, client: &TlsClient, proxy: &Proxy) {
    // Without sessions: a resumed one shows no certificate anew.
    let client = client.clone().but(|config| config.resumption = evenkeel_testkit::no_sessions());
    let shown = async || (client.connect(proxy.web()).await.certificate == issued.der).then_some(());
    until("the new certificate is shown", shown).await;
}

fn number(metrics: &evenkeel_testkit::Metrics, name: &str) -> f64 {
    metrics.sum(name, &[])
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_at_once_and_open_connections_do_not_notice() {
    let (authority, _origin, builder) = site().await;
    let proxy = builder.start().await;
    let client = TlsClient::new(&authority, "a.test");
    let mut open = visit(&client, &proxy, "a.test").await;

    for year in 2090..2093 {
        let renewed = authority.server(&["a.test"]).until(year).make();
        renewed.write(proxy.folder(), "site");
        is_shown(&renewed, &client, &proxy).await;
        assert_eq!(get(&mut open.wire, "a.test").await.status, 200);
    }

    // 2092-01-01.
    let labels = [("name", "a.test")];
    let name = "evenkeel_tls_certificate_not_after_timestamp_seconds";
    proxy.metrics_show("its end is told", |m| (m.sum(name, &labels) - 3_849_984_000.0).abs() < 0.5).await;
    assert!(number(&proxy.metrics().await, "evenkeel_config_reloads_total") < 0.5, "the file has not changed");
}

#[tokio::test]
async fn a_bad_pair_stays_out_is_told_and_the_next_good_one_comes_in() {
    let (authority, _origin, builder) = site().await;
    let proxy = builder.start().await;
    let client = TlsClient::new(&authority, "a.test");
    let before = visit(&client, &proxy, "a.test").await.certificate;
    let good =
        |metrics: &evenkeel_testkit::Metrics| number(metrics, "evenkeel_tls_certificate_last_reload_successful") > 0.5;

    for (bad, said) in [
        (authority.server(&["a.test"]).make().key, "this is not the key of"),
        ("nothing".to_owned(), "there is no private key in it"),
    ] {
        fs::write(proxy.folder().join("site.key"), bad).unwrap();
        proxy.metrics_show("it is told", |m| !good(m)).await;
        proxy.logs(said).await;
        assert_eq!(TlsClient::new(&authority, "a.test").connect(proxy.web()).await.certificate, before);
    }
    fs::remove_file(proxy.folder().join("site.key")).unwrap();
    proxy.logs("cannot be read").await;
    assert_eq!(TlsClient::new(&authority, "a.test").connect(proxy.web()).await.certificate, before);
    authority.server(&["a.test"]).until(2021).make().write(proxy.folder(), "site");
    proxy.logs("the certificate has expired").await;
    assert_eq!(TlsClient::new(&authority, "a.test").connect(proxy.web()).await.certificate, before);

    let next = authority.server(&["a.test"]).make();
    next.write(proxy.folder(), "site");
    is_shown(&next, &client, &proxy).await;
    proxy.metrics_show("all is well again", good).await;
}

#[tokio::test]
async fn a_secret_that_kubernetes_swaps_is_noticed() {
    let (authority, _origin, builder) = site().await;
    let (folder, client) = (builder.folder().to_owned(), TlsClient::new(&authority, "a.test"));
    let swap = |number: usize| {
        let data = folder.join(format!("..{number}"));
        fs::create_dir(&data).expect("a folder in our folder");
        let issued = authority.server(&["a.test"]).make();
        issued.write(&data, "tls");
        symlink(format!("..{number}"), folder.join("..new")).expect("a link in our folder");
        fs::rename(folder.join("..new"), folder.join("..data")).expect("a rename in our folder");
        issued
    };
    swap(0);
    for name in ["site.pem", "site.key"] {
        fs::remove_file(folder.join(name)).unwrap();
        symlink(format!("..data/tls.{}", &name[5..]), folder.join(name)).unwrap();
    }
    let proxy = builder.start().await;

    for number in 1..4 {
        let issued = swap(number);
        is_shown(&issued, &client, &proxy).await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_files_is_shown_at_its_place_before_anything_starts() {
    let (authority, _origin, builder) = site().await;
    let folder = builder.folder().to_owned();
    authority.server(&["a.test"]).until(2021).make().write(&folder, "old");
    authority.server(&["a.test"]).from(2090).make().write(&folder, "young");
    for (cert, key, key_of_file, said) in [
        ("none.pem", "site.key", "cert", "cannot be read"),
        ("site.pem", "none.key", "key", "cannot be read"),
        ("site.pem", "old.key", "key", "this is not the key of"),
        ("old.pem", "old.key", "cert", "the certificate has expired"),
        ("young.pem", "young.key", "cert", "not valid yet"),
        ("site.key", "site.key", "cert", "there is no certificate in it"),
    ] {
        let line = format!("tls.certificates = [{{ cert = \"{cert}\", key = \"{key}\" }}]");
        let path = folder.join("checked.toml");
        fs::write(&path, builder.text().replace(SITE, &line)).unwrap();

        let end = run_command(&["check", "--config", path.to_str().unwrap()]).await;

        assert_eq!(end.code, Some(2), "{cert} {key}: {}", end.stdout);
        let text = fs::read_to_string(&path).unwrap();
        let (at, found) = text.lines().enumerate().find(|(_, text)| *text == line).unwrap();
        let column = found.find(&format!("{key_of_file} = ")).unwrap() + key_of_file.len() + 4;
        let place = format!("checked.toml:{}:{column}", at + 1);
        for part in [said, &place, "^^^^"] {
            assert!(end.stdout.contains(part), "{cert} {key}: {part:?} in\n{}", end.stdout);
        }
    }
    fs::remove_file(folder.join("site.key")).unwrap();
    let (at, found) =
        builder.text().lines().enumerate().find(|(_, text)| *text == SITE).map(|(n, l)| (n, l.to_owned())).unwrap();
    let place = format!("evenkeel.toml:{}:{}", at + 1, found.find("key = ").unwrap() + 7);
    let exit = builder.refuses().await;
    assert!(exit.stderr.contains(&place) && exit.stderr.contains("site.key"), "{place}: {}", exit.stderr);
}

#[tokio::test]
async fn a_change_that_names_a_bad_pair_is_refused_with_its_place() {
    let (authority, _origin, builder) = site().await;
    let proxy = builder.start().await;
    let before = visit(&TlsClient::new(&authority, "a.test"), &proxy, "a.test").await.certificate;

    proxy.edit(Edit::RenameOver, &proxy.file().text().replace("key = \"site.key\"", "key = \"other.key\""));
    proxy.logs("the change was refused").await;

    assert!(proxy.log().contains("other.key: cannot be read"), "{}", proxy.log());
    assert_eq!(TlsClient::new(&authority, "a.test").connect(proxy.web()).await.certificate, before);
}

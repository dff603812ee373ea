//! `evenkeel check` and `evenkeel schema`: a file is judged before it runs.

use evenkeel_testkit::{Authority, CommandEnd, run_command};
use std::{fs, path::Path};

async fn check(text: &str) -> CommandEnd {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("site.toml");
    fs::write(&path, text).expect("a file in our folder");
    run_command(&["check", "--config", path.to_str().expect("a path in ASCII")]).await
}

fn said(end: &CommandEnd) -> String {
    format!("{}{}", end.stdout, end.stderr)
}

const GOOD: &str = r#"
[listeners.web]
listen = "127.0.0.1:8080"

[[routes]]
upstream = "site"

[upstreams.site]
endpoints = ["10.0.0.1:8080"]
health = { tcp = true }
"#;

#[tokio::test]
async fn a_good_file_is_a_zero_and_binds_nothing() {
    let end = check(GOOD).await;

    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(!said(&end).contains("error"), "{end:?}");
}

#[tokio::test]
async fn three_mistakes_are_shown_at_once_each_with_its_place_its_line_and_a_hint() {
    let end = check(
        r#"[listeners.web]
listen = "127.0.0.1:8080"
timeouts = { idle = 75 }

[[routes]]
upstream = "sight"

[upstreams.site]
balanse = "round_robin"
endpoints = ["10.0.0.1:8080"]
"#,
    )
    .await;

    let said = said(&end);
    assert_ne!(end.code, Some(0), "{said}");
    for part in [
        "site.toml:3:21",
        "timeouts = { idle = 75 }",
        "75s",
        "site.toml:6:12",
        "upstream = \"sight\"",
        "site",
        "site.toml:9:1",
        "balanse = \"round_robin\"",
        "balance",
    ] {
        assert!(said.contains(part), "{part:?} in\n{said}");
    }
}

#[tokio::test]
async fn cross_references_are_checked() {
    for (replaced, by, part) in [
        ("upstream = \"site\"", "upstream = \"other\"", "other"),
        ("[\"10.0.0.1:8080\"]", "[]", "endpoints"),
        ("[\"10.0.0.1:8080\"]", "[\"10.0.0.1:8080\", \"10.0.0.1:8080\"]", "twice"),
        ("[\"10.0.0.1:8080\"]", "[{ address = \"10.0.0.1:8080\", weight = 0 }]", "weight"),
        ("[[routes]]", "[listeners.two]\nlisten = \"127.0.0.1:8080\"\n[[routes]]", "127.0.0.1:8080"),
        ("upstream = \"site\"", "upstream = \"site\"\nlisteners = [\"nowhere\"]", "nowhere"),
        ("upstream = \"site\"", "", "upstream"),
    ] {
        let end = check(&GOOD.replacen(replaced, by, 1)).await;
        let said = said(&end);
        assert_ne!(end.code, Some(0), "{by}: {said}");
        assert!(said.contains(part) && said.contains("site.toml:"), "{part:?} in\n{said}");
    }
}

#[tokio::test]
async fn a_route_that_can_never_match_is_reported() {
    let end = check(&GOOD.replacen(
        "[[routes]]",
        "[[routes]]\nname = \"first\"\nupstream = \"site\"\n[[routes]]\nname = \"never\"",
        1,
    ))
    .await;

    assert!(said(&end).contains("never"), "{}", said(&end));
}

#[tokio::test]
async fn several_endpoints_without_probes_are_a_warning_only() {
    let text = GOOD.replacen("health = { tcp = true }", "", 1).replacen(
        "[\"10.0.0.1:8080\"]",
        "[\"10.0.0.1:80\", \"10.0.0.2:80\"]",
        1,
    );

    let end = check(&text).await;

    assert_eq!(end.code, Some(0), "{}", said(&end));
    assert!(said(&end).contains("health"), "{}", said(&end));
}

#[tokio::test]
async fn weights_like_those_of_a_canary_are_a_warning_where_they_are_not_exact_shares() {
    let with = |balance: &str, weight: u16| {
        let endpoints = format!("[{{ address = \"10.0.0.1:80\", weight = {weight} }}, \"10.0.0.2:80\"]");
        GOOD.replacen("[\"10.0.0.1:8080\"]", &endpoints, 1).replacen(
            "endpoints",
            &format!("balance = \"{balance}\"\nendpoints"),
            1,
        )
    };
    for (balance, weight, warns) in [
        ("power_of_two", 9, true),
        ("least_connections", 9, true),
        ("power_of_two", 4, false),
        ("round_robin", 9, false),
        ("random", 9, false),
    ] {
        let end = check(&with(balance, weight)).await;
        assert_eq!(end.code, Some(0), "{}", said(&end));
        assert_eq!(said(&end).contains("the weights 1 to 9"), warns, "{balance} {weight}: {}", said(&end));
    }
}

#[tokio::test]
async fn a_key_of_a_later_version_is_refused_as_such() {
    let end = check(&GOOD.replacen("[[routes]]", "[listeners.web.http3]\n[[routes]]", 1)).await;

    assert_ne!(end.code, Some(0));
    assert!(said(&end).contains("not in this version"), "{}", said(&end));
}

#[tokio::test]
async fn what_is_no_toml_is_shown_with_its_place() {
    let end = check("[listeners.web\nlisten = \n").await;

    assert_ne!(end.code, Some(0));
    assert!(said(&end).contains("site.toml:1:"), "{}", said(&end));
}

#[tokio::test]
async fn the_files_we_ship_are_good() {
    // The certificates that they name are nobody's, so they are checked beside some of ours.
    let beside = tempfile::tempdir().unwrap();
    let (certs, authority) = (beside.path().join("certs"), Authority::new("Test Authority"));
    fs::create_dir(&certs).unwrap();
    for name in ["site", "site-rsa", "other", "redis"] {
        authority.server(&["example.com"]).make().write(&certs, name);
    }
    authority.client("proxy").make().write(&certs, "proxy");
    for name in ["clients.pem", "internal-ca.pem"] {
        fs::write(certs.join(name), authority.pem()).unwrap();
    }
    for name in ["clients.crl", "internal.crl"] {
        fs::write(certs.join(name), authority.revokes(&[])).unwrap();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let copy = beside.path().join(path.file_name().unwrap());
            fs::copy(&path, &copy).unwrap();
            let path = copy;
            let end = run_command(&["check", "--config", path.to_str().unwrap()]).await;
            assert_eq!(end.code, Some(0), "{}: {}", path.display(), said(&end));
        }
    }
}

#[tokio::test]
async fn the_schema_is_one_and_accepts_a_good_file() {
    let end = run_command(&["schema"]).await;

    assert_eq!(end.code, Some(0), "{end:?}");
    let schema: serde_json::Value = serde_json::from_str(&end.stdout).unwrap();
    let file: toml::Value = toml::from_str(GOOD).unwrap();
    let file = serde_json::to_value(file).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&file), "{schema:#}");
    let mut bad = file;
    bad["listenerz"] = serde_json::Value::Bool(true);
    assert!(!validator.is_valid(&bad), "an unknown key is refused");
}

//! What is written is what the model says.

use evenkeel_config::{ContentHash, load, parse};
use evenkeel_model::{
    Algorithm, Config, Filter, GrpcProbe, HeaderChange, LogFormat, LogLevel, LogOutput, PathMatch, ProbeKind,
    RedirectScheme, UpstreamProtocol,
};
use std::{fs, path::Path, time::Duration};

fn read(source: &str) -> Config {
    let (config, problems) = parse(source, "/etc/evenkeel/evenkeel.toml");
    config.unwrap_or_else(|| panic!("{}", problems.render(false)))
}

fn full() -> Config {
    read(include_str!("../../../config/full.toml"))
}

#[test]
fn the_process_is_read_as_written() {
    let config = full();

    assert_eq!(config.workers.map(usize::from), Some(4));
    assert_eq!(config.admin.unwrap().listen.to_string(), "127.0.0.1:9901");
    assert_eq!(config.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "fd00::/8"]);
    assert_eq!((config.limits.connections_max, config.limits.body_max.unwrap().0), (Some(20000), 100 << 20));
    assert_eq!((config.drain.grace, config.drain.deadline), (Duration::from_secs(5), Duration::from_secs(30)));
    assert_eq!(config.access_log.unwrap().output, LogOutput::Stdout);
    assert_eq!((config.log.level, config.log.format), (LogLevel::Info, LogFormat::Text));
    assert_eq!(
        config.listeners.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(),
        ["inside", "secure", "web", "wire"]
    );
}

#[test]
fn a_route_and_its_filters_are_read_in_their_order() {
    let config = full();

    let route = &config.routes[0];
    assert_eq!(
        route.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["api.example.com", "*.api.example.com"]
    );
    assert_eq!(route.path, PathMatch::Prefix("/v1".into()));
    assert_eq!(route.headers[0].value.as_ref().unwrap(), "1");
    assert_eq!(route.headers[1].value, None);
    assert_eq!(route.filters.len(), 7);
    assert!(
        matches!(&route.filters[0], Filter::RequestHeader(HeaderChange::Set(n, v)) if n == "x-environment" && v == "production")
    );
    assert!(matches!(&route.filters[5], Filter::ResponseHeader(HeaderChange::Remove(name)) if name == "server"));
    assert_eq!(route.filters[6], Filter::PrefixRewrite("".into()));
    let Filter::Redirect(redirect) = &config.routes[1].filters[0] else { panic!("{:?}", config.routes[1]) };
    assert_eq!(
        (redirect.status.as_u16(), redirect.scheme, redirect.port),
        (308, Some(RedirectScheme::Https), Some(443))
    );
    assert_eq!(config.routes[1].upstream, None);
    assert_eq!(config.routes[2].path, PathMatch::Exact("/robots.txt".into()));
}

#[test]
fn an_upstream_is_read_as_written() {
    let config = full();

    let api = &config.upstreams[0];
    assert_eq!((api.name.as_str(), api.balance), ("api", Algorithm::LeastConnections));
    let endpoints: Vec<_> = api.endpoints.iter().map(|e| (e.address.to_string(), e.weight.get(), e.drain)).collect();
    let expected = [("10.0.1.11:8080", 3, false), ("api-2.internal:8080", 1, false), ("10.0.1.13:8080", 1, true)];
    assert_eq!(endpoints, expected.map(|(address, weight, drain)| (address.to_owned(), weight, drain)));
    let probe = api.health.as_ref().unwrap();
    let ProbeKind::Http(http) = &probe.kind else { panic!("{probe:?}") };
    assert_eq!((http.expect_status.as_slice(), probe.port), ([200..=200, 204..=206].as_slice(), Some(8081)));
    let named = |name: &str| config.upstreams.iter().find(|upstream| upstream.name.as_str() == name).unwrap();
    let kind = |name: &str| &named(name).health.as_ref().unwrap().kind;
    assert_eq!(*kind("rpc"), ProbeKind::Grpc(GrpcProbe { service: "shop.v1.Orders".into(), host: None }));
    assert_eq!(named("rpc").protocol, UpstreamProtocol::H2c);
    assert_eq!(*kind("db"), ProbeKind::Tcp);
}

#[test]
fn a_probe_never_waits_longer_than_its_interval_unless_told() {
    let source = "[listeners.web]\nlisten = \"unix:/run/a.sock\"\n[[routes]]\nupstream = \"u\"\n[upstreams.u]\n\
                  endpoints = [\"unix:/run/b.sock\"]\nhealth = { tcp = true, interval = \"500ms\" }\n";

    let probe = read(source).upstreams[0].health.clone().unwrap();

    assert_eq!((probe.interval, probe.timeout), (Duration::from_millis(500), Duration::from_millis(500)));
}

#[test]
fn the_path_of_the_access_log_begins_at_the_folder_of_the_file() {
    let source = "[access_log]\noutput = \"logs/access.log\"\n[listeners.web]\nlisten = \"a:1\"\n[[routes]]\nfilters = [\
                  { fixed_response = {} }]\n";

    let output = read(source).access_log.unwrap().output;

    assert_eq!(output, LogOutput::File("/etc/evenkeel/logs/access.log".into()));
}

#[test]
fn a_file_is_loaded_with_its_text_its_hash_and_its_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evenkeel.toml");
    let source = "[listeners.web]\nlisten = \"a:1\"\n[upstreams.u]\nendpoints = [\"b:1\"]\n";
    fs::write(&path, source).unwrap();

    let loaded = load(&path).unwrap();

    assert_eq!((loaded.source.as_str(), loaded.hash), (source, ContentHash::of(source.as_bytes())));
    assert_eq!((loaded.warnings.errors(), loaded.warnings.summary().as_str()), (0, "1 warning"));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();

    let missing = load(&folder.path().join("none.toml")).unwrap_err();
    let directory = load(folder.path()).unwrap_err();
    fs::write(folder.path().join("latin.toml"), b"# a\nx = \"\xe4\"\n").unwrap();
    let latin = load(&folder.path().join("latin.toml")).unwrap_err();

    assert!(missing.render(false).contains("error: the file cannot be read: No such file"), "{missing}");
    assert!(missing.render(false).contains("none.toml"), "{missing}");
    assert!(directory.to_string().contains("the file cannot be read: Is a directory"), "{directory}");
    assert!(latin.to_string().contains("line 2 is not UTF-8 text"), "{latin}");
}

#[test]
fn a_file_without_end_is_refused_and_not_read_into_memory() {
    let problems = load(Path::new("/dev/zero")).unwrap_err();

    assert!(problems.to_string().contains("64 MiB at most"), "{problems}");
}

#[test]
fn ten_thousand_endpoints_in_a_hundred_upstreams_are_read_quickly() {
    let mut source = String::from("[listeners.web]\nlisten = \"0.0.0.0:80\"\n");
    for upstream in 0..100 {
        source += &format!(
            "[[routes]]\nhosts = [\"h{upstream}\"]\nupstream = \"u{upstream}\"\n[upstreams.u{upstream}]\nendpoints = [\n"
        );
        for endpoint in 0..100 {
            source += &format!("  {{ address = \"10.{upstream}.0.{endpoint}:8080\", weight = 2 }},\n");
        }
        source += "]\nhealth = { tcp = true }\n";
    }
    let begun = std::time::Instant::now();

    let config = read(&source);

    assert_eq!(config.upstreams.iter().map(|upstream| upstream.endpoints.len()).sum::<usize>(), 10_000);
    // Well under 100 ms when optimised; this is the bound for unoptimised code on a busy machine.
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    eprintln!("{} KiB in {:?}", source.len() / 1024, begun.elapsed());
}

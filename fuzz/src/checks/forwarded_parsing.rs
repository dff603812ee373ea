//! Any chain of proxies in `X-Forwarded-For` and `Forwarded`: who asked is never what a stranger has written before it.

use evenkeel_config::parse;
use evenkeel_model::Config;
use evenkeel_proxy::fuzzing::client_behind_proxies;
use http::{HeaderMap, HeaderValue};
use std::{net::IpAddr, sync::LazyLock};

/// Each field with a configuration that reads it, an entry that a stranger might write, and one of a trusted proxy.
static FORMS: LazyLock<Vec<(&str, Config, &str, &str)>> = LazyLock::new(|| {
    let config = |form: &str| {
        let text = format!(
            "forwarded = \"{form}\"\ntrusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]\n\
             [listeners.web]\nlisten = \"127.0.0.1:1\"\n"
        );
        let (config, problems) = parse(&text, "fuzz.toml");
        config.unwrap_or_else(|| panic!("{}", problems.render(false)))
    };
    vec![
        ("x-forwarded-for", config("x"), "6.6.6.6", "10.1.2.3"),
        ("forwarded", config("rfc7239"), "for=6.6.6.6", "for=10.1.2.3"),
    ]
});

/// Lines are told apart by LF.
pub fn check(data: &[u8]) {
    for (name, config, stranger, proxy) in FORMS.iter() {
        let lines: Vec<_> = data.split(|b| *b == b'\n').take(20).collect();
        let Some(client) = who(name, &lines, config) else { continue };
        // A line before all others, and an entry before the first of the first line.
        let before: Vec<_> = [stranger.as_bytes()].into_iter().chain(lines.iter().copied()).collect();
        let longer = [stranger.as_bytes(), b", ", lines[0]].concat();
        let mut longest = lines.clone();
        longest[0] = &longer;
        if !config.trusts(client) {
            assert_eq!(who(name, &before, config), Some(client), "a line of a stranger changed who asked");
            assert_eq!(who(name, &longest, config), Some(client), "an entry of a stranger changed who asked");
        }
        // A proxy that we trust says no more than that it was there.
        let after: Vec<_> = lines.iter().copied().chain([proxy.as_bytes()]).collect();
        assert_eq!(who(name, &after, config), Some(client), "a trusted proxy changed who asked");
        assert_eq!(client, client.to_canonical(), "an address has one form");
    }
}

fn who(name: &'static str, lines: &[&[u8]], config: &Config) -> Option<IpAddr> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line).ok()?);
    }
    client_behind_proxies(&headers, config)
}

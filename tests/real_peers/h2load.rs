//! `h2load`: thousands of requests over a few connections, while everything is changed that can be changed beneath them.

use super::{SITE, program, run, site};
use evenkeel_testkit::{Authority, Proxy};
use std::path::Path;

const REQUESTS: u32 = 8000;

/// Changes in all, so that a fast machine is loaded more than once.
const CHANGES: usize = 3;

/// All requests are answered, and well, while certificate and configuration change. Gives how many it were.
async fn loaded(h2load: &Path, proxy: &Proxy, scheme: &str, authority: Option<&Authority>) -> u32 {
    let (mut requests, mut changes) = (0, 0);
    while changes < CHANGES {
        changes += load(h2load, proxy, scheme, authority, changes).await;
        requests += REQUESTS;
    }
    requests
}

/// The same once, after so many changes. Gives how many there were.
async fn load(h2load: &Path, proxy: &Proxy, scheme: &str, authority: Option<&Authority>, before: usize) -> usize {
    let to = format!("--connect-to=127.0.0.1:{}", proxy.web().port());
    let (url, text) = (format!("{scheme}://a.test/"), proxy.file().text());
    let count = REQUESTS.to_string();
    let words = ["-n", &count, "-c", "8", "-m", "32", &to, &url];
    let load = run(h2load, &words, "");
    tokio::pin!(load);
    let mut changes = 0;
    let said = loop {
        tokio::select! {
            said = &mut load => break said,
            () = change(proxy, authority, &text, before + changes) => changes += 1,
        }
    };
    let good = [
        format!("{REQUESTS} done, {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout"),
        format!("status codes: {REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx"),
    ];
    assert!(said.good && good.iter().all(|line| said.out.contains(line)), "{}\n{}", said.out, said.err);
    changes
}

/// Another certificate, and the same file with another upstream at its end.
async fn change(proxy: &Proxy, authority: Option<&Authority>, text: &str, number: usize) {
    if let Some(authority) = authority {
        authority.server(&["a.test"]).make().write(proxy.folder(), "site");
    }
    proxy.reload_with(&format!("{text}\n[upstreams.more{number}]\nendpoints = [\"127.0.0.1:1\"]\n")).await;
}

#[tokio::test]
async fn no_request_over_tls_fails_while_certificates_and_configuration_change() {
    let Some(h2load) = program("h2load") else { return };
    let (authority, origin, builder) = site().await;
    let proxy = builder.start().await;

    let requests = loaded(&h2load, &proxy, "https", Some(&authority)).await;

    assert_eq!(origin.requests(), requests as usize);
    proxy.is_idle().await;
}

#[tokio::test]
async fn no_request_without_tls_fails_while_the_configuration_changes() {
    let Some(h2load) = program("h2load") else { return };
    let (_authority, origin, builder) = site().await;
    let text = builder.text().replace(SITE, "protocol = \"h2c\"");
    let proxy = Proxy::with_config(&text).start().await;

    let requests = loaded(&h2load, &proxy, "http", None).await;

    assert_eq!(origin.requests(), requests as usize);
    proxy.is_idle().await;
}

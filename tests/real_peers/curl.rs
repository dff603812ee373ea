//! `curl`: HTTP/1.1 and HTTP/2 as scripts speak them.

use super::{SITE, Said, file, program, run, site, write};
use evenkeel_testkit::Proxy;
use std::path::{Path, PathBuf};

/// curl, if it is there and speaks HTTP/2.
async fn curl_with_http2() -> Option<PathBuf> {
    let curl = program("curl")?;
    let known = run(&curl, &["--version"], "").await.out.contains("HTTP2");
    if !known {
        super::left_out("this curl does not speak HTTP/2");
    }
    known.then_some(curl)
}

/// Asks `a.test` for this path, and ends with the status and the version that was spoken: `200 2`.
async fn curl(curl: &Path, proxy: &Proxy, scheme: &str, path: &str, words: &[&str]) -> Said {
    let port = proxy.web().port();
    let (resolve, url) = (format!("a.test:{port}:127.0.0.1"), format!("{scheme}://a.test:{port}{path}"));
    let authority = file(proxy, "authority.pem");
    let own = ["-sS", "--resolve", &resolve, "--cacert", &authority, "-w", "\n%{http_code} %{http_version}\n"];
    run(curl, &[&own, words, &[&url]].concat(), "").await
}

impl Said {
    fn ends_with(&self, what: &str) -> &Self {
        assert!(self.good && self.out.ends_with(&format!("\n{what}\n")), "{what}:\n{}\n{}", self.out, self.err);
        self
    }
}

/// A proxy without TLS: `protocol` is what its listener speaks.
async fn plain(protocol: &str) -> (evenkeel_testkit::Origin, Proxy) {
    let (authority, origin, builder) = site().await;
    let proxy = Proxy::with_config(&builder.text().replace(SITE, &format!("protocol = \"{protocol}\"")));
    write(proxy.folder(), "authority.pem", authority.pem());
    (origin, proxy.start().await)
}

#[tokio::test]
async fn every_version_is_spoken_with_tls_and_without() {
    let Some(program) = curl_with_http2().await else { return };
    let (_authority, origin, builder) = site().await;
    let secure = builder.start().await;
    let ((_one, http), (_two, h2c)) = (plain("http").await, plain("h2c").await);

    for (proxy, scheme, words, spoken) in [
        (&secure, "https", &["--http1.1"][..], "1.1"),
        (&secure, "https", &["--http1.1", "--tls-max", "1.2"], "1.1"),
        (&secure, "https", &["--http2"], "2"),
        (&secure, "https", &["--http2", "--tls-max", "1.2"], "2"),
        (&http, "http", &["--http1.1"], "1.1"),
        (&http, "http", &["--http1.0"], "1"),
        // It asks to be upgraded to h2c, which nobody has to do (RFC 9113, section 3.1).
        (&http, "http", &["--http2"], "1.1"),
        (&h2c, "http", &["--http2-prior-knowledge"], "2"),
    ] {
        let said = curl(&program, proxy, scheme, "/", words).await;
        said.ends_with(&format!("200 {spoken}"));
        assert!(said.out.contains("\"origin\""), "{words:?}: {}", said.out);
    }
    assert_eq!(origin.requests(), 4);
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let Some(program) = curl_with_http2().await else { return };
    let (_authority, origin, builder) = site().await;
    let proxy = builder.start().await;

    let said = curl(&program, &proxy, "https", "/[1-100]", &["--http2", "--parallel"]).await;

    assert_eq!(said.out.lines().filter(|line| *line == "200 2").count(), 100, "{}\n{}", said.out, said.err);
    assert_eq!(origin.requests(), 100);
    let one = |metrics: &evenkeel_testkit::Metrics| metrics.sum("evenkeel_connections_total", &[]) < 1.5;
    proxy.metrics_show("one connection", one).await;
}

#[tokio::test]
async fn uploads_of_every_kind_arrive_whole() {
    let Some(program) = curl_with_http2().await else { return };
    let (_authority, origin, builder) = site().await;
    let secure = builder.start().await;
    let (plain_origin, h2c) = plain("h2c").await;
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| b'a' + (n % 23) as u8).collect();

    for (proxy, origin, scheme, version) in [
        (&secure, &origin, "https", "--http1.1"),
        (&secure, &origin, "https", "--http2"),
        (&h2c, &plain_origin, "http", "--http2-prior-knowledge"),
    ] {
        write(proxy.folder(), "body", &body);
        let path = file(proxy, "body");
        for words in [&["-T", &path][..], &["-T", &path, "-H", "Transfer-Encoding: chunked"]] {
            curl(&program, proxy, scheme, "/up", &[&[version, "-o", "/dev/null"], words].concat()).await;
            let seen = origin.last_seen();
            assert!(seen.method == "PUT" && seen.body == body, "{version} {words:?}: {} bytes", seen.body.len());
        }
    }
}

/// An answer that was followed at once by a reset of the upload was lost: `curl: (92) HTTP/2 stream 1 was not closed cleanly`.
#[tokio::test]
async fn an_early_answer_to_an_upload_over_http_2_is_read() {
    let Some(program) = curl_with_http2().await else { return };
    let (_authority, _origin, builder) = site().await;
    let refuses =
        "[[routes]]\npath = \"/refused\"\n[[routes.filters]]\nfixed_response = { status = 403, body = \"no\" }\n";
    let proxy = builder.top("limits.body_max = \"1MiB\"").more(refuses).start().await;
    write(proxy.folder(), "body", vec![b'x'; 10_000_000]);
    let from = format!("@{}", file(&proxy, "body"));

    for _ in 0..10 {
        for (path, status) in [("/", 413), ("/refused", 403)] {
            let said = curl(&program, &proxy, "https", path, &["--http2", "--data-binary", &from]).await;
            said.ends_with(&format!("{status} 2"));
        }
    }
}

#[tokio::test]
async fn an_upload_waits_for_the_100_and_is_not_made_when_it_is_refused() {
    let Some(program) = program("curl") else { return };
    let (_authority, origin, builder) = site().await;
    let proxy = builder.top("limits.body_max = \"1MiB\"").start().await;
    for (name, bytes) in [("small", 1000), ("large", 5_000_000)] {
        write(proxy.folder(), name, vec![b'x'; bytes]);
    }
    let upload = async |name: &str| {
        let (from, expects) = (format!("@{}", file(&proxy, name)), "Expect: 100-continue");
        let words = ["--http1.1", "-v", "--expect100-timeout", "30", "-H", expects, "--data-binary", &from];
        let told = "\n%{http_code} %{http_version} %{size_upload}\n";
        curl(&program, &proxy, "https", "/", &[&words[..], &["-w", told]].concat()).await
    };

    let small = upload("small").await;
    small.ends_with("200 1.1 1000");
    assert!(small.err.contains("< HTTP/1.1 100 Continue"), "{}", small.err);

    upload("large").await.ends_with("413 1.1 0");
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn http_on_a_port_with_tls_is_told_so() {
    let Some(program) = curl_with_http2().await else { return };
    let (_authority, origin, builder) = site().await;
    let proxy = builder.start().await;

    for version in ["--http1.1", "--http2"] {
        let said = curl(&program, &proxy, "http", "/", &[version]).await;
        assert!(said.ends_with("400 1.1").out.contains("This port speaks TLS (https)"), "{}", said.out);
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_proxy_header_goes_before_everything_else() {
    let Some(program) = curl_with_http2().await else { return };
    let (_authority, origin, builder) = site().await;
    let proxy = builder.listener("proxy_protocol = true\nproxy_protocol_from = [\"127.0.0.1/32\"]").start().await;

    for version in ["--http1.1", "--http2"] {
        let said = curl(&program, &proxy, "https", "/", &[version, "--haproxy-protocol"]).await;
        said.ends_with(&format!("200 {}", &version[6..]));
        assert_eq!(origin.last_seen().header("x-forwarded-for"), Some("127.0.0.1"));
        assert!(!curl(&program, &proxy, "https", "/", &[version]).await.good);
    }
}

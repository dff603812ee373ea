//! Where a redirect leads that does not say it all: to the scheme and host that the client asked, as those know who are believed.

use evenkeel_testkit::{Authority, Client, Proxy, TlsClient, Wire};

const TRUSTING: &str = "trusted_proxies = [\"127.0.0.1/32\"]";
const RFC7239: &str = "trusted_proxies = [\"127.0.0.1/32\"]\nforwarded = \"rfc7239\"";
const BOTH: &str = "trusted_proxies = [\"127.0.0.1/32\"]\nforwarded = \"both\"";

async fn redirecting(top: &str, to: &str) -> Proxy {
    let text = format!(
        "{top}\n[listeners.web]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nfilters = [{{ redirect = {{ {to}status = 302 }} }}]\n"
    );
    Proxy::with_config(&text).start().await
}

/// Where a request for `/old` of `shop.test`, with these fields, is sent to.
async fn location(proxy: &Proxy, fields: &str) -> String {
    let request = format!("GET /old HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n");
    let answer = Wire::exchange(proxy.web(), request).await;
    answer.header("location").map_or_else(|| answer.status.to_string(), str::to_owned)
}

#[tokio::test]
async fn a_redirect_stays_with_the_scheme_and_host_that_a_trusted_proxy_names() {
    let proxy = redirecting(TRUSTING, "path = \"/new\", ").await;

    for (fields, place) in [
        ("", "http://shop.test/new"),
        ("X-Forwarded-Proto: https\r\n", "https://shop.test/new"),
        ("X-Forwarded-Proto: HTTPS\r\n", "https://shop.test/new"),
        ("X-Forwarded-Host: www.test:8443\r\nX-Forwarded-Proto: https\r\n", "https://www.test:8443/new"),
        ("X-Forwarded-Host: www.test:443\r\nX-Forwarded-Proto: https\r\n", "https://www.test/new"),
        ("X-Forwarded-Host: [::1]:81\r\n", "http://[::1]:81/new"),
        // Only the last entry is the proxy's own.
        ("X-Forwarded-Host: evil.test, www.test\r\n", "http://www.test/new"),
        ("X-Forwarded-Host: evil.test\r\nX-Forwarded-Host: www.test\r\n", "http://www.test/new"),
        ("X-Forwarded-Proto: http, https\r\n", "https://shop.test/new"),
        // What is neither is not believed.
        ("X-Forwarded-Host: www.test/evil\r\nX-Forwarded-Proto: ftp\r\n", "http://shop.test/new"),
        ("X-Forwarded-Host:\r\nX-Forwarded-Proto:\r\n", "http://shop.test/new"),
        // Not the form that is believed here.
        ("Forwarded: for=203.0.113.9;proto=https;host=www.test\r\n", "http://shop.test/new"),
    ] {
        assert_eq!(location(&proxy, fields).await, place, "{fields}");
    }
}

#[tokio::test]
async fn what_a_stranger_says_of_scheme_and_host_leads_no_redirect() {
    for top in ["", "trusted_proxies = [\"10.0.0.0/8\"]", "forwarded = \"rfc7239\"", "forwarded = \"both\""] {
        let proxy = redirecting(top, "path = \"/new\", ").await;
        let fields = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX_Forwarded_Host: evil.test\r\n\
                      Forwarded: for=1.1.1.1;proto=https;host=evil.test\r\n";
        assert_eq!(location(&proxy, fields).await, "http://shop.test/new", "{top}");
    }
    let proxy = redirecting(TRUSTING, "path = \"/new\", ").await;
    let stranger = Client::of(proxy.web()).from_address([127, 0, 0, 2].into());
    let answer = stranger.get("/old").host("shop.test").header("x-forwarded-host", "evil.test").send().await;
    assert_eq!(answer.header("location"), Some("http://shop.test/new"));
}

#[tokio::test]
async fn a_redirect_reads_forwarded_up_to_the_client_where_that_form_is_believed() {
    let proxy = redirecting(RFC7239, "path = \"/new\", ").await;

    for (fields, place) in [
        ("", "http://shop.test/new"),
        ("Forwarded: for=203.0.113.9;proto=https;host=\"www.test:8443\"\r\n", "https://www.test:8443/new"),
        ("Forwarded: for=203.0.113.9;proto=https\r\n", "https://shop.test/new"),
        // Further left than the client anybody may have written.
        ("Forwarded: for=1.1.1.1;host=evil.test, for=203.0.113.9;proto=https\r\n", "https://shop.test/new"),
        // Each of the proxies tells what it was asked: the first of them was asked by the client.
        (
            "Forwarded: for=203.0.113.9;proto=https;host=www.test, for=127.0.0.1;proto=http;host=in\r\n",
            "https://www.test/new",
        ),
        ("Forwarded: for=203.0.113.9, for=127.0.0.1;proto=https;host=www.test\r\n", "https://www.test/new"),
        ("Forwarded: for=203.0.113.9;proto=https;proto=http\r\n", "http://shop.test/new"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: www.test\r\n", "http://shop.test/new"),
    ] {
        assert_eq!(location(&proxy, fields).await, place, "{fields}");
    }
}

#[tokio::test]
async fn where_both_forms_are_written_x_forwarded_decides_here_too() {
    let proxy = redirecting(BOTH, "path = \"/new\", ").await;

    let fields = "Forwarded: for=203.0.113.9;proto=http;host=evil.test\r\n\
                  X-Forwarded-Proto: https\r\nX-Forwarded-Host: www.test\r\n";
    assert_eq!(location(&proxy, fields).await, "https://www.test/new");
}

#[tokio::test]
async fn what_a_redirect_names_itself_counts_more_than_what_a_proxy_says() {
    let proxy = redirecting(TRUSTING, "host = \"new.test\", scheme = \"http\", ").await;

    let fields = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: www.test:8443\r\n";
    assert_eq!(location(&proxy, fields).await, "http://new.test/old");
}

#[tokio::test]
async fn http_is_sent_to_https_behind_a_proxy_that_ends_tls_and_https_is_served() {
    let proxy = Proxy::with_config(&format!(
        "{TRUSTING}\n[listeners.web]\nlisten = \"127.0.0.1:0\"\n\
         [[routes]]\nheaders = {{ \"x-forwarded-proto\" = \"http\" }}\nfilters = [{{ redirect = {{ scheme = \"https\" }} }}]\n\
         [[routes]]\nfilters = [{{ fixed_response = {{ body = \"in\" }} }}]\n"
    ));
    let proxy = proxy.start().await;

    assert_eq!(location(&proxy, "X-Forwarded-Proto: http\r\n").await, "https://shop.test/old");
    assert_eq!(location(&proxy, "X-Forwarded-Proto: https\r\n").await, "200");
}

#[tokio::test]
async fn within_tls_a_redirect_stays_within_tls() {
    let authority = Authority::new("Test Authority");
    let builder = Proxy::with_config(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\ntls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\n\
         [[routes]]\nfilters = [{ redirect = { path = \"/new\" } }]\n",
    );
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    let proxy = builder.start().await;
    let mut client = TlsClient::new(&authority, "a.test").connect(proxy.web()).await;

    client.wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: http\r\n\r\n").await;

    assert_eq!(client.wire.response().await.header("location"), Some("https://a.test/new"));
}

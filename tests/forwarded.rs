//! What the endpoint learns about the client, and what concerns one connection only.

use evenkeel_testkit::{Answer, Client, Origin, Proxy, RawOrigin, Script, Wire, unused_port};

const TRUSTING: &str = "trusted_proxies = [\"127.0.0.1/32\"]";

async fn started(top: &str) -> (Proxy, Origin) {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).top(top).start().await;
    (proxy, origin)
}

#[tokio::test]
async fn the_endpoint_learns_address_scheme_and_host_of_the_client() {
    let (proxy, origin) = started("").await;

    proxy.client().get("/").host("shop.org:81").send().await;

    let seen = origin.last_seen();
    assert_eq!(seen.header_all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.header_all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.header_all("x-forwarded-host"), ["shop.org:81"]);
    assert_eq!(seen.header_all("host"), ["shop.org:81"]);
}

#[tokio::test]
async fn what_a_stranger_claims_is_discarded() {
    let (proxy, origin) = started("trusted_proxies = [\"10.0.0.0/8\"]").await;

    let client = proxy.client();
    let ask = client.get("/").host("a.org").header("x-forwarded-for", "1.1.1.1").header("x-forwarded-for", "2.2.2.2");
    ask.header("x-forwarded-proto", "https").header("x-forwarded-host", "evil.org").send().await;

    let seen = origin.last_seen();
    assert_eq!(seen.header_all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.header_all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.header_all("x-forwarded-host"), ["a.org"]);
}

#[tokio::test]
async fn what_a_stranger_claims_with_underscores_is_discarded() {
    for (top, kept) in [("", 0), (TRUSTING, 1)] {
        let (proxy, origin) = started(top).await;
        let claims = "X_Forwarded_For: 1.1.1.1\r\nX-Forwarded_Proto: https\r\nx_forwarded-host: evil.org\r\nX_Other: 1";

        let answer = Wire::exchange(proxy.web(), format!("GET / HTTP/1.1\r\nHost: a.org\r\n{claims}\r\n\r\n")).await;

        assert_eq!(answer.status, 200);
        let seen = origin.last_seen();
        for name in ["x_forwarded_for", "x-forwarded_proto", "x_forwarded-host"] {
            assert_eq!(seen.header_all(name).len(), kept, "{name}");
        }
        assert_eq!(seen.header("x_other"), Some("1"));
    }
}

#[tokio::test]
async fn what_a_trusted_proxy_says_is_kept_and_it_is_added_itself() {
    let (proxy, origin) = started(TRUSTING).await;

    let client = proxy.client();
    let ask = client.get("/").header("x-forwarded-for", "203.0.113.9").header("x-forwarded-for", "10.0.0.1");
    ask.header("x-forwarded-proto", "https").header("x-forwarded-host", "shop.org").send().await;

    let seen = origin.last_seen();
    assert_eq!(seen.header_all("x-forwarded-for").join(", "), "203.0.113.9, 10.0.0.1, 127.0.0.1");
    assert_eq!(seen.header_all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.header_all("x-forwarded-host"), ["shop.org"]);
}

#[tokio::test]
async fn only_the_networks_in_the_file_are_trusted() {
    let (proxy, origin) = started(TRUSTING).await;

    let stranger = Client::of(proxy.web()).from_address([127, 0, 0, 2].into());
    stranger.get("/").header("x-forwarded-for", "203.0.113.9").send().await;

    assert_eq!(origin.last_seen().header_all("x-forwarded-for"), ["127.0.0.2"]);
}

#[tokio::test]
async fn the_log_shows_the_last_address_that_a_trusted_proxy_vouches_for() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).top(TRUSTING).access_log().start().await;

    // The client wrote 6.6.6.6 itself; the trusted proxy saw 203.0.113.9.
    proxy.client().get("/").header("x-forwarded-for", "6.6.6.6, 203.0.113.9").send().await;

    assert_eq!(proxy.access_log_with(1).await[0]["client"], "203.0.113.9");
}

#[tokio::test]
async fn via_is_added_to_what_there_is() {
    let (proxy, origin) = started("").await;

    proxy.client().get("/").header("via", "1.1 cdn").send().await;
    let via = origin.last_seen().header_all("via").join(", ");
    assert!(via.starts_with("1.1 cdn, 1.1 "), "{via}");

    Wire::exchange(proxy.web(), "GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let via = origin.last_seen().header_all("via").join(", ");
    assert!(via.starts_with("1.0 "), "{via}");
}

#[tokio::test]
async fn fields_of_one_connection_go_no_further_towards_the_endpoint() {
    let (proxy, origin) = started("").await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-One, x-two\r\nX-One: 1\r\nx-TWO: 2\r\n\
                   Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\
                   TE: gzip\r\nUpgrade: foo/1\r\nProxy: http://evil/\r\nX-Kept: yes\r\n\r\n";

    assert_eq!(Wire::exchange(proxy.web(), request).await.status, 200);

    let seen = origin.last_seen();
    for gone in ["connection", "x-one", "x-two", "keep-alive", "proxy-connection", "te", "upgrade", "proxy"] {
        let values = seen.header_all(gone);
        assert!(values.is_empty() || (gone == "connection" && values == ["keep-alive"]), "{gone}: {values:?}");
    }
    assert_eq!(seen.header("x-kept"), Some("yes"));
}

#[tokio::test]
async fn fields_of_one_connection_go_no_further_towards_the_client() {
    let origin = RawOrigin::start(Script::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-one, keep-alive\r\nConnection: content-length\r\nX-One: 1\r\n\
         Keep-Alive: timeout=100\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nX-Kept: yes\r\n\r\nok",
    ))
    .await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    let response = Wire::exchange(proxy.web(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    for gone in ["connection", "x-one", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(response.header_all(gone), Vec::<&str>::new(), "{gone}");
    }
    assert_eq!((response.header("x-kept"), response.text().as_str()), (Some("yes"), "ok"));
    assert!(response.is_complete());
}

#[tokio::test]
async fn repeated_fields_stay_repeated_and_in_their_order() {
    let origin = Origin::http1().answers(Answer::text("x").header("set-cookie", "a=1").header("set-cookie", "b=2"));
    let origin = origin.start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    let response = proxy.client().get("/").header("x-a", "1").header("x-a", "2").send().await;

    let cookies: Vec<_> = response.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(origin.last_seen().header_all("x-a"), ["1", "2"]);
}

#[tokio::test]
async fn a_v6_client_is_written_as_one() {
    let origin = Origin::http1().start().await;
    let text = format!(
        "[listeners.web]\nlisten = \"[::1]:0\"\n[[routes]]\nupstream = \"site\"\n[upstreams.site]\nendpoints = [\"{origin}\"]\n"
    );
    let proxy = Proxy::with_config(&text).start().await;

    proxy.client().get("/").send().await;

    assert_eq!(origin.last_seen().header_all("x-forwarded-for"), ["::1"]);
}

#[tokio::test]
async fn an_endpoint_can_be_told_in_the_form_of_rfc_7239_alone() {
    let (proxy, origin) = started("forwarded = \"rfc7239\"").await;

    let client = proxy.client();
    let ask =
        client.get("/").host("shop.org:81").header("forwarded", "for=6.6.6.6").header("x-forwarded-for", "6.6.6.6");
    ask.header("x-forwarded-proto", "https").header("x-forwarded-host", "evil.org").send().await;

    let seen = origin.last_seen();
    assert_eq!(seen.header_all("forwarded"), ["for=127.0.0.1;host=\"shop.org:81\";proto=http"]);
    for gone in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"] {
        assert_eq!(seen.header_all(gone), Vec::<&str>::new(), "{gone}");
    }
}

#[tokio::test]
async fn both_forms_say_the_same() {
    let (proxy, origin) = started("forwarded = \"both\"").await;

    proxy.client().get("/").host("a.org").header("forwarded", "for=6.6.6.6").send().await;

    let seen = origin.last_seen();
    assert_eq!(seen.header_all("forwarded"), ["for=127.0.0.1;host=a.org;proto=http"]);
    assert_eq!(seen.header_all("x-forwarded-for"), ["127.0.0.1"]);
}

#[tokio::test]
async fn the_form_that_is_not_written_is_removed_also_when_a_trusted_proxy_sent_it() {
    for (form, gone) in [("x", "forwarded"), ("rfc7239", "x-forwarded-for")] {
        let (proxy, origin) = started(&format!("{TRUSTING}\nforwarded = \"{form}\"")).await;

        let client = proxy.client();
        let ask = client.get("/").header("forwarded", "for=203.0.113.9").header("x-forwarded-for", "203.0.113.9");
        ask.send().await;

        assert_eq!(origin.last_seen().header_all(gone), Vec::<&str>::new(), "{form}");
    }
}

#[tokio::test]
async fn a_chain_of_rfc_7239_over_several_lines_is_continued_and_names_the_client() {
    let origin = Origin::http1().start().await;
    let top = format!("{TRUSTING}\nforwarded = \"rfc7239\"");
    let proxy = Proxy::with_upstream(&origin).top(&top).access_log().start().await;

    let client = proxy.client();
    let ask = client.get("/").host("a").header("forwarded", "for=6.6.6.6, for=\"[2001:db8::9]:4711\";proto=https");
    // A quoted comma makes no element; X-Forwarded-For is not believed in this form.
    ask.header("forwarded", "host=\"x,for=7.7.7.7\";for=127.0.0.1").header("x-forwarded-for", "8.8.8.8").send().await;

    assert_eq!(
        origin.last_seen().header_all("forwarded"),
        [
            "for=6.6.6.6, for=\"[2001:db8::9]:4711\";proto=https, host=\"x,for=7.7.7.7\";for=127.0.0.1, for=127.0.0.1;host=a;proto=http"
        ]
    );
    assert_eq!(proxy.access_log_with(1).await[0]["client"], "2001:db8::9");
}

#[tokio::test]
async fn the_client_is_the_last_address_that_is_no_trusted_proxy_over_all_lines() {
    for (lines, client) in [
        (&["6.6.6.6", "203.0.113.9, 127.0.0.1"][..], "203.0.113.9"),
        (&["6.6.6.6, 203.0.113.9", "127.0.0.1", "127.0.0.1"], "203.0.113.9"),
        (&["127.0.0.1", "127.0.0.1"], "127.0.0.1"),
        (&["203.0.113.9", "garbage", "127.0.0.1"], "127.0.0.1"),
        (&["203.0.113.9:4711"], "203.0.113.9"),
        (&["[2001:db8::9]:4711, 127.0.0.1"], "2001:db8::9"),
        (&["garbage"], "127.0.0.1"),
        (&[""], "127.0.0.1"),
    ] {
        let origin = Origin::http1().start().await;
        let proxy = Proxy::with_upstream(&origin).top(TRUSTING).access_log().start().await;
        let fields: String = lines.iter().map(|line| format!("X-Forwarded-For: {line}\r\n")).collect();

        Wire::exchange(proxy.web(), format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;

        assert_eq!(proxy.access_log_with(1).await[0]["client"], client, "{lines:?}");
        let told = origin.last_seen().header_all("x-forwarded-for").join(", ");
        assert_eq!(told, format!("{}, 127.0.0.1", lines.join(", ")), "{lines:?}");
    }
}

#[tokio::test]
async fn a_connection_cannot_name_our_fields_away() {
    let (proxy, origin) = started("forwarded = \"both\"").await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for, forwarded, via, host\r\n\r\n";

    Wire::exchange(proxy.web(), request).await;

    let seen = origin.last_seen();
    for kept in ["x-forwarded-for", "forwarded", "via", "host"] {
        assert_eq!(seen.header_all(kept).len(), 1, "{kept}");
    }
}

#[tokio::test]
async fn a_request_that_has_passed_this_proxy_eight_times_is_a_508() {
    let (proxy, origin) = started("").await;
    let via = |times: usize| vec!["1.1 evenkeel"; times].join(", ");

    assert_eq!(proxy.client().get("/").header("via", &via(7)).status().await, 200);
    // Others may be passed as often as they like.
    assert_eq!(proxy.client().get("/").header("via", &"1.1 cdn, ".repeat(20)).status().await, 200);
    let client = proxy.client();
    let response = client.get("/").header("via", &via(4)).header("via", &via(4)).send().await;

    assert_eq!(response.status, 508);
    assert!(response.text().contains("reason: loop"), "{}", response.text());
    assert_eq!(origin.requests(), 2);
    proxy.counts_local("loop", 1).await;
}

#[tokio::test]
async fn a_proxy_that_is_its_own_endpoint_answers_and_does_not_spin() {
    let port = unused_port();
    let text = format!(
        "[listeners.web]\nlisten = \"127.0.0.1:{port}\"\n[[routes]]\nupstream = \"site\"\n\
         [upstreams.site]\nendpoints = [\"127.0.0.1:{port}\"]\n"
    );
    let proxy = Proxy::with_config(&text).start().await;

    assert_eq!(proxy.client().get("/").status().await, 508);

    let metrics = proxy.metrics_show("all have ended", |m| m.sum("evenkeel_requests_total", &[]) > 8.5).await;
    assert!(
        (metrics.sum("evenkeel_requests_total", &[]) - 9.0).abs() < 0.5,
        "one from the client, eight from ourselves"
    );
}

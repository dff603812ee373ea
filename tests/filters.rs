//! The four filters of the foundation, seen from both ends.

use evenkeel_testkit::{Answer, Origin, Proxy};

/// A proxy whose route has these filters.
async fn filtered(filters: &str) -> (Proxy, Origin) {
    let origin =
        Origin::http1().answers(Answer::echo().header("x-from", "origin").header("x-from", "twice")).start().await;
    let proxy = Proxy::with_upstream(&origin).route(&format!("filters = [{filters}]")).start().await;
    (proxy, origin)
}

#[tokio::test]
async fn a_request_header_can_be_set_added_and_removed() {
    let (proxy, origin) = filtered(
        "{ set_request_header = { name = \"x-set\", value = \"ours\" } }, \
         { add_request_header = { name = \"x-add\", value = \"ours\" } }, \
         { remove_request_header = \"x-remove\" }",
    )
    .await;

    let ask = proxy.client();
    let ask = ask.get("/").header("x-set", "a").header("x-set", "b").header("x-add", "theirs").header("x-remove", "a");
    assert_eq!(ask.status().await, 200);

    let seen = origin.last_seen();
    assert_eq!(seen.header_all("x-set"), ["ours"]);
    assert_eq!(seen.header_all("x-add"), ["theirs", "ours"]);
    assert!(seen.header_all("x-remove").is_empty());
}

#[tokio::test]
async fn a_response_header_can_be_set_added_and_removed() {
    let (proxy, _origin) = filtered(
        "{ remove_response_header = \"x-from\" }, \
         { set_response_header = { name = \"x-origin\", value = \"hidden\" } }, \
         { add_response_header = { name = \"x-add\", value = \"1\" } }",
    )
    .await;

    let response = proxy.client().get("/").send().await;

    assert_eq!(response.header("x-from"), None);
    assert_eq!(response.origin(), "hidden");
    assert_eq!(response.header("x-add"), Some("1"));
}

#[tokio::test]
async fn filters_run_in_the_order_in_which_they_are_written() {
    let (proxy, origin) = filtered(
        "{ set_request_header = { name = \"x-a\", value = \"1\" } }, \
         { add_request_header = { name = \"x-a\", value = \"2\" } }, \
         { remove_request_header = \"x-b\" }, \
         { add_request_header = { name = \"x-b\", value = \"3\" } }",
    )
    .await;

    proxy.client().get("/").header("x-a", "0").header("x-b", "0").send().await;

    assert_eq!(origin.last_seen().header_all("x-a"), ["1", "2"]);
    assert_eq!(origin.last_seen().header_all("x-b"), ["3"]);
}

#[tokio::test]
async fn a_redirect_to_https_keeps_host_path_and_query() {
    let (proxy, origin) = filtered("{ redirect = { scheme = \"https\", status = 308 } }").await;

    let response = proxy.client().get("/a/b?c=d").host("example.com:8080").send().await;

    assert_eq!(response.status, 308);
    assert_eq!(response.header("location"), Some("https://example.com/a/b?c=d"));
    assert_eq!(origin.requests(), 0);
    proxy.counts_local("filter", 1).await;
}

#[tokio::test]
async fn a_redirect_can_lead_to_another_host_port_and_path() {
    let (proxy, _origin) =
        filtered("{ redirect = { host = \"new.org\", port = 8443, scheme = \"https\", path = \"/x\" } }").await;

    let response = proxy.client().get("/a?b").send().await;

    assert_eq!((response.status, response.header("location")), (301, Some("https://new.org:8443/x")));
}

#[tokio::test]
async fn a_fixed_response_needs_no_upstream() {
    let proxy = Proxy::with_config(
        r#"
        [listeners.web]
        listen = "127.0.0.1:0"
        [[routes]]
        filters = [{ fixed_response = { status = 418, body = "short and stout", content_type = "text/x-tea" } }]
        "#,
    )
    .start()
    .await;

    let response = proxy.client().get("/").send().await;

    assert_eq!((response.status, response.text().as_str()), (418, "short and stout"));
    assert_eq!(response.header("content-type"), Some("text/x-tea"));
    proxy.counts_local("filter", 1).await;
}

#[tokio::test]
async fn an_answer_by_a_filter_to_a_post_leaves_the_connection_in_order() {
    let proxy = Proxy::with_config(
        r#"
        [listeners.web]
        listen = "127.0.0.1:0"
        [[routes]]
        filters = [{ fixed_response = { body = "fixed" } }]
        "#,
    )
    .start()
    .await;

    // The body that nobody read must not be taken for the next request.
    let client = proxy.client();
    for _ in 0..3 {
        let response = client.post("/", "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n").send().await;
        assert_eq!((response.status, response.text().as_str()), (200, "fixed"));
    }
    proxy.counts_local("filter", 3).await;
}

#[tokio::test]
async fn a_prefix_is_rewritten_with_the_elements_behind_it_and_the_query_kept() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin)
        .route("path_prefix = \"/api\"\nfilters = [{ prefix_rewrite = \"/v2/inner\" }]")
        .start()
        .await;

    for (sent, forwarded) in
        [("/api/x?q=1", "/v2/inner/x?q=1"), ("/api", "/v2/inner"), ("/api/", "/v2/inner/"), ("/api?q", "/v2/inner?q")]
    {
        assert_eq!(proxy.client().get(sent).status().await, 200);
        assert_eq!(origin.last_seen().target, forwarded, "{sent}");
    }
}

#[tokio::test]
async fn a_prefix_can_be_cut_off() {
    let origin = Origin::http1().start().await;
    let route = "path_prefix = \"/api\"\nfilters = [{ prefix_rewrite = \"/\" }]";
    let proxy = Proxy::with_upstream(&origin).route(route).start().await;

    for (sent, forwarded) in [("/api/x", "/x"), ("/api", "/"), ("/api//evil.org/x", "//evil.org/x")] {
        assert_eq!(proxy.client().get(sent).status().await, 200);
        assert_eq!(origin.last_seen().target, forwarded, "{sent}");
    }
}

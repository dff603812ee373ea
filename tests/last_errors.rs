//! What an operator sees of messages that broke HTTP.

use evenkeel_testkit::{Origin, Proxy, RawOrigin, Script, Wire, until};
use serde_json::Value;

async fn started() -> (Proxy, Origin) {
    let origin = Origin::http1().start().await;
    let more = "[limits]\nunderscores = \"refuse\"";
    (Proxy::with_upstream(&origin).more(more).start().await, origin)
}

/// Waits until so many are shown.
async fn shown(proxy: &Proxy, kind: &str, count: usize) -> Vec<Value> {
    until(&format!("{count} malformed {kind}"), async || {
        let last = proxy.asks_admin("/debug/last-errors").await.json();
        let list = last[kind].as_array().expect("a list").clone();
        (list.len() == count).then_some(list)
    })
    .await
}

/// The offending byte is behind the mark `^`.
fn marked(text: &str) -> (String, Option<usize>) {
    (text.replacen('^', "", 1), text.find('^'))
}

#[tokio::test]
async fn a_malformed_request_is_shown_with_its_bytes_and_the_first_that_is_wrong() {
    for (text, cause) in [
        ("GET / HTTP/1.1\r\nHost^ : a\r\n\r\n", "invalid header name"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ^\0\r\n\r\n", "invalid header value"),
        ("GET / HTTP/1.1\r\nHost: a^\n\r\n", "a line of the head ends without CR"),
        ("GET /a^#b HTTP/1.1\r\nHost: a\r\n\r\n", "the target has a fragment ('#')"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ^gzip\r\n\r\n",
            "the transfer coding is not exactly 'chunked'",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n^Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "both a Content-Length and a transfer coding",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: ^6\r\n\r\nhello",
            "the Content-Length is not one number",
        ),
        ("POST / HTTP/1.0\r\nHost: a\r\n^Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "a transfer coding in HTTP/1.0"),
        ("GET / HTTP/1.1\r\nHost: a\r\n^Host: b\r\n\r\n", "there is more than one Host field"),
        ("GET /a^\\b HTTP/1.1\r\nHost: a\r\n\r\n", "the path has a byte that a path cannot have"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX^_A: b\r\n\r\n", "a field's name has an underscore"),
        ("GET / HTTP/1.1\r\nX: y\r\n\r\n", "the Host field is missing"),
    ] {
        let (proxy, _origin) = started().await;
        let (request, offset) = marked(text);

        assert_eq!(Wire::exchange(proxy.web(), &request).await.status, 400, "{text:?}");

        let last = &shown(&proxy, "requests", 1).await[0];
        assert_eq!((&last["reason"], &last["cause"]), (&"malformed_request".into(), &cause.into()), "{last}");
        assert_eq!((&last["listener"], &last["client"]), (&"web".into(), &"127.0.0.1".into()), "{last}");
        assert_eq!((&last["upstream"], &last["endpoint"]), (&Value::Null, &Value::Null), "{last}");
        let head = &last["head"];
        assert_eq!(head["offset"], serde_json::json!(offset), "{last}");
        assert_eq!((&head["skipped"], &head["as_received"]), (&0.into(), &true.into()), "{last}");
        let bytes = head["bytes"].as_str().expect("bytes");
        let escaped = request.as_bytes().escape_ascii().to_string();
        assert!(escaped.starts_with(bytes) && bytes.len() >= 20, "{last}");
        if !cause.starts_with("invalid header") && !cause.contains("ends without CR") && !cause.contains('#') {
            assert!(
                bytes.ends_with("\\r\\n\\r\\n"),
                "the body of a request that could be read is nobody's business: {last}"
            );
        }
    }
}

#[tokio::test]
async fn of_a_long_head_the_part_that_is_wrong_is_shown() {
    let (proxy, _origin) = started().await;
    let before = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\nB", "x".repeat(5_000));

    Wire::exchange(proxy.web(), format!("{before} : c\r\n\r\n")).await;

    let head = &shown(&proxy, "requests", 1).await[0]["head"];
    assert_eq!(head["offset"], before.len(), "{head}");
    assert_eq!(head["skipped"], before.len() - 512, "{head}");
    assert!(head["bytes"].as_str().is_some_and(|bytes| bytes.ends_with("xxx\\r\\nB : c\\r\\n\\r\\n")), "{head}");
}

#[tokio::test]
async fn a_request_behind_another_is_shown_from_its_own_begin() {
    let (proxy, _origin) = started().await;
    let mut wire = proxy.wire().await;

    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGE(T / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(wire.response().await.status, 200);
    wire.rest().await;

    let head = &shown(&proxy, "requests", 1).await[0]["head"];
    assert_eq!(
        (&head["bytes"], &head["offset"]),
        (&"GE(T / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n".into(), &2.into()),
        "{head}"
    );
}

#[tokio::test]
async fn a_request_behind_another_that_was_read_in_the_same_turn_is_shown_as_it_came() {
    let (proxy, _origin) = started().await;
    let mut wire = proxy.wire().await;

    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nX:   y\r\n\r\n").await;
    assert_eq!(wire.response().await.status, 200);
    wire.rest().await;

    let last = &shown(&proxy, "requests", 1).await[0];
    assert_eq!(last["cause"], "the Host field is missing", "{last}");
    let head = &last["head"];
    assert_eq!(
        (&head["bytes"], &head["as_received"]),
        (&"GET /x HTTP/1.1\\r\\nX:   y\\r\\n\\r\\n".into(), &true.into())
    );
}

#[tokio::test]
async fn a_malformed_response_is_shown_with_its_endpoint() {
    for (text, cause, as_received) in [
        ("HTTP/1.1 200 OK\r\nContent^ Length: 0\r\n\r\n", "invalid header name", true),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: ^2\r\n\r\nx",
            "the Content-Length is not one number",
            true,
        ),
        ("^SSH-2.0-OpenSSH\r\n", "invalid HTTP version", true),
        ("HTTP/1.1 101 Switching Protocols\r\nX: y\r\n\r\n", "", false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "the transfer coding is not exactly 'chunked'",
            false,
        ),
    ] {
        let (response, offset) = marked(text);
        let origin = RawOrigin::start(Script::new().reads_request().sends(&response).closes()).await;
        let proxy = Proxy::with_upstream(&origin).start().await;

        assert_eq!(proxy.client().get("/").status().await, 502, "{text:?}");

        let last = &shown(&proxy, "responses", 1).await[0];
        assert_eq!(last["reason"], "upstream_protocol", "{last}");
        assert!(last["cause"].as_str().is_some_and(|told| told.starts_with(cause)), "{last}");
        assert_eq!((&last["upstream"], &last["endpoint"]), (&"site".into(), &origin.to_string().into()), "{last}");
        let head = &last["head"];
        assert_eq!(
            (&head["offset"], &head["as_received"]),
            (&serde_json::json!(offset), &as_received.into()),
            "{last}"
        );
        assert!(!head["bytes"].as_str().unwrap_or_default().is_empty(), "{last}");
    }
}

#[tokio::test]
async fn of_a_malformed_body_the_bytes_are_shown_from_the_first_that_is_wrong() {
    let origin =
        RawOrigin::start(Script::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n"))
            .await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    let mut wire = proxy.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!wire.response().await.is_complete());

    let last = &shown(&proxy, "responses", 1).await[0];
    assert_eq!(last["cause"], "the response's body is malformed", "{last}");
    assert_eq!((&last["head"]["bytes"], &last["head"]["offset"]), (&"x\\r\\n".into(), &0.into()), "{last}");

    let (proxy, _origin) = started().await;
    Wire::exchange(proxy.web(), "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n").await;
    let last = &shown(&proxy, "requests", 1).await[0];
    assert_eq!(last["cause"], "the request's body is malformed", "{last}");
    assert_eq!((&last["head"]["bytes"], &last["head"]["offset"]), (&"xyz\\r\\n".into(), &0.into()), "{last}");
}

#[tokio::test]
async fn the_last_thirty_two_are_shown_newest_first_and_live_through_a_reload() {
    let (proxy, _origin) = started().await;
    for n in 0..50 {
        Wire::exchange(proxy.web(), format!("GET /{n} HTTP/1.1\r\n\r\n")).await;
    }
    proxy.counts_local("malformed_request", 50).await;
    let text = proxy.file().text();
    proxy.reload_with(&format!("{text}# changed\n")).await;

    let last = shown(&proxy, "requests", 32).await;

    let seen = last.iter().map(|last| last["head"]["bytes"].as_str().expect("bytes").to_owned());
    let expected: Vec<_> = (18..50).rev().map(|n| format!("GET /{n} HTTP/1.1\\r\\n\\r\\n")).collect();
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn an_ordinary_day_shows_nothing() {
    let (proxy, _origin) = started().await;
    assert_eq!(proxy.client().get("/").status().await, 200);
    assert_eq!(proxy.client().get("/").header("via", &"1.1 evenkeel, ".repeat(9)).status().await, 508);

    let last = proxy.asks_admin("/debug/last-errors").await.json();

    assert_eq!(last, serde_json::json!({ "requests": [], "responses": [], "missed": 0 }));
}

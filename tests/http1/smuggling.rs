//! A corpus of length tricks: what reaches the endpoint is one request or none, never a second one (D1, U7).

use evenkeel_testkit::{Proxy, RawOrigin, Script, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What an attacker wants to be read as a request of its own.
const INNER: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends these bytes and looks at all that the endpoint ever got.
async fn attack(request: &str) {
    let origin = RawOrigin::start(Script::answering(OK)).await;
    let proxy = Proxy::with_upstream(&origin).workers(1).start().await;
    let mut wire = proxy.wire().await;
    wire.send(request).await;
    // Refused, or answered; either way the connection is over, or waits for bytes that we do not send.
    let first = wire.try_response().await;
    if let Ok(response) = &first {
        assert!([200, 400, 501].contains(&response.status), "{request:?}: {response:?}");
    }
    // Another client on the same worker shares the endpoint's connection: it must get its own answer.
    let other = proxy.client().get("/honest").send().await;
    assert_eq!((other.status, other.text().as_str()), (200, "ok"), "{request:?}");
    eventually("the honest request arrived", || origin.requests().iter().any(|r| r.starts_with("GET /honest"))).await;

    for arrived in origin.requests() {
        assert!(!arrived.starts_with("GET /smuggled"), "{request:?} became {:?}", origin.requests());
        let head = arrived.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
        let (lengths, codings) =
            (head.matches("\r\ncontent-length:").count(), head.matches("\r\ntransfer-encoding:").count());
        assert!(lengths + codings <= 1, "{request:?} left as {arrived:?}");
        assert!(codings == 0 || head.contains("\r\ntransfer-encoding: chunked"), "{request:?} left as {arrived:?}");
    }
    assert!(origin.requests().len() <= 2, "{request:?} became {:?}", origin.requests());
}

#[tokio::test]
async fn d1_a_length_beside_chunks_is_one_request_and_the_end_of_the_connection() {
    let origin = RawOrigin::start(Script::answering(OK)).await;
    let proxy = Proxy::with_upstream(&origin).start().await;
    let mut wire = proxy.wire().await;

    wire.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{INNER}"
    ))
    .await;

    let response = wire.response().await;
    assert!([200, 400].contains(&response.status), "{response:?}");
    wire.closed().await;
    assert!(origin.requests().len() <= 1 && !origin.received_text().contains("smuggled"), "{}", origin.received_text());
}

#[tokio::test]
async fn codings_that_are_not_exactly_chunked_smuggle_nothing() {
    // Read by length, INNER is body; read as chunks, it is a request.
    let body = format!("0\r\n\r\n{INNER}");
    for coding in [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        " Transfer-Encoding: chunked",
        "X: x\nTransfer-Encoding: chunked",
        "X: x\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding\r\n: chunked",
        "Transfer-Encoding:\r\n chunked",
        "TRANSFER-ENCODING: CHUNKED",
        "transfer_encoding: chunked",
        "Content-Encoding: chunked\r\nTransfer-Encoding:",
    ] {
        let length = body.len();
        attack(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{coding}\r\n\r\n{body}")).await;
    }
}

#[tokio::test]
async fn codings_without_a_length_smuggle_nothing() {
    for coding in ["gzip, chunked", "chunked, chunked", "xchunked", "identity", "chunked,", ",chunked", "chunked, x"] {
        attack(&format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n{INNER}")).await;
    }
}

#[tokio::test]
async fn lengths_that_are_no_plain_number_smuggle_nothing() {
    for length in [
        "+5",
        "-0",
        "0x5",
        "5 5",
        "5,",
        ",5",
        "5, 6",
        "0\r\nContent-Length: 44",
        "5e1",
        "",
        "٥",
        "18446744073709551617",
    ] {
        attack(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{INNER}")).await;
    }
}

#[tokio::test]
async fn chunk_sizes_that_servers_read_in_different_ways_smuggle_nothing() {
    for chunk in ["0x0", "-1", "+0", " 0", "0_", "10000000000000000", "g", "", ";x"] {
        attack(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}\r\n\r\n{}",
            INNER.replace("Host: a", "Host: a\r\nConnection: close")
        ))
        .await;
    }
}

#[tokio::test]
async fn what_the_parser_forgives_leaves_as_one_well_formed_message() {
    for chunks in ["5 \r\nhello\r\n0\r\n\r\n", "005\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0;c\r\n\r\n"] {
        let origin = RawOrigin::start(Script::answering(OK)).await;
        let proxy = Proxy::with_upstream(&origin).start().await;
        let mut wire = proxy.wire().await;

        wire.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")).await;

        if wire.response().await.status == 200 {
            let request = origin.the_request();
            assert!(request.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{chunks:?} left as {request:?}");
        } else {
            assert!(origin.requests().is_empty(), "{chunks:?} left as {:?}", origin.requests());
        }
    }
}

#[tokio::test]
async fn chunked_in_http_1_0_smuggles_nothing() {
    attack(&format!(
        "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{INNER}"
    ))
    .await;
}

//! HTTP/1.1 and HTTP/2 on one port without TLS: the first bytes tell.

use super::talk::{Talk, request};
use evenkeel_testkit::{Authority, Builder, Client, Ending, Frame, FrameWire, Origin, Place, Proxy, TlsClient, Wire};
use std::{
    fmt::Display,
    time::{Duration, Instant},
};

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// A listener for both, and one for HTTP/1.1 alone, with the same lines.
fn either(endpoint: impl Display, lines: &str) -> Builder {
    let old = format!("[listeners.old]\nlisten = \"127.0.0.1:0\"\n{lines}\n");
    Proxy::with_upstream(endpoint).listener("protocol = \"auto\"").listener(lines).more(&old)
}

async fn speaks_both(place: &Place) {
    assert_eq!(Client::of(place).get("/").status().await, 200);
    let talk = Talk::to(place).await;
    for _ in 0..3 {
        assert_eq!(talk.ask(request("GET", "/")).await.expect("an answer").status, 200);
    }
}

#[tokio::test]
async fn clients_of_both_versions_share_a_port() {
    let origin = Origin::http1().start().await;
    let folder = tempfile::tempdir().unwrap();
    let unix = Place::Unix(folder.path().join("web.sock"));
    let more = format!("[listeners.unix]\nlisten = \"{unix}\"\nprotocol = \"auto\"\n");
    let proxy = either(&origin, "").more(&more).start().await;

    for place in [proxy.at("web"), &unix] {
        speaks_both(place).await;
    }
    proxy.is_idle().await;
}

#[tokio::test]
async fn the_first_bytes_may_come_one_at_a_time() {
    let origin = Origin::http1().start().await;
    let proxy = either(&origin, "").start().await;
    let pause = Duration::from_millis(2);
    for head in [GET.to_owned(), GET.replace("GET", "POST"), GET.replace("GET", "PRI"), GET.replace("GET /", "PRI *")] {
        let mut answers = Vec::new();
        for listener in ["web", "old"] {
            let mut wire = Wire::to(proxy.at(listener)).await;
            wire.drip(&head, pause).await;
            answers.push(wire.response().await.status);
        }
        assert_eq!(answers[0], answers[1], "{head:?}");
    }

    let mut wire = Wire::to(proxy.at("web")).await;
    let begin =
        [PREFACE.as_bytes(), &Frame::new(Frame::SETTINGS, 0, 0, []).bytes(), &Frame::get(1, "/").bytes()].concat();
    wire.drip(begin, pause).await;
    // The head of the server's own SETTINGS (RFC 9113, section 3.4).
    assert_eq!(wire.bytes(9).await[3], Frame::SETTINGS);
    assert_eq!(origin.last_seen().target, "/");
}

#[tokio::test]
async fn what_only_looks_like_http_2_at_first_has_the_answer_of_http_1() {
    let origin = Origin::http1().start().await;
    let proxy = either(&origin, "").start().await;
    for at in [1, 5, 14, 18, 20, PREFACE.len() - 1] {
        let text = format!("{}x\r\n\r\n", &PREFACE[..at]);
        let mut answers = Vec::new();
        for listener in ["web", "old"] {
            let mut wire = Wire::to(proxy.at(listener)).await;
            wire.send(&text).await;
            let (answer, ending) = wire.rest().await;
            let line = String::from_utf8_lossy(&answer).lines().next().map(str::to_owned);
            answers.push((line, ending));
        }
        assert_eq!(answers[0], answers[1], "{text:?}");
        assert!(answers[0].0.as_ref().is_some_and(|line| line.starts_with("HTTP/1.1 4")), "{answers:?}");
    }
}

#[tokio::test]
async fn whoever_says_too_little_is_waited_for_as_long_as_in_http_1() {
    let origin = Origin::http1().start().await;
    let proxy = either(&origin, "timeouts.request_head = \"500ms\"").start().await;
    // The last one is a whole head of HTTP/1.1, and a bad one.
    for (said, listener) in
        [("", "web"), ("", "old"), ("PR", "web"), ("PR", "old"), (&PREFACE[..PREFACE.len() - 1], "web")]
    {
        let mut wire = Wire::to(proxy.at(listener)).await;
        let begun = Instant::now();
        wire.send(said).await;
        let (answer, ending) = wire.rest().await;
        let answer = String::from_utf8_lossy(&answer);
        assert!((400..5000).contains(&begun.elapsed().as_millis()), "{said:?} {listener}: {:?}", begun.elapsed());
        assert_eq!(ending, Ending::Fin, "{said:?} {listener}");
        match said {
            "" => assert_eq!(answer, "", "{listener}"),
            "PR" => assert!(answer.starts_with("HTTP/1.1 408 "), "{listener}: {answer}"),
            _ => assert!(answer.starts_with("HTTP/1.1 4"), "{listener}: {answer}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_ends_its_side_within_the_first_bytes_is_not_waited_for() {
    let origin = Origin::http1().start().await;
    let proxy = either(&origin, "").start().await;
    for said in ["", "P", "PRI * HTTP/2.0\r\n"] {
        let mut answers = Vec::new();
        for listener in ["web", "old"] {
            let mut wire = Wire::to(proxy.at(listener)).await;
            wire.send(said).await;
            wire.finish().await;
            let (answer, ending) = tokio::time::timeout(Duration::from_secs(5), wire.rest()).await.expect("at once");
            answers.push((answer.get(..12).map(<[u8]>::to_vec), ending));
        }
        assert_eq!(answers[0], answers[1], "{said:?}");
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_proxy_header_may_stand_before_either() {
    let origin = Origin::http1().start().await;
    let behind = "proxy_protocol = true\nproxy_protocol_from = [\"127.0.0.1/32\"]";
    let proxy = either(&origin, behind).start().await;
    let header = "PROXY TCP4 192.0.2.7 192.0.2.1 40000 443\r\n";

    assert_eq!(Wire::exchange(proxy.at("web"), format!("{header}{GET}")).await.status, 200);
    assert_eq!(origin.last_seen().header("x-forwarded-for"), Some("192.0.2.7"));

    let mut socket = proxy.at("web").connect().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut socket, header.as_bytes()).await.unwrap();
    let mut wire = FrameWire::begun(socket, &[]).await;
    wire.send(Frame::get(1, "/second")).await;
    assert!(wire.frame_of(Frame::HEADERS, 1).await.is_some());
    assert_eq!(origin.last_seen().target, "/second");
    assert_eq!(origin.last_seen().header("x-forwarded-for"), Some("192.0.2.7"));
}

#[tokio::test]
async fn within_tls_both_sides_choose_as_ever() {
    let origin = Origin::http1().start().await;
    let authority = Authority::new("Test Authority");
    let builder = either(&origin, "tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]");
    authority.server(&["a.test"]).make().write(builder.folder(), "a");
    let proxy = builder.start().await;
    let offers = |protocols: &[&str]| {
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsClient::new(&authority, "a.test").but(|config| config.alpn_protocols = protocols)
    };

    for protocols in [&[][..], &["http/1.1"]] {
        let mut wire = offers(protocols).connect(proxy.at("web")).await.wire;
        wire.send(GET).await;
        assert_eq!(wire.response().await.status, 200, "{protocols:?}");
    }
    let mut wire = FrameWire::begun(offers(&["h2"]).socket(proxy.at("web")).await, &[]).await;
    wire.send(Frame::get(1, "/")).await;
    assert!(wire.frame_of(Frame::HEADERS, 1).await.is_some());
    // HTTP/2 that was not chosen is none (RFC 9113, section 3.3).
    let mut wire = offers(&[]).connect(proxy.at("web")).await.wire;
    wire.send(PREFACE).await;
    assert!(wire.response().await.status >= 400);
}

#[tokio::test]
async fn a_port_can_come_to_speak_both_while_it_runs() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).listener("protocol = \"http\"").start().await;
    let kept = proxy.client();
    assert_eq!(kept.get("/").status().await, 200);

    proxy.reload_with(&proxy.file().text().replace("\"http\"", "\"auto\"")).await;

    speaks_both(proxy.web()).await;
    assert_eq!(kept.get("/").status().await, 200);
    assert_eq!(kept.connections(), 1);
}

//! What becomes of a message of HTTP/2 at an endpoint that speaks HTTP/1.1, and of its answer on the way back.

use super::talk::{Talk, h2c, request, whole};
use evenkeel_testkit::{Answer, Frame, FrameWire, Origin, RawOrigin, Script, hostile, in_time};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_get_and_a_post_reach_an_endpoint_of_http_1() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let talk = Talk::to(proxy.web()).await;

    let answer = talk.ask(request("GET", "/here?a=b")).await.unwrap();
    assert_eq!((answer.status, origin.last_seen().target.as_str()), (200, "/here?a=b"));

    let answer = talk.post(request("POST", "/there").header("content-length", "5"), "hello", None).await.unwrap();
    assert_eq!((answer.status, &origin.last_seen().body[..]), (200, &b"hello"[..]));
    assert_eq!(origin.connections(), 1, "both went over one connection");
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_post_without_a_length_arrives_whole_and_in_chunks() {
    let origin = RawOrigin::start(Script::answering(OK)).await;
    let proxy = h2c(&origin).start().await;
    let talk = Talk::to(proxy.web()).await;

    let answer = talk.post(request("POST", "/"), "hello", None).await.unwrap();

    assert_eq!((answer.status, answer.text()), (200, "ok"));
    let request = origin.the_request();
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains("transfer-encoding: chunked\r\n") && request.ends_with("5\r\nhello\r\n0\r\n\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn a_body_that_turns_out_to_be_empty_ends_for_the_endpoint_as_well() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];

    for stream in (1..100).step_by(2) {
        // Its end comes with the head, or while the request is on its way.
        let end = Frame::new(Frame::DATA, 1, stream, "");
        let both = [Frame::headers(stream, &fields, false).bytes(), end.bytes()].concat();
        wire.try_send(&both).await.expect("the proxy takes it");
        while !wire.frame_on(stream).await.expect("an answer").ends_stream() {}
    }

    assert_eq!((origin.requests(), origin.connections()), (50, 1));
}

#[tokio::test]
async fn authority_becomes_host_and_crumbs_one_cookie() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let crumbs = request("GET", "/").header("cookie", "a=1").header("cookie", "b=2").header("cookie", "c=3; d=4");

    let answer = Talk::to(proxy.web()).await.ask(crumbs).await.unwrap();

    let seen = origin.last_seen();
    assert_eq!(
        (answer.status, seen.header_all("host"), seen.header_all("cookie")),
        (200, vec!["a.test"], vec!["a=1; b=2; c=3; d=4"])
    );
    assert_eq!((seen.header("via"), seen.header("x-forwarded-for")), (Some("2.0 evenkeel"), Some("127.0.0.1")));
    assert_eq!((seen.header("x-forwarded-host"), seen.header("x-forwarded-proto")), (Some("a.test"), Some("http")));
}

#[tokio::test]
async fn a_host_that_contradicts_the_authority_is_refused_and_one_that_agrees_is_not() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let talk = Talk::to(proxy.web()).await;

    assert_eq!(talk.ask(request("GET", "/").header("host", "A.test")).await.unwrap().status, 200);
    assert_eq!(origin.last_seen().header_all("host"), ["a.test"]);
    let refused = talk.ask(request("GET", "/").header("host", "b.test")).await.unwrap();

    assert_eq!((refused.status, refused.headers.get("connection")), (400, None));
    assert!(refused.text().contains("malformed_request"), "{}", refused.text());
    assert_eq!(talk.ask(request("GET", "/")).await.unwrap().status, 200, "only the stream was at fault");
    assert_eq!(origin.requests(), 2);
    proxy.counts_local("malformed_request", 1).await;
}

#[tokio::test]
async fn host_alone_will_do() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/x"), ("host", "b.test")];

    wire.send(Frame::headers(1, &fields, true)).await;

    wire.frame_of(Frame::HEADERS, 1).await.expect("an answer");
    assert_eq!(origin.last_seen().header_all("host"), ["b.test"]);
}

#[tokio::test]
async fn trailers_pass_in_both_directions_but_for_those_that_decide() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
                  2\r\nok\r\n0\r\nx-sum: down\r\ncontent-length: 9\r\n\r\n";
    let origin = RawOrigin::start(Script::answering(answer)).await;
    let proxy = h2c(&origin).start().await;
    let trailers = [("x-sum", "up"), ("x-forwarded-for", "6.6.6.6"), ("content-length", "7")];
    let trailers = trailers.into_iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
    let asked = request("POST", "/").header("te", "trailers").header("trailer", "x-sum");

    let answer = Talk::to(proxy.web()).await.post(asked, "hi", Some(trailers)).await.unwrap();

    let down = answer.trailers.expect("trailers");
    assert_eq!((answer.body.as_slice(), down.len(), &down["x-sum"]), (&b"ok"[..], 1, &"down".parse().unwrap()));
    let request = origin.the_request();
    assert!(request.ends_with("2\r\nhi\r\n0\r\nx-sum: up\r\n\r\n"), "{request}");
    assert!(request.contains("te: trailers\r\n") && request.contains("connection: te\r\n"), "{request}");
}

#[tokio::test]
async fn an_endpoints_fields_about_its_connection_stay_behind() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: keep-alive, x-own\r\nKeep-Alive: timeout=5\r\nX-Own: 1\r\nUpgrade: h2c\r\n\
                  Proxy-Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nX-Other: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let origin = RawOrigin::start(Script::answering(answer)).await;
    let proxy = h2c(&origin).start().await;

    let answer = Talk::to(proxy.web()).await.ask(request("GET", "/")).await.unwrap();

    let mut names: Vec<_> = answer.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!((answer.text(), names), ("ok", vec!["date", "x-other"]));
}

#[tokio::test]
async fn what_is_malformed_in_http_2_is_reset_and_reaches_no_endpoint() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    let good = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let with = |more: &[(&'static str, &'static str)]| [&good[..], more].concat();
    let cases = [
        with(&[("connection", "close")]),
        with(&[("keep-alive", "timeout=5")]),
        with(&[("proxy-connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("upgrade", "websocket")]),
        with(&[("te", "gzip")]),
        with(&[("x-after", "1"), (":path", "/twice")]),
        with(&[(":status", "200")]),
        vec![(":method", "GET"), (":scheme", "http"), (":authority", "a")],
        vec![(":scheme", "http"), (":authority", "a"), (":path", "/")],
        vec![(":method", "GET"), (":authority", "a"), (":path", "/")],
        vec![(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "")],
    ];
    for (index, fields) in cases.iter().enumerate() {
        let stream = u32::try_from(index).unwrap() * 2 + 1;
        wire.send(Frame::headers(stream, fields, true)).await;
        let reset = wire.frame_of(Frame::RST_STREAM, stream).await;
        assert_eq!(reset.and_then(|frame| frame.number()), Some(1), "PROTOCOL_ERROR for {fields:?}");
    }
    // Names and values that are none.
    let cases = [("X-Capital", "1"), ("x y", "1"), ("x\r\ny", "1"), ("", "1"), (":unknown", "1")];
    let cases = cases.into_iter().chain([("x-line", "a\r\nx-smuggled: 1"), ("x-nul", "a\0b")]);
    for (index, (name, value)) in cases.enumerate() {
        let mut wire = FrameWire::to(proxy.web(), &[]).await;
        wire.send(Frame::headers(1, &with(&[(name, value)]), true)).await;
        let reset = wire.frame_of(Frame::RST_STREAM, 1).await;
        assert_eq!(reset.and_then(|frame| frame.number()), Some(1), "PROTOCOL_ERROR for {name:?}: {value:?}");
        let count = index as f64 + 0.5;
        let labels = [("kind", "protocol")];
        proxy.metrics_show("it is counted", |m| m.sum("evenkeel_http2_faults_total", &labels) > count).await;
    }
    assert_eq!(origin.connections(), 0);
    proxy.is_idle().await;
}

#[tokio::test]
async fn targets_that_are_no_path_are_refused() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    let mut stream = 1;
    for (scheme, authority, path) in [
        ("http", "a", "x"),
        ("http", "a", "/../x"),
        ("http", "a", "/a\\b"),
        ("http", "u@a", "/"),
        ("http", "a/b", "/"),
        ("http", "a,b", "/"),
        ("http", "", "/"),
        ("ftp", "a", "/"),
        ("http", "a", "*"),
    ] {
        let fields = [(":method", "GET"), (":scheme", scheme), (":authority", authority), (":path", path)];
        wire.send(Frame::headers(stream, &fields, true)).await;
        let ended = wire.frame_on(stream).await.expect("an answer");
        assert!([Frame::HEADERS, Frame::RST_STREAM].contains(&ended.kind), "{fields:?}: {ended:?}");
        stream += 2;
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_says_never_arrives_whole() {
    for (length, frames) in
        [("5", &[("hell", true)][..]), ("5", &[("hello", false), ("!", true)]), ("0", &[("x", true)])]
    {
        let origin = RawOrigin::start(Script::answering(OK)).await;
        let proxy = h2c(&origin).start().await;
        let mut wire = FrameWire::to(proxy.web(), &[]).await;
        let fields =
            [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("content-length", length)];
        wire.send(Frame::headers(1, &fields, false)).await;
        for (data, end) in frames {
            wire.send(Frame::new(Frame::DATA, u8::from(*end), 1, data)).await;
        }
        let reset = wire.frame_of(Frame::RST_STREAM, 1).await;
        assert_eq!(reset.and_then(|frame| frame.number()), Some(1), "{length}: {frames:?}");
        proxy.is_idle().await;
        let whole = origin.requests().iter().filter(|request| request.ends_with(&frames[0].0)).count();
        assert!(whole == 0 || frames[0].0.len() == 5, "{:?}", origin.requests());
    }
}

#[tokio::test]
async fn a_stream_that_ends_with_its_head_has_no_body_whatever_its_length_says() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    let fields =
        [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("content-length", "5")];

    wire.send(Frame::headers(1, &fields, true)).await;

    let reset = wire.frame_of(Frame::RST_STREAM, 1).await;
    assert_eq!((reset.and_then(|frame| frame.number()), origin.connections()), (Some(1), 0));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reset_and_never_looks_complete() {
    for script in [hostile::promises_more_than_it_sends(), hostile::cuts_its_chunks(), hostile::sends_a_bad_chunk()] {
        let origin = RawOrigin::start(script).await;
        let proxy = h2c(&origin).start().await;
        let talk = Talk::to(proxy.web()).await;

        let broken = talk.ask(request("GET", "/")).await.expect_err("it was cut");

        assert!(broken.is_reset() && broken.is_remote(), "{broken:?}");
        assert_eq!(broken.reason(), Some(h2::Reason::INTERNAL_ERROR));
    }
}

#[tokio::test]
async fn answers_of_our_own_work() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).route("path_prefix = \"/here\"").top("limits.uri_max = \"1KiB\"").start().await;
    let talk = Talk::to(proxy.web()).await;

    let missing = talk.ask(request("GET", "/nowhere")).await.unwrap();
    assert_eq!((missing.status, missing.text().contains("no_route")), (404, true));
    assert_eq!(talk.ask(request("GET", &format!("/here/{}", "x".repeat(2000)))).await.unwrap().status, 414);
    assert_eq!(talk.ask(request("TRACE", "/here")).await.unwrap().status, 405);
    let large = request("GET", "/here").header("x-large", "x".repeat(40 << 10));
    assert_eq!(talk.ask(large).await.unwrap().status, 431);
    assert_eq!(talk.ask(request("HEAD", "/here")).await.unwrap().status, 200);
    proxy.counts_local("request_head_too_large", 1).await;
}

#[tokio::test]
async fn connect_is_refused() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;

    wire.send(Frame::headers(1, &[(":method", "CONNECT"), (":authority", "a:80")], false)).await;

    wire.frame_of(Frame::HEADERS, 1).await.expect("an answer");
    proxy.counts_local("method_refused", 1).await;
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_expected_continue_is_agreed_upon_with_the_endpoint() {
    let agrees = Origin::http1().start().await;
    let no = "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n";
    let refuses = RawOrigin::start(Script::new().reads_head().sends(no).stalls()).await;
    for (endpoint, status) in [(agrees.to_string(), 200), (refuses.to_string(), 417)] {
        let proxy = h2c(endpoint).start().await;
        let asked = request("POST", "/").header("expect", "100-continue").header("content-length", "5");
        let answer = Talk::to(proxy.web()).await.post(asked, "hello", None).await.unwrap();
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn twenty_megabytes_pass_each_way_whole() {
    let body: Vec<u8> = (0..20_u32 << 20).map(|n| (n % 251) as u8).collect();
    let origin = Origin::http1().at("/down", Answer::text(body.clone())).start().await;
    let proxy = h2c(&origin).start().await;
    let talk = Talk::to(proxy.web()).await;

    assert_eq!(talk.post(request("POST", "/up"), body.clone(), None).await.unwrap().status, 200);
    let down = talk.ask(request("GET", "/down")).await.unwrap();

    assert!(origin.seen()[0].body == body, "the upload arrived whole");
    assert!(down.body == body, "the download arrived whole");
}

#[tokio::test]
async fn a_client_that_is_still_sending_reads_its_413() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).route("body_max = \"1MiB\"").start().await;
    let talk = Talk::to(proxy.web()).await;
    for length in [None, Some("10485760")] {
        let asked =
            length.into_iter().fold(request("POST", "/"), |asked, length| asked.header("content-length", length));
        let (answer, mut upload) = talk.begin(asked, false).await.unwrap();
        upload.send_data(vec![b'x'; 10 << 20].into(), false).unwrap();
        let answer = whole(in_time("an answer", answer).await.unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.text().contains("request_too_large")), (413, true), "{length:?}");
    }
    assert_eq!(talk.ask(request("GET", "/")).await.unwrap().status, 200, "the connection goes on");
    proxy.is_idle().await;
}

#[tokio::test]
async fn ten_thousand_tiny_messages_pass_however_fast_they_come() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let mut wire = FrameWire::to(proxy.web(), &[]).await;
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let message = Frame::new(Frame::DATA, 0, 1, b"\0\0\0\0\x01x").bytes();
    let last = Frame::new(Frame::DATA, Frame::END_STREAM, 1, []).bytes();
    let all = [Frame::headers(1, &fields, false).bytes(), message.repeat(10_000), last].concat();

    wire.try_send(&all).await.unwrap();

    wire.frame_of(Frame::HEADERS, 1).await.expect("an answer");
    assert_eq!(origin.last_seen().body.len(), 60_000);
}

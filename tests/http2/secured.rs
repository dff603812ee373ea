//! HTTP/2 within TLS to endpoints: what a message means there, what must be agreed on, and how connections end.

use super::{
    origin::{H2Origin, Stream, echo},
    site::{AUTO, H2, Site, TRUSTING},
    talk::{Talk, request, whole},
};
use bytes::Bytes;
use evenkeel_testkit::{
    Authority, Door, Frame, FrameWire, Origin, Place, Proxy, RawOrigin, Script, TlsClient, TlsServer, eventually,
    in_time, until,
};
use h2::Reason;
use http::{HeaderMap, Response};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

fn text(head: &http::request::Parts, name: &str) -> Option<String> {
    head.headers.get(name).map(|value| value.to_str().expect("text").to_owned())
}

fn sum(value: &str) -> HeaderMap {
    [("x-sum".parse().expect("a name"), value.parse().expect("a value"))].into_iter().collect()
}

#[tokio::test]
async fn requests_of_both_versions_share_a_connection_and_the_endpoint_learns_the_scheme() {
    let site = Site::new();
    let origin = site.origin().await;
    let proxy = site.before([&origin.place], H2).start().await;

    let answer = proxy.client().post("/there?a=b", "hello").send().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let head = origin.head();
    assert_eq!(head.uri.to_string(), format!("https://{}/there?a=b", proxy.web()));
    assert_eq!(
        (text(&head, "host"), text(&head, "connection"), text(&head, "content-length").as_deref()),
        (None, None, Some("5"))
    );
    assert_eq!(proxy.client().get("/").repeat(20).statuses().await, [200; 20]);

    assert_eq!((site.agreed(), origin.connections()), (vec!["h2".to_owned()], 1));
    let metrics = proxy.metrics().await;
    assert_eq!(metrics.sum("evenkeel_upstream_connects_total", &[("result", "ok")]), 1.0, "{}", metrics.text());
    assert_eq!(metrics.sum("evenkeel_pool_reuse_total", &[("hit", "true")]), 20.0);
    proxy.is_idle().await;
}

/// A message with all that is translated, by a client of HTTP/2 within TLS, and what came of it.
async fn ask_in_http2(talk: &Talk) -> super::talk::Answer {
    let asked = request("POST", "/x?y").header("te", "trailers").header("trailer", "x-sum");
    let asked = asked.header("cookie", "a=1").header("cookie", "b=2").header("content-length", "5");
    talk.post(asked, "hello", Some(sum("up"))).await.expect("an answer")
}

const POST: &str = "POST /x?y HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nTrailer: x-sum\r\nConnection: te\r\nCookie: a=1; b=2\r\n\
                    Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: up\r\n\r\n";

#[tokio::test]
async fn a_message_means_the_same_in_all_four_directions() {
    let site = Site::new();
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: up\r\n\r\n";
    for protocol in ["http", "h2"] {
        let old = RawOrigin::start_secured(Script::answering(answer), &site.speaking(&["http/1.1"])).await;
        let new = site.origin().await;
        let place = if protocol == "h2" { &new.place } else { old.place() };
        let proxy = site.before([place], &H2.replace("\"h2\"", &format!("{protocol:?}")));
        site.authority.server(&["a.test"]).make().write(proxy.folder(), "front");
        let proxy = proxy.listener("tls.certificates = [{ cert = \"front.pem\", key = \"front.key\" }]").start().await;
        let client = TlsClient::new(&site.authority, "a.test");

        let mut wire = client.connect(proxy.web()).await.wire;
        wire.send(POST).await;
        let first = wire.response().await;
        assert_eq!((first.status, first.text().as_str()), (200, "hello"), "{protocol}: {first:?}");
        let client = client.but(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
        let second = ask_in_http2(&Talk::over(client.socket(proxy.web()).await).await).await;
        assert_eq!(
            (second.status, second.text(), second.trailers.as_ref()),
            (200, "hello", Some(&sum("up"))),
            "{protocol}"
        );

        if protocol == "h2" {
            for head in new.heads() {
                assert_eq!(head.uri.to_string(), "https://a.test/x?y");
                assert_eq!(
                    (text(&head, "cookie").as_deref(), text(&head, "te").as_deref()),
                    (Some("a=1; b=2"), Some("trailers"))
                );
                assert_eq!((text(&head, "host"), text(&head, "transfer-encoding")), (None, None));
            }
            assert_eq!((new.heads().len(), new.connections()), (2, 1));
        } else {
            let requests = old.requests();
            assert_eq!(requests.len(), 2, "{requests:?}");
            for request in requests {
                assert!(request.starts_with("POST /x?y HTTP/1.1\r\n"), "{request}");
                for line in ["\nhost: a.test\r\n", "\ncookie: a=1; b=2\r\n", "\nte: trailers\r\n"] {
                    assert_eq!(request.matches(line).count(), 1, "{line:?} in {request}");
                }
            }
        }
        proxy.is_idle().await;
    }
}

#[tokio::test]
async fn a_body_that_belies_its_length_is_never_complete() {
    let site = Site::new();
    let origin = H2Origin::secured(&site.tls, |(request, mut respond)| async move {
        let mut body = request.into_body();
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data?.len())?;
        }
        let answer = Response::builder().header("content-length", "9").body(()).expect("an answer");
        respond.send_response(answer, false)?.send_data("hello".into(), true)
    })
    .await;
    let proxy = site.before([&origin.place], H2).listener("protocol = \"h2c\"").start().await;
    let talk = Talk::to(proxy.web()).await;

    let (answer, _) = talk.begin(request("GET", "/"), true).await.unwrap();
    // The reset may overtake the head.
    let got = match in_time("a head", answer).await {
        Ok(answer) => whole(answer).await,
        Err(error) => Err(error),
    };
    assert!(got.is_err(), "five bytes are not nine");
    proxy.counts_local("upstream_protocol", 1).await;

    let (answer, mut send) = talk.begin(request("POST", "/").header("content-length", "9"), false).await.unwrap();
    send.send_data("hello".into(), true).unwrap();
    let error = in_time("a reset", answer).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR));
    proxy.is_idle().await;
}

/// Answers each message of gRPC with itself and says that all is well.
async fn call((request, mut respond): Stream) -> Result<(), h2::Error> {
    let health = request.uri().path() == "/grpc.health.v1.Health/Check";
    assert_eq!(request.uri().scheme_str(), Some("https"));
    let mut body = request.into_body();
    let begin = Response::builder().header("content-type", "application/grpc").body(()).expect("an answer");
    let mut send = respond.send_response(begin, false)?;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        send.send_data(if health { Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]) } else { data }, false)?;
    }
    send.send_trailers([("grpc-status".parse().expect("a name"), "0".parse().expect("a value"))].into_iter().collect())
}

const OFTEN: &str = "interval = \"100ms\", healthy_after = 1, unhealthy_after = 1";

#[tokio::test]
async fn grpc_passes_and_its_probes_do_so_too() {
    let site = Site::new();
    let origin = H2Origin::secured(&site.tls, call).await;
    // A probe of gRPC speaks HTTP/2 whatever requests speak.
    for upstream in [H2, AUTO, TRUSTING] {
        let proxy = site.before([&origin.place], upstream).upstream(&format!("health = {{ grpc = \"\", {OFTEN} }}"));
        let proxy = proxy.listener("protocol = \"h2c\"").start().await;
        proxy.sees(&origin.place, true).await;
        if upstream == TRUSTING {
            continue;
        }
        let asked = request("POST", "/a.B/C").header("content-type", "application/grpc").header("te", "trailers");
        let answer = Talk::to(proxy.web()).await.post(asked, &b"\0\0\0\0\x02hi"[..], None).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"\0\0\0\0\x02hi"[..]));
        assert_eq!(answer.trailers.expect("trailers")["grpc-status"], "0");
    }
}

#[tokio::test]
async fn a_probe_by_http_speaks_what_the_endpoint_chooses() {
    let site = Site::new();
    let (new, old) = (site.origin().await, Origin::http1().tls(&site.speaking(&["http/1.1"])).start().await);
    let health = format!("health = {{ http = \"/health\", host = \"b.test\", {OFTEN} }}");
    let places = [new.place.to_string(), old.to_string()];
    let auto = site.before(&places, AUTO).upstream(&health).start().await;
    auto.sees(&new.place, true).await;
    auto.sees(&old, true).await;
    assert!(new.heads().iter().all(|head| head.uri == "https://b.test/health"), "{:?}", new.heads());

    let h2 = site.before(&places, H2).upstream(&health).start().await;
    h2.sees(&new.place, true).await;
    h2.sees(&old, false).await;
    let view = h2.asks_admin("/api/upstreams").await.text();
    assert!(view.contains("it speaks nothing of what we offer (ALPN)"), "{view}");

    let plain = H2Origin::echo().await;
    let h2c = Proxy::with_upstream(&plain.place).upstream("protocol = \"h2c\"").upstream(&health).start().await;
    h2c.sees(&plain.place, true).await;
    assert_eq!(plain.head().uri, "http://b.test/health");
}

#[tokio::test]
async fn an_endpoint_that_does_not_choose_it_gets_not_one_request() {
    let site = Site::new();
    for (speaks, why) in
        [(&["http/1.1"][..], "it speaks nothing of what we offer (ALPN)"), (&[], "it did not choose h2 (ALPN)")]
    {
        let old = Origin::http1().tls(&site.speaking(speaks)).start().await;
        let proxy = site.before([&old], H2).start().await;

        assert_eq!(proxy.client().post("/", "secret").send().await.status, 502, "{why}");

        proxy.counts_local("upstream_tls", 1).await;
        proxy.logs(why).await;
        let metrics = proxy.metrics().await;
        assert_eq!(
            metrics.sum("evenkeel_upstream_connects_total", &[("result", "tls_failed")]),
            1.0,
            "{}",
            metrics.text()
        );
        assert_eq!(old.requests(), 0);

        // Another endpoint gets it, whatever its method.
        let new = site.origin().await;
        let upstream = format!("{H2}\nbalance = \"round_robin\"");
        let proxy = site.before([old.to_string(), new.place.to_string()], &upstream).start().await;
        assert_eq!(proxy.client().post("/", "hello").repeat(6).statuses().await, [200; 6]);
        assert_eq!((old.requests(), new.heads().len()), (0, 6));
    }
}

#[tokio::test]
async fn an_endpoint_that_wants_a_certificate_is_told_as_what_it_is() {
    let (servers, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    let tls = TlsServer::asking(&servers.server(&["a.test"]).make(), &clients).speaking(&["h2"]);
    let site = Site { authority: servers, tls };
    let origin = site.origin().await;
    let own = H2.replace(" }", ", certificate = { cert = \"own.pem\", key = \"own.key\" } }");
    let builder = site.before([&origin.place], &own);
    clients.client("proxy").make().write(builder.folder(), "own");
    let proxy = builder.start().await;

    assert_eq!(proxy.client().get("/").send().await.status, 200);
    assert!(site.tls.greeted()[0].shown);

    let nobody = site.before([&origin.place], H2).start().await;
    let answer = nobody.client().post("/", "secret").send().await;
    assert_eq!(answer.status, 502);
    nobody.logs("it wants a client certificate").await;
    nobody.counts_local("upstream_tls", 1).await;
    assert_eq!(origin.heads().len(), 1);
}

#[tokio::test]
async fn what_a_goaway_leaves_out_goes_over_another_connection() {
    let site = Site::new();
    let (door, place) = Door::open(&Place::loopback());
    let proxy = site.before([&place], H2).start().await;
    let client = proxy.client();
    let asked = tokio::spawn(async move { client.post("/", "hello").send().await });
    let accepted = async || {
        let socket = in_time("a connection", door.accept()).await.expect("a connection");
        FrameWire::accepted(site.tls.accept(socket).await.expect("an agreement"), &[]).await
    };

    let mut first = accepted().await;
    first.frame_of(Frame::HEADERS, 1).await.expect("a request");
    first.send(Frame::new(Frame::GOAWAY, 0, 0, [0; 8])).await;
    let mut second = accepted().await;
    second.frame_of(Frame::HEADERS, 1).await.expect("the same request");
    assert_eq!(second.frame_of(Frame::DATA, 1).await.expect("its body").payload, b"hello");
    second.send(Frame::headers(1, &[(":status", "204")], true)).await;

    assert_eq!(asked.await.unwrap().status, 204);
}

#[tokio::test]
async fn an_endpoint_that_retires_each_connection_after_a_request_costs_nobody_an_answer() {
    let site = Site::new();
    let (door, place) = Door::open(&Place::loopback());
    let (tls, taken) = (site.tls.clone(), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok(socket) = door.accept().await {
            let (tls, count) = (tls.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let Ok(socket) = tls.accept(socket).await else { return };
                let Ok(mut connection) = h2::server::handshake(socket).await else { return };
                while let Some(Ok(stream)) = connection.accept().await {
                    count.fetch_add(1, Ordering::Relaxed);
                    connection.graceful_shutdown();
                    tokio::spawn(echo(stream));
                }
            });
        }
    });
    for upstream in [H2, AUTO] {
        let proxy = site.before([&place], upstream).start().await;
        let asked: Vec<_> = (0..4)
            .map(|_| {
                let client = proxy.client();
                tokio::spawn(async move { client.post("/", "hello").repeat(25).statuses().await })
            })
            .collect();

        for statuses in asked {
            assert_eq!(statuses.await.unwrap(), [200; 25]);
        }
        proxy.is_idle().await;
    }
    assert_eq!(taken.load(Ordering::Relaxed), 200, "none was sent twice");
}

#[tokio::test]
async fn requests_of_an_endpoint_that_dies_go_to_another_if_that_does_no_harm() {
    let site = Site::new();
    let waits = H2Origin::secured(&site.tls, |stream| async move {
        match stream.0.uri().path() {
            "/wait" => std::future::pending().await,
            _ => echo(stream).await,
        }
    })
    .await;
    let lives = site.origin().await;
    let upstream = format!("{H2}\nbalance = \"round_robin\"");
    let proxy = site.before([&waits.place, &lives.place], &upstream).start().await;
    assert_eq!(proxy.client().get("/").repeat(4).statuses().await, [200; 4]);
    let asked: Vec<_> = ["GET", "GET", "POST", "POST"]
        .map(|method| {
            let client = proxy.client();
            tokio::spawn(async move {
                let request = if method == "GET" { client.get("/wait") } else { client.post("/wait", "hello") };
                request.send().await.status
            })
        })
        .into_iter()
        .collect();
    let waiting = |origin: &H2Origin| origin.heads().iter().filter(|head| head.uri.path() == "/wait").count();
    eventually("two wait at either", || waiting(&waits) + waiting(&lives) >= 4).await;
    let posts = waits.heads().iter().filter(|head| head.method == "POST").count();

    waits.dies();

    let mut statuses = Vec::new();
    for status in asked {
        statuses.push(in_time("an answer", status).await.unwrap());
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 502).count(),
        posts,
        "a POST is not sent twice: {statuses:?}"
    );
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 4 - posts, "{statuses:?}");
    assert_eq!(proxy.client().post("/", "hello").repeat(10).statuses().await, [200; 10]);
    proxy.is_idle().await;
}

#[tokio::test]
async fn an_endpoint_whose_certificate_was_taken_back_gets_not_one_request() {
    let authority = Authority::new("Test Authority");
    let (good, bad) = (authority.server(&["a.test"]).make(), authority.server(&["a.test"]).make());
    let (well, ill) = (
        Origin::http1().named("well").tls(&TlsServer::new(&good)).start().await,
        Origin::http1().named("ill").tls(&TlsServer::new(&bad)).start().await,
    );
    let site = Site { tls: TlsServer::new(&good), authority };
    let lines = TRUSTING.replace(" }", ", crl = \"revoked.pem\" }");
    let builder = site.before([&ill, &well], &format!("{lines}\nbalance = \"round_robin\""));
    let list = builder.folder().join("revoked.pem");
    fs::write(&list, site.authority.revokes(&[&bad])).unwrap();
    let proxy = builder.start().await;

    assert_eq!(proxy.client().post("/", "x").repeat(6).origins().await, ["well"; 6]);
    assert_eq!(ill.requests(), 0);
    proxy.logs("its certificate was taken back (tls.crl)").await;

    fs::write(&list, site.authority.revokes(&[])).unwrap();
    let origin = async || proxy.client().get("/").send().await.origin().to_owned();
    until("the list is empty", async || (origin().await == "ill").then_some(())).await;
    fs::write(&list, site.authority.revokes(&[&good])).unwrap();
    until("connections from before are left", async || {
        let seen = [origin().await, origin().await, origin().await];
        (seen == ["ill"; 3]).then_some(())
    })
    .await;
}

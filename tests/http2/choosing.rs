//! Endpoints that choose what they speak within TLS: fleets in which they differ, and choices that change.

use super::{
    origin::{H2Origin, echo},
    site::{AUTO, H2, Site},
    talk::{Talk, request},
};
use evenkeel_testkit::{Origin, until};
use h2::Reason;

#[tokio::test]
async fn each_endpoint_of_a_fleet_chooses_for_itself() {
    let site = Site::new();
    let (new, old) = (site.origin().await, Origin::http1().tls(&site.speaking(&["http/1.1"])).start().await);
    let mute = Origin::http1().tls(&site.speaking(&[])).start().await;
    let upstream = format!("{AUTO}\nbalance = \"round_robin\"");
    let places = [new.place.to_string(), old.to_string(), mute.to_string()];
    let proxy = site.before(places, &upstream).start().await;

    for n in 0..30 {
        let answer = proxy.client().post("/x", format!("{n}")).host("b.test").send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    assert_eq!((new.heads().len(), old.requests(), mute.requests()), (10, 10, 10));
    assert_eq!((new.connections(), old.connections(), mute.connections()), (1, 1, 1), "each is kept");
    assert_eq!(new.head().uri.to_string(), "https://b.test/x");
    assert_eq!((old.last_seen().header("host"), old.last_seen().target.as_str()), (Some("b.test"), "/x"));
    let mut agreed = site.agreed();
    agreed.sort_unstable();
    assert_eq!(agreed, ["", "h2", "http/1.1"]);
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_request_that_one_endpoint_refuses_in_http_2_is_whole_at_another_in_http_1() {
    let site = Site::new();
    let refuses = H2Origin::secured(&site.tls, |(_, mut respond)| async move {
        respond.send_reset(Reason::REFUSED_STREAM);
        Ok(())
    })
    .await;
    let takes = Origin::http1().tls(&site.speaking(&["http/1.1"])).start().await;
    let upstream = format!("{AUTO}\nbalance = \"round_robin\"");
    let proxy = site.before([refuses.place.to_string(), takes.to_string()], &upstream).start().await;

    for n in 1..=4 {
        let answer = proxy.client().post("/x?y", "hello").host("b.test").header("x-own", "1").send().await;

        assert_eq!((answer.status, takes.requests()), (200, n), "{answer:?}");
        let seen = takes.last_seen();
        assert_eq!((seen.target.as_str(), &seen.body[..]), ("/x?y", &b"hello"[..]));
        assert_eq!((seen.header_all("host"), seen.header_all("content-length")), (vec!["b.test"], vec!["5"]));
        assert_eq!((seen.header_all("x-own"), seen.header_all("via")), (vec!["1"], vec!["1.1 evenkeel"]));
    }
    assert!(!refuses.heads().is_empty());
}

#[tokio::test]
async fn an_upload_that_waits_to_be_asked_for_is_asked_for_in_either_version() {
    let site = Site::new();
    let (new, old) = (site.origin().await, Origin::http1().tls(&site.speaking(&["http/1.1"])).start().await);
    for place in [new.place.to_string(), old.to_string()] {
        let proxy = site.before([&place], AUTO).start().await;
        let mut wire = proxy.wire().await;
        wire.send("POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
        let agreed = "HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(wire.bytes(agreed.len()).await, agreed.as_bytes());

        wire.send("hello").await;

        let answer = wire.response().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text().contains("hello"), "{answer:?}");
        proxy.is_idle().await;
    }
}

#[tokio::test]
async fn an_endpoint_may_change_its_choice() {
    let site = Site::new();
    let origin = site.origin().await;
    let proxy = site.before([&origin.place], AUTO).upstream("pool.age_max = \"100ms\"").start().await;
    let body = async || proxy.client().get("/").send().await.text();
    let (old, new) = (site.speaking(&["http/1.1"]), site.speaking(&["h2"]));
    for (tls, says) in [(&old, "old"), (&new, ""), (&old, "old"), (&new, "")] {
        origin.greets(tls);
        // Every answer is a good one, from the old connections and from new ones.
        until(&format!("the endpoint answers {says:?}"), async || {
            let answer = body().await;
            assert!(["old", ""].contains(&answer.as_str()), "{answer}");
            (answer == says).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn requests_that_come_at_once_wait_for_one_connection_only_if_it_can_carry_them() {
    let site = Site::new();
    let (new, old) = (site.origin().await, H2Origin::secured(&site.speaking(&["http/1.1"]), echo).await);
    for (origin, expected) in [(&new, 1..=1), (&old, 2..=20)] {
        let proxy = site.before([&origin.place], AUTO).listener("protocol = \"h2c\"").start().await;
        let talk = Talk::to(proxy.web()).await;
        let asked: Vec<_> = (0..20)
            .map(|_| {
                let talk = talk.clone();
                tokio::spawn(async move { talk.ask(request("GET", "/")).await.unwrap().status })
            })
            .collect();
        for status in asked {
            assert_eq!(status.await.unwrap(), 200);
        }
        assert!(expected.contains(&origin.connections()), "{} connections", origin.connections());
        proxy.is_idle().await;
    }
}

#[tokio::test]
async fn a_websocket_is_asked_for_in_http_1_where_endpoints_choose() {
    let site = Site::new();
    let origin = site.origin().await;
    let proxy = site.before([&origin.place], AUTO).start().await;
    assert_eq!(proxy.client().get("/").send().await.text(), "", "a plain request is one of HTTP/2");
    let mut wire = proxy.wire().await;

    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;

    assert_eq!(wire.response().await.status, 101);
    assert_eq!(wire.bytes(3).await, b"old");
    assert_eq!(site.agreed(), ["h2", "http/1.1"]);
}

#[tokio::test]
async fn another_protocol_in_the_file_leaves_the_connections_from_before() {
    let site = Site::new();
    let origin = site.origin().await;
    let proxy = site.before([&origin.place], H2).start().await;
    assert_eq!(proxy.client().get("/").repeat(5).statuses().await, [200; 5]);
    let text = proxy.file().text();

    for (protocol, says) in [("http", "old"), ("auto", ""), ("h2", "")] {
        proxy.reload_with(&text.replace("\"h2\"", &format!("{protocol:?}"))).await;
        assert_eq!(proxy.client().get("/").send().await.text(), says, "{protocol}");
    }
    // And the other order of what is offered. An endpoint goes by its own, as most do, so it must know but one of them.
    proxy.reload_with(&text.replace("\"h2\"", "\"auto\"").replace(" }", ", alpn = [\"http/1.1\"] }")).await;
    assert_eq!(proxy.client().get("/").send().await.text(), "old");
}

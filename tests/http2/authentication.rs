//! NTLM and Negotiate authenticate connections, which HTTP/2 does not know: nothing that carries them is shared.

use super::{
    origin::H2Origin,
    site::{AUTO, Site},
    talk::{Talk, h2c, request},
};
use evenkeel_testkit::{Proxy, RawOrigin, Script, Wire};

#[tokio::test]
async fn a_client_of_http_2_gives_no_other_stream_what_one_has_authenticated() {
    let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
    let origin = RawOrigin::start(Script::answering(answer)).await;
    let proxy = h2c(&origin).workers(1).start().await;
    let talk = Talk::to(proxy.web()).await;

    for credentials in ["NTLM T1", "Basic eDp5"] {
        assert_eq!(talk.ask(request("GET", "/").header("authorization", credentials)).await.unwrap().status, 401);
    }

    assert_eq!(origin.connections(), 2);
    origin.is_left(0).await;
}

#[tokio::test]
async fn an_endpoint_that_could_choose_http_2_is_asked_in_http_1_for_it() {
    let site = Site::new();
    let origin = site.origin().await;
    let proxy = site.before([&origin.place], AUTO).workers(1).start().await;
    assert_eq!(proxy.client().get("/").send().await.status, 200);
    let mut wire: Wire = proxy.wire().await;

    for field in ["Authorization: Negotiate YII=\r\n", ""] {
        wire.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n")).await;
        assert_eq!(wire.response().await.text(), "old");
    }

    assert_eq!(site.agreed(), ["h2", "http/1.1"], "and the next request goes over the same connection");
}

#[tokio::test]
async fn where_an_endpoint_speaks_nothing_else_such_a_stream_has_a_connection_of_its_own() {
    let origin = H2Origin::echo().await;
    let proxy = Proxy::with_upstream(&origin.place).upstream("protocol = \"h2c\"").workers(1).start().await;
    let ask =
        async |credentials: &str| proxy.client().get("/").header("authorization", credentials).send().await.status;

    for _ in 0..2 {
        assert_eq!((ask("Basic eDp5").await, ask("Negotiate YII=").await), (200, 200));
    }

    assert_eq!(origin.connections(), 3, "the shared one, and two of one request each");
    let connections = "evenkeel_upstream_connections";
    proxy.metrics_show("they are closed", |m| (m.sum(connections, &[]) - 1.0).abs() < 0.5).await;
}

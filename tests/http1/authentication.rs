//! Connections to endpoints that a client has authenticated, as NTLM and Negotiate do (RFC 4559): they serve that client and no other.

use evenkeel_testkit::{Builder, Ending, Proxy, RawOrigin, RawResponse, Script, Wire, eventually};

const WANTED: &str =
    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
const CHALLENGE: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM T2\r\nContent-Length: 0\r\n\r\n";
const ALICE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalice";
const ANYBODY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nanybody";

/// Gives these answers to the first requests on a connection, and the last one to all others.
fn answers(answers: &[&str]) -> Script {
    let (last, first) = answers.split_last().expect("an answer");
    let script = first.iter().fold(Script::new(), |script, answer| script.reads_request().sends(answer));
    (0..20).fold(script, |script, _| script.reads_request().sends(last))
}

fn handshake() -> Script {
    answers(&[WANTED, CHALLENGE, ALICE])
}

fn before(origin: &RawOrigin) -> Builder {
    Proxy::with_upstream(origin).workers(1)
}

async fn ask(wire: &mut Wire, credentials: &str) -> RawResponse {
    let field = if credentials.is_empty() { String::new() } else { format!("Authorization: {credentials}\r\n") };
    wire.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n")).await;
    wire.response().await
}

/// The three steps of NTLM.
async fn log_in(wire: &mut Wire) {
    assert_eq!(ask(wire, "").await.header_all("www-authenticate"), ["Negotiate", "NTLM"]);
    assert_eq!(ask(wire, "NTLM T1").await.header("www-authenticate"), Some("NTLM T2"));
    assert_eq!(ask(wire, "NTLM T3").await.text(), "alice");
}

#[tokio::test]
async fn a_connection_that_a_client_has_authenticated_serves_that_client_and_no_other() {
    let origin = RawOrigin::start(handshake()).await;
    let proxy = before(&origin).start().await;
    let mut alice = proxy.wire().await;
    log_in(&mut alice).await;

    let mut stranger = proxy.wire().await;
    assert_eq!(ask(&mut stranger, "").await.status, 401);

    assert_eq!(ask(&mut alice, "").await.text(), "alice", "without credentials, over the same connection");
    assert_eq!(origin.connections(), 2);
    proxy.is_idle().await;
}

#[tokio::test]
async fn it_is_closed_with_the_connection_of_its_client() {
    let origin = RawOrigin::start(handshake()).await;
    let proxy = before(&origin).start().await;
    let mut alice = proxy.wire().await;
    log_in(&mut alice).await;

    drop(alice);

    assert_eq!(origin.is_left(0).await, Ending::Fin);
    proxy.metrics_show("no connection", |m| m.sum("evenkeel_upstream_connections", &[]) < 0.5).await;
}

#[tokio::test]
async fn credentials_alone_are_enough_for_a_connection_to_be_its_clients_own() {
    for field in ["Authorization: Negotiate YII=", "Proxy-Authorization: ntlm x", "authorization: KERBEROS x"] {
        let origin = RawOrigin::start(answers(&[ANYBODY])).await;
        let proxy = before(&origin).start().await;
        let (mut alice, mut stranger) = (proxy.wire().await, proxy.wire().await);
        alice.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n")).await;
        assert_eq!(alice.response().await.status, 200);

        assert_eq!(ask(&mut stranger, "").await.status, 200);

        assert_eq!(origin.connections(), 2, "{field}");
    }
}

#[tokio::test]
async fn an_answer_that_says_so_is_enough_as_well() {
    for field in ["WWW-Authenticate: Basic, Negotiate", "Proxy-Authenticate: NTLM", "Persistent-Auth: true"] {
        let answer = ANYBODY.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
        let origin = RawOrigin::start(answers(&[&answer])).await;
        let proxy = before(&origin).start().await;
        let (mut alice, mut stranger) = (proxy.wire().await, proxy.wire().await);

        for wire in [&mut alice, &mut stranger] {
            assert_eq!(ask(wire, "").await.status, 200);
        }

        assert_eq!(origin.connections(), 2, "{field}");
    }
}

#[tokio::test]
async fn other_credentials_leave_a_connection_to_all() {
    let origin = RawOrigin::start(answers(&[ANYBODY])).await;
    let proxy = before(&origin).start().await;
    for credentials in ["Basic eDp5", "Bearer negotiate", "Digest username=\"NTLM\"", ""] {
        assert_eq!(ask(&mut proxy.wire().await, credentials).await.status, 200);
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_client_comes_back_to_the_endpoint_that_it_has_authenticated_itself_to() {
    let origins = [RawOrigin::start(handshake()).await, RawOrigin::start(handshake()).await];
    let endpoints = origins.each_ref().map(ToString::to_string);
    let proxy = Proxy::with_endpoints(endpoints).workers(1).upstream("balance = \"round_robin\"").start().await;

    let mut clients = [proxy.wire().await, proxy.wire().await];
    for client in &mut clients {
        log_in(client).await;
    }
    for client in &mut clients {
        assert_eq!(ask(client, "").await.text(), "alice");
    }

    assert_eq!(origins.each_ref().map(RawOrigin::connections), [1, 1], "each has one client");
}

#[tokio::test]
async fn pools_that_are_off_or_full_keep_the_connections_of_clients() {
    for max in [0, 1] {
        let origin = RawOrigin::start(handshake()).await;
        let proxy = before(&origin).upstream(&format!("pool.idle_connections_max = {max}")).start().await;
        let mut clients = [proxy.wire().await, proxy.wire().await, proxy.wire().await];
        for client in &mut clients {
            log_in(client).await;
        }

        for client in &mut clients {
            assert_eq!(ask(client, "").await.text(), "alice");
        }

        assert_eq!(origin.connections(), 3);
    }
}

#[tokio::test]
async fn a_client_whose_connection_was_closed_meanwhile_starts_anew() {
    let first = Script::new().reads_request().sends(WANTED).reads_request().sends(CHALLENGE).closes();
    let origin = RawOrigin::start_each(vec![first, handshake()]).await;
    let proxy = before(&origin).start().await;
    let mut alice = proxy.wire().await;
    ask(&mut alice, "").await;
    ask(&mut alice, "NTLM T1").await;

    log_in(&mut alice).await;

    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn an_authenticated_connection_that_is_idle_for_too_long_is_closed() {
    let origin = RawOrigin::start(handshake()).await;
    let proxy = before(&origin).upstream("pool.idle = \"300ms\"").start().await;
    let mut alice = proxy.wire().await;
    log_in(&mut alice).await;

    assert_eq!(origin.is_left(0).await, Ending::Fin);

    assert_eq!(ask(&mut alice, "").await.status, 401);
}

#[tokio::test]
async fn an_authenticated_connection_lives_over_a_reload_and_is_closed_with_its_endpoint() {
    let (origin, other) = (RawOrigin::start(handshake()).await, RawOrigin::start(answers(&[ANYBODY])).await);
    let builder = before(&origin);
    let text = builder.text();
    let proxy = builder.start().await;
    let mut alice = proxy.wire().await;
    log_in(&mut alice).await;

    proxy.reload_with(&format!("{text}\n# changed\n")).await;
    assert_eq!(ask(&mut alice, "").await.text(), "alice");
    proxy.reload_with(&text.replace(&origin.to_string(), &other.to_string())).await;

    origin.is_left(0).await;
    assert_eq!(ask(&mut alice, "").await.text(), "anybody");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn an_authenticated_connection_that_is_in_use_when_its_endpoint_is_removed_is_closed_after_that() {
    let gate = tokio::sync::watch::Sender::new(false);
    let mine = Script::new().reads_request().sends(CHALLENGE).reads_request().waits_for(&gate).sends(ALICE).stalls();
    let long = Script::new().reads_request().sends("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe").stalls();
    let origin = RawOrigin::start_each(vec![mine, long]).await;
    let builder = before(&origin);
    let text = builder.text();
    let proxy = builder.start().await;
    let (mut alice, mut other) = (proxy.wire().await, proxy.wire().await);
    assert_eq!(ask(&mut alice, "NTLM T1").await.status, 401);
    alice.send("GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: NTLM T3\r\n\r\n").await;
    eventually("it is there", || origin.requests().len() == 2).await;
    // Another answer of the endpoint goes on.
    other.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    other.bytes(20).await;
    proxy.reload_with(&text.replace(&origin.to_string(), "127.0.0.1:9")).await;

    gate.send_replace(true);

    assert_eq!(alice.response().await.text(), "alice");
    origin.is_left(0).await;
    assert_eq!(origin.ended(1), None, "the long answer goes on");
}

#[tokio::test]
async fn one_client_owns_a_bounded_number_of_connections() {
    const SITES: usize = 10;
    let mut origins = Vec::new();
    let mut text = "workers = 1\n[listeners.web]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    for n in 0..SITES {
        let origin = RawOrigin::start(handshake()).await;
        text += &format!(
            "[[routes]]\npath_prefix = \"/{n}/\"\nupstream = \"u{n}\"\n[upstreams.u{n}]\nendpoints = [\"{origin}\"]\n"
        );
        origins.push(origin);
    }
    let proxy = Proxy::with_config(&text).start().await;
    let mut alice = proxy.wire().await;

    for n in 0..SITES {
        alice.send(format!("GET /{n}/ HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        assert_eq!(alice.response().await.status, 401);
    }

    let open = || origins.iter().filter(|origin| origin.ended(0).is_none()).count();
    eventually("the oldest are closed", || open() == 4).await;
    assert!(origins[0].ended(0).is_some() && origins[SITES - 1].ended(0).is_none());
}

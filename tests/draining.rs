//! The end of a listener, by a signal or by a reload: whoever got in before it, and has something to ask, is answered.
//!
//! A connection that has asked nothing yet is not an idle one: its first bytes may be on their way.

use evenkeel_testkit::{
    Answer, Authority, Builder, Frame, FrameWire, Origin, Place, Proxy, Signal, Socket, TlsClient, TlsServer, Wire,
    eventually, in_time,
};
use std::{
    fmt::Display,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::JoinSet;

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const LAST: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// How a listener comes to its end.
#[derive(Clone, Copy, Debug)]
enum End {
    Term,
    Removal,
}

const ENDS: [End; 2] = [End::Term, End::Removal];

/// The listener `web` with these lines, and another one that stays, so that a file without `web` is a good one.
fn site(endpoint: impl Display, listener: &str) -> Builder {
    Proxy::with_upstream(endpoint).listener(listener).more("[listeners.stays]\nlisten = \"127.0.0.1:0\"\n")
}

async fn ends(proxy: &Proxy, how: End) {
    match how {
        End::Term => proxy.signal(Signal::Term),
        End::Removal => {
            let text = proxy.file().text();
            let (before, rest) = text.split_once("[listeners.web]").expect("there is one");
            let (_, after) = rest.split_once("[[routes]]").expect("a route follows");
            let file = format!("{before}[[routes]]{after}");
            proxy.edit(evenkeel_testkit::Edit::RenameOver, &file);
        }
    }
}

async fn opened(place: &Place) -> Socket {
    in_time("a connection", place.connect()).await.expect("it listens")
}

/// A connection that has been served and waits: it is closed when the listener has come to its end.
async fn idle(proxy: &Proxy) -> Wire {
    let mut wire = Wire::to(proxy.at("web")).await;
    wire.send(GET).await;
    assert_eq!(wire.response().await.status, 200);
    wire
}

#[tokio::test]
async fn a_client_whose_first_bytes_are_on_their_way_is_answered() {
    for how in ENDS {
        let origin = Origin::http1().start().await;
        let proxy = site(&origin, "").start().await;
        let mut idle = idle(&proxy).await;
        let mut fresh = Wire::over(opened(proxy.at("web")).await);
        let silent = Wire::over(opened(proxy.at("web")).await);

        ends(&proxy, how).await;
        idle.closed().await;
        fresh.send(GET).await;

        let answer = fresh.response().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{how:?}");
        // One that goes on to say nothing is let go, long before it would time out.
        let mut silent = silent;
        tokio::time::timeout(Duration::from_secs(5), silent.closed()).await.expect("it is closed");
    }
}

#[tokio::test]
async fn a_client_that_is_in_the_middle_of_its_first_head_is_answered() {
    for how in ENDS {
        let origin = Origin::http1().start().await;
        let proxy = site(&origin, "").start().await;
        let mut idle = idle(&proxy).await;
        let mut slow = Wire::to(proxy.at("web")).await;
        slow.send(&GET[..10]).await;

        ends(&proxy, how).await;
        idle.closed().await;
        // Longer than a silent one is waited for.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        slow.send(&GET[10..]).await;

        assert_eq!(slow.response().await.status, 200, "{how:?}");
    }
}

#[tokio::test]
async fn a_client_whose_tls_begins_at_the_end_is_answered() {
    for how in ENDS {
        let origin = Origin::http1().start().await;
        let authority = Authority::new("Test Authority");
        let builder = site(&origin, "tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]");
        authority.server(&["a.test"]).make().write(builder.folder(), "a");
        let client = TlsClient::new(&authority, "a.test");
        let proxy = builder.start().await;
        let mut idle = client.connect(proxy.at("web")).await.wire;
        idle.send(GET).await;
        assert_eq!(idle.response().await.status, 200);
        let (fresh, shaken) = (opened(proxy.at("web")).await, client.connect(proxy.at("web")).await);

        ends(&proxy, how).await;
        idle.closed().await;

        let mut shaken = shaken.wire;
        shaken.send(GET).await;
        assert_eq!(shaken.response().await.status, 200, "{how:?}");
        let mut wire = Wire::over(client.over(fresh).await);
        wire.send(GET).await;
        assert_eq!(wire.response().await.status, 200, "{how:?}");
    }
}

#[tokio::test]
async fn a_client_whose_preface_comes_at_the_end_is_answered() {
    for (how, protocol) in [(End::Term, "h2c"), (End::Removal, "h2c"), (End::Term, "auto"), (End::Removal, "auto")] {
        let origin = Origin::http1().start().await;
        let proxy = site(&origin, &format!("protocol = \"{protocol}\"")).start().await;
        let mut leaving = FrameWire::to(proxy.at("web"), &[]).await;
        leaving.send(Frame::get(1, "/")).await;
        assert!(leaving.frame_of(Frame::HEADERS, 1).await.is_some());
        let (fresh, silent) = (opened(proxy.at("web")).await, opened(proxy.at("web")).await);

        ends(&proxy, how).await;
        assert_eq!(leaving.goaway().await, Some(0));
        let mut wire = FrameWire::begun(fresh, &[]).await;
        wire.send(Frame::get(1, "/")).await;

        let head = wire.frame_of(Frame::HEADERS, 1).await.expect("an answer");
        assert_eq!(head.payload[0], 0x88, "{how:?}: 200 (RFC 7541, appendix A)");
        let mut silent = Wire::over(silent);
        tokio::time::timeout(Duration::from_secs(5), silent.rest()).await.expect("it is closed");
    }
}

#[tokio::test]
async fn an_idle_client_of_http_2_that_does_not_answer_does_not_hold_up_a_drain() {
    let origin = Origin::http1().start().await;
    let lines = "protocol = \"h2c\"\ntimeouts.request_head = \"500ms\"\ntimeouts.idle = \"60s\"";
    let mut proxy = site(&origin, lines).top("drain.grace = \"0s\"\ndrain.deadline = \"60s\"").start().await;
    let mut mute = FrameWire::to(proxy.at("web"), &[]).await;
    mute.send(Frame::get(1, "/")).await;
    assert!(mute.frame_of(Frame::HEADERS, 1).await.is_some());

    ends(&proxy, End::Term).await;

    assert_eq!(proxy.exit_within(Duration::from_secs(8)).await.code, Some(0));
}

#[tokio::test]
async fn a_client_whose_proxy_header_comes_at_the_end_is_answered() {
    for how in ENDS {
        let origin = Origin::http1().start().await;
        let behind = "proxy_protocol = true\nproxy_protocol_from = [\"127.0.0.1/32\"]";
        let proxy = site(&origin, behind).start().await;
        let header = "PROXY TCP4 192.0.2.7 192.0.2.1 40000 443\r\n";
        let mut idle = Wire::to(proxy.at("web")).await;
        idle.send(format!("{header}{GET}")).await;
        assert_eq!(idle.response().await.status, 200);
        let mut fresh = Wire::over(opened(proxy.at("web")).await);

        ends(&proxy, how).await;
        idle.closed().await;
        fresh.send(header).await;
        fresh.send(GET).await;

        assert_eq!(fresh.response().await.status, 200, "{how:?}");
    }
}

#[tokio::test]
async fn a_client_whose_hello_comes_at_the_end_is_passed_on() {
    for how in ENDS {
        let authority = Authority::new("Test Authority");
        let tls = TlsServer::new(&authority.server(&["a.test"]).make());
        let origin = Origin::http1().tls(&tls).start().await;
        let proxy = Proxy::with_config(&format!(
            "[listeners.plain]\nlisten = \"127.0.0.1:0\"\n[upstreams.site]\nendpoints = [\"{origin}\"]\n\
             [listeners.web]\nlisten = \"127.0.0.1:0\"\nprotocol = \"tcp\"\n\
             sni = [{{ hosts = [\"a.test\"], upstream = \"site\" }}]\n\
             [[routes]]\nupstream = \"site\"\n"
        ));
        let proxy = proxy.start().await;
        let client = TlsClient::new(&authority, "a.test");
        let mut idle = Wire::to(proxy.at("plain")).await;
        idle.send(GET).await;
        idle.response().await;
        let fresh = opened(proxy.at("web")).await;
        let web = proxy.at("web").clone();

        ends(&proxy, how).await;
        match how {
            End::Term => drop(idle.closed().await),
            End::Removal => {
                evenkeel_testkit::until("it is closed", async || web.connect().await.is_err().then_some(())).await;
            }
        }
        let mut wire = Wire::over(client.over(fresh).await);
        wire.send(GET).await;

        assert_eq!(wire.response().await.status, 200, "{how:?}");
        evenkeel_testkit::until("new ones are refused", async || web.connect().await.is_err().then_some(())).await;
    }
}

#[tokio::test]
async fn fresh_connections_under_load_lose_nothing_at_the_end() {
    for how in [End::Term, End::Removal, End::Term] {
        let origin = Origin::http1().start().await;
        let proxy = site(&origin, "").top("drain.grace = \"100ms\"").start().await;
        let answered = Arc::<AtomicUsize>::default();
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            let (place, answered) = (proxy.at("web").clone(), Arc::clone(&answered));
            clients.spawn(async move {
                // Each with a connection of its own, at once and as often as it gets one.
                while let Ok(socket) = place.connect().await {
                    let mut wire = Wire::over(socket);
                    wire.try_send(GET).await?;
                    let response = wire.try_response().await.map_err(|end| io::Error::other(format!("{end:?}")))?;
                    assert_eq!(response.status, 200);
                    answered.fetch_add(1, Relaxed);
                }
                io::Result::Ok(())
            });
        }
        eventually("all are at work", || answered.load(Relaxed) > 100).await;

        ends(&proxy, how).await;

        for client in in_time("all are refused", clients.join_all()).await {
            client.unwrap_or_else(|lost| panic!("{how:?}: a request was lost: {lost}"));
        }
    }
}

/// Clients that ask for `/slow`, all at once.
fn ask_slowly(place: &Place, clients: usize) -> JoinSet<u16> {
    let mut asked = JoinSet::new();
    for _ in 0..clients {
        let place = place.clone();
        asked.spawn(async move {
            Wire::exchange(&place, LAST.replace('/', "/slow").replace("HTTP/slow", "HTTP/")).await.status
        });
    }
    asked
}

#[tokio::test]
async fn clients_in_the_queue_are_served_one_after_the_other_after_the_end() {
    for how in ENDS {
        let origin = Origin::http1().at("/slow", Answer::text("done").after(Duration::from_millis(200))).start().await;
        let limits = "[limits]\nconnections_max = 4\n";
        let mut proxy = site(&origin, "").more(limits).workers(1).start().await;
        let asked = ask_slowly(proxy.at("web"), 24);
        proxy.metrics_show("some wait", |m| m.sum("evenkeel_connections_queued_total", &[]) > 0.5).await;
        let web = proxy.at("web").clone();

        ends(&proxy, how).await;

        // Long before the last one has had its turn.
        evenkeel_testkit::until("new ones are refused", async || web.connect().await.is_err().then_some(())).await;
        assert_eq!(in_time("all answers", asked.join_all()).await, [200; 24], "{how:?}");
        if matches!(how, End::Term) {
            assert_eq!(proxy.exit().await.code, Some(0));
        }
    }
}

#[tokio::test]
async fn an_acceptor_that_waits_for_a_place_hears_that_its_listener_is_gone() {
    let origin = Origin::http1().at("/hold", Answer::text("done").after(Duration::from_secs(4))).start().await;
    let proxy = site(&origin, "").more("[limits]\nconnections_max = 1\n").workers(1).start().await;
    let mut holds = Wire::to(proxy.at("stays")).await;
    holds.send("GET /hold HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    eventually("it has the only place", || origin.in_flight() == 1).await;
    let mut waits = Wire::to(proxy.at("web")).await;
    waits.send(GET).await;
    proxy.metrics_show("it waits", |m| m.sum("evenkeel_connections_queued_total", &[]) > 0.5).await;
    let web = proxy.at("web").clone();

    ends(&proxy, End::Removal).await;

    evenkeel_testkit::until("new ones are refused", async || web.connect().await.is_err().then_some(())).await;
    assert_eq!(origin.in_flight(), 1, "the place is still taken");
    assert_eq!(holds.response().await.status, 200);
    assert_eq!(waits.response().await.status, 200, "and who has come before is served");
}

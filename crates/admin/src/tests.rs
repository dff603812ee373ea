//! The admin listener over real sockets: raw bytes in, raw bytes out.

use crate::{
    CONNECTIONS_MAX, ConfigView, EndpointState, EndpointView, HeadView, LastErrorsView, LastReload, MalformedView,
    Operations, Pending, ReloadView, Serving, UpstreamView, ask_ready, serve,
};
use evenkeel_model::Address;
use std::{
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

#[derive(Default)]
struct Hold {
    begun: Notify,
    leave: Notify,
}

/// An Evenkeel made of answers.
#[derive(Default)]
struct House {
    draining: AtomicBool,
    broken: AtomicBool,
    reloads: Arc<AtomicUsize>,
    /// When set, a reload says that it has begun and waits for leave to go on.
    hold: Option<Arc<Hold>>,
}

impl Operations for House {
    fn metrics(&self) -> String {
        assert!(!self.broken.load(Ordering::SeqCst), "a scrape that panics");
        "# HELP a A.\n# TYPE a counter\na 1\n".to_owned()
    }

    fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::SeqCst) { Err("draining".to_owned()) } else { Ok(()) }
    }

    fn upstreams(&self) -> Vec<UpstreamView> {
        vec![UpstreamView {
            name: "site".into(),
            balance: "power_of_two".into(),
            endpoints: vec![EndpointView {
                address: "10.0.0.1:80".into(),
                weight: 3,
                state: EndpointState::Unhealthy,
                since: Some(SystemTime::UNIX_EPOCH),
                in_flight: 2,
                last_error: Some("answered 500".into()),
            }],
        }]
    }

    fn config(&self) -> ConfigView {
        ConfigView {
            hash: "0123456789abcdef".into(),
            generation: 7,
            path: "evenkeel.toml".into(),
            loaded_at: SystemTime::UNIX_EPOCH,
            last_reload: Some(LastReload {
                successful: false,
                at: SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
                problems: vec!["evenkeel.toml:1:1: no".into()],
            }),
        }
    }

    fn last_errors(&self) -> LastErrorsView {
        let head = HeadView { bytes: "GET  /".into(), skipped: 0, offset: Some(4), as_received: true };
        let message = MalformedView {
            time: SystemTime::UNIX_EPOCH,
            listener: "web".into(),
            client: Some("192.0.2.1".into()),
            upstream: None,
            endpoint: None,
            reason: "malformed_request".into(),
            cause: "invalid URI".into(),
            head: Some(head),
        };
        LastErrorsView { requests: vec![message], responses: vec![], missed: 1 }
    }

    fn reload(&self) -> Pending<Result<ReloadView, String>> {
        let (reloads, hold) = (Arc::clone(&self.reloads), self.hold.clone());
        let broken = self.broken.load(Ordering::SeqCst);
        Box::pin(async move {
            if let Some(hold) = hold {
                hold.begun.notify_one();
                hold.leave.notified().await;
            }
            reloads.fetch_add(1, Ordering::SeqCst);
            if broken {
                return Err("evenkeel.toml:1:1: no\n".to_owned());
            }
            Ok(ReloadView { changed: true, hash: "0123456789abcdef".into(), generation: 8 })
        })
    }
}

fn start_on(address: &str, house: &Arc<House>) -> (Serving, SocketAddr) {
    let house: Arc<dyn Operations> = Arc::<House>::clone(house);
    let serving = serve(TcpListener::bind(address).unwrap(), house).unwrap();
    let address = serving.address().unwrap();
    (serving, address)
}

fn start() -> (Arc<House>, Serving, SocketAddr) {
    let house = Arc::new(House::default());
    let (serving, address) = start_on("127.0.0.1:0", &house);
    (house, serving, address)
}

/// Sends `head` (lines) and reads until the connection ends.
async fn ask(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{}\r\n\r\n", head.replace('\n', "\r\n")).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\nHost: localhost")).await
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn json(answer: &str) -> serde_json::Value {
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    serde_json::from_str(body(answer)).unwrap()
}

#[tokio::test]
async fn a_scrape_gets_the_metrics_in_the_text_format_of_prometheus() {
    let (_house, _serving, address) = start();

    let answer = get(address, "/metrics").await;

    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(body(&answer), "# HELP a A.\n# TYPE a counter\na 1\n");
}

#[tokio::test]
async fn readiness_follows_the_house_and_liveness_does_not() {
    let (house, _serving, address) = start();
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200 "));

    house.draining.store(true, Ordering::SeqCst);

    let answer = get(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(body(&answer), "not ready: draining\n");
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn the_upstreams_are_told_with_state_and_last_error() {
    let (_house, _serving, address) = start();

    let upstreams = json(&get(address, "/api/upstreams").await);

    assert_eq!(
        upstreams,
        serde_json::json!([{ "name": "site", "balance": "power_of_two", "endpoints": [{
            "address": "10.0.0.1:80", "weight": 3, "state": "unhealthy", "since": "1970-01-01T00:00:00.000Z",
            "in_flight": 2, "last_error": "answered 500" }] }])
    );
}

#[tokio::test]
async fn the_last_errors_are_told_with_their_bytes() {
    let (_house, _serving, address) = start();

    let errors = json(&get(address, "/debug/last-errors").await);

    assert_eq!(
        errors,
        serde_json::json!({ "missed": 1, "responses": [], "requests": [{
            "time": "1970-01-01T00:00:00.000Z", "listener": "web", "client": "192.0.2.1", "upstream": null, "endpoint": null,
            "reason": "malformed_request", "cause": "invalid URI",
            "head": { "bytes": "GET  /", "skipped": 0, "offset": 4, "as_received": true } }] })
    );
}

#[tokio::test]
async fn the_configuration_is_told_with_the_last_reload() {
    let (_house, _serving, address) = start();

    let config = json(&get(address, "/api/config").await);

    assert_eq!(
        config,
        serde_json::json!({ "hash": "0123456789abcdef", "generation": 7, "path": "evenkeel.toml",
            "loaded_at": "1970-01-01T00:00:00.000Z", "last_reload": { "successful": false,
            "at": "1970-01-01T00:00:01.500Z", "problems": ["evenkeel.toml:1:1: no"] } })
    );
}

#[tokio::test]
async fn a_reload_is_ordered_by_post_and_answers_with_what_runs_or_what_is_wrong() {
    let (house, _serving, address) = start();
    let order = "POST /api/reload HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 0";

    let applied = json(&ask(address, order).await);
    house.broken.store(true, Ordering::SeqCst);
    let refused = ask(address, order).await;

    assert_eq!(applied, serde_json::json!({ "changed": true, "hash": "0123456789abcdef", "generation": 8 }));
    assert!(refused.starts_with("HTTP/1.1 422 "), "{refused}");
    assert_eq!(body(&refused), "evenkeel.toml:1:1: no\n");
}

#[tokio::test]
async fn a_wrong_path_or_method_says_what_would_be_right() {
    let (_house, _serving, address) = start();

    let nowhere = get(address, "/metricz").await;
    let wrong = get(address, "/api/reload").await;
    let posted = ask(address, "POST /metrics HTTP/1.1\nHost: localhost\nContent-Length: 0").await;

    assert!(nowhere.starts_with("HTTP/1.1 404 "), "{nowhere}");
    assert_eq!(body(&nowhere).lines().count(), 1);
    assert!(wrong.starts_with("HTTP/1.1 405 ") && wrong.contains("allow: POST\r\n"), "{wrong}");
    assert!(posted.starts_with("HTTP/1.1 405 ") && posted.contains("allow: GET, HEAD\r\n"), "{posted}");
}

#[tokio::test]
async fn head_gets_the_head_and_the_index_lists_what_there_is() {
    let (_house, _serving, address) = start();

    let head = ask(address, "HEAD /metrics HTTP/1.1\nHost: localhost").await;
    let index = get(address, "/").await;

    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-length: 33\r\n"), "{head}");
    assert_eq!(body(&head), "");
    for path in ["/metrics", "/livez", "/readyz", "/api/upstreams", "/api/config", "/api/reload", "/debug/last-errors"]
    {
        assert!(body(&index).contains(path), "{path}");
    }
}

#[tokio::test]
async fn off_loopback_only_metrics_and_readiness_are_served() {
    let house = Arc::new(House::default());
    let (_serving, address) = start_on("0.0.0.0:0", &house);
    let address = SocketAddr::from(([127, 0, 0, 1], address.port()));

    for open in ["/metrics", "/livez", "/readyz"] {
        assert!(get(address, open).await.starts_with("HTTP/1.1 200 "), "{open}");
    }
    for shut in ["/", "/api/upstreams", "/api/config", "/api/reload", "/debug/last-errors"] {
        let answer = get(address, shut).await;
        assert!(answer.starts_with("HTTP/1.1 403 ") && body(&answer).contains("off loopback"), "{answer}");
    }
    let order = ask(address, "POST /api/reload HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 0").await;
    assert!(order.starts_with("HTTP/1.1 403 "), "{order}");
    assert_eq!(house.reloads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_web_page_reaches_neither_the_state_nor_the_reload() {
    let (house, _serving, address) = start();

    let rebound = ask(address, "GET /api/config HTTP/1.1\nHost: evil.example:9901").await;
    let forged = "POST /api/reload HTTP/1.1\nHost: localhost\nOrigin: http://evil.example\nContent-Length: 0";
    let forged = ask(address, forged).await;

    assert!(rebound.starts_with("HTTP/1.1 403 "), "{rebound}");
    assert!(forged.starts_with("HTTP/1.1 403 "), "{forged}");
    assert_eq!(house.reloads.load(Ordering::SeqCst), 0);
    // Prometheus may know this machine by any name.
    assert!(ask(address, "GET /metrics HTTP/1.1\nHost: lb.internal").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_scrape_that_panics_is_a_500_and_the_next_question_is_answered() {
    let (house, _serving, address) = start();
    house.broken.store(true, Ordering::SeqCst);

    assert!(get(address, "/metrics").await.starts_with("HTTP/1.1 500 "));
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_body_is_read_and_ignored_up_to_a_bound() {
    let (_house, _serving, address) = start();

    let small = ask(address, "GET /livez HTTP/1.1\nHost: localhost\nContent-Length: 5\n\nhello").await;
    // Refused by what it announces: nothing of it is sent.
    let long = ask(address, "GET /livez HTTP/1.1\nHost: localhost\nContent-Length: 70000").await;

    assert!(small.starts_with("HTTP/1.1 200 "), "{small}");
    assert!(long.starts_with("HTTP/1.1 413 "), "{long}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_half_a_head_gives_its_place_back() {
    let (_house, _serving, address) = start();
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /livez HT").await.unwrap();
        slow.push(stream);
    }

    // All places are taken; the clock, which runs ahead while all wait, frees them.
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));

    for mut stream in slow {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_stopped_listener_frees_its_address_and_still_answers_what_was_asked() {
    let hold = Arc::new(Hold::default());
    let house = Arc::new(House { hold: Some(Arc::clone(&hold)), ..House::default() });
    let (serving, address) = start_on("127.0.0.1:0", &house);
    let mut asked = TcpStream::connect(address).await.unwrap();
    asked.write_all(b"POST /api/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    hold.begun.notified().await;

    serving.stop().await;
    let again = start_on(&address.to_string(), &house);
    hold.leave.notify_one();

    let mut answer = String::new();
    asked.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(get(again.1, "/livez").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_reload_goes_on_when_its_client_hangs_up() {
    let hold = Arc::new(Hold::default());
    let house = Arc::new(House { hold: Some(Arc::clone(&hold)), ..House::default() });
    let (_serving, address) = start_on("127.0.0.1:0", &house);
    let mut asked = TcpStream::connect(address).await.unwrap();
    asked.write_all(b"POST /api/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    hold.begun.notified().await;

    drop(asked);
    // Time for the listener to notice.
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
    hold.leave.notify_one();

    tokio::time::timeout(Duration::from_secs(10), async {
        while house.reloads.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ready_is_asked_over_tcp_and_unix_sockets() {
    let (house, _serving, address) = start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let _unix = serve(UnixListener::bind(&path).unwrap(), Arc::<House>::clone(&house)).unwrap();
    let doors = [format!("{address}"), format!("localhost:{}", address.port()), format!("unix:{}", path.display())];
    let ask_all = || doors.clone().map(|door| ask_ready(&door.parse::<Address>().unwrap()));

    assert_eq!(ask_all(), [Ok(()), Ok(()), Ok(())]);
    house.draining.store(true, Ordering::SeqCst);
    let refusal = Err("not ready: draining".to_owned());
    assert_eq!(ask_all(), [refusal.clone(), refusal.clone(), refusal]);
}

#[test]
fn nobody_there_is_not_ready() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ask_ready(&Address::Ip(closed)).unwrap_err();
    assert!(error.contains(&closed.to_string()) && error.contains("refused"), "{error}");
}

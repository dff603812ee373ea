//! Questions over real sockets, with endpoints that answer byte by byte what the test says.

use super::*;
use evenkeel_model::{Address, Duration, HttpProbe};
use std::{future::pending, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
    time::Instant,
};

/// Long enough for a loaded machine; only a fault gets there.
const LONG: Duration = Duration::from_secs(10);

/// An endpoint for one connection. It reads a head, writes the parts of its answer and closes.
struct Endpoint {
    target: Arc<Target>,
    head: oneshot::Receiver<String>,
}

async fn endpoint(answer: impl Into<Vec<u8>>) -> Endpoint {
    endpoint_in_parts(vec![answer.into()]).await
}

async fn endpoint_in_parts(answer: Vec<Vec<u8>>) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new(Address::Ip(listener.local_addr().unwrap()));
    let (tell, head) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => read.push(byte),
                Err(_) => return,
            }
        }
        let _ = tell.send(String::from_utf8(read).unwrap());
        for part in answer {
            // The prober may have heard enough and left.
            let _ = stream.write_all(&part).await;
            tokio::task::yield_now().await;
        }
    });
    Endpoint { target, head }
}

fn probe(http: HttpProbe) -> Probe {
    Probe { kind: ProbeKind::Http(http), timeout: LONG, ..Probe::default() }
}

fn wanting_body(text: &str) -> Probe {
    probe(HttpProbe { expect_body: Some(text.into()), ..HttpProbe::default() })
}

async fn verdict(answer: impl Into<Vec<u8>>, probe: &Probe) -> Result<(), String> {
    let endpoint = endpoint(answer).await;
    ask(&endpoint.target, probe, None).await.map_err(|failure| failure.to_string())
}

fn with_body(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn failed(text: &str) -> Result<(), String> {
    Err(text.to_owned())
}

#[tokio::test]
async fn a_tcp_probe_wants_a_connection_and_nothing_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new(Address::Ip(listener.local_addr().unwrap()));
    let tcp = Probe { timeout: LONG, ..Probe::default() };
    ask(&target, &tcp, None).await.unwrap();
    drop(listener);
    assert_eq!(ask(&target, &tcp, None).await.unwrap_err().to_string(), "connection refused");
}

#[tokio::test]
async fn an_http_probe_asks_one_question_and_says_who_asks() {
    let endpoint = endpoint(with_body("")).await;
    ask(&endpoint.target, &probe(HttpProbe::default()), None).await.unwrap();
    let head = endpoint.head.await.unwrap();
    assert_eq!(
        head.to_ascii_lowercase(),
        format!(
            "get /health http/1.1\r\nhost: {}\r\nuser-agent: evenkeel-probe/{}\r\nconnection: close\r\n\r\n",
            endpoint.target.address(),
            env!("CARGO_PKG_VERSION"),
        )
    );
}

#[tokio::test]
async fn method_path_host_and_port_are_those_of_the_file() {
    let endpoint = endpoint(with_body("")).await;
    let elsewhere = Target::new("127.0.0.1:1".parse().unwrap());
    let http = HttpProbe {
        method: ::http::Method::OPTIONS,
        path: "/ready?deep=1".parse().unwrap(),
        host: Some("app.example".parse().unwrap()),
        ..HttpProbe::default()
    };
    let probe = Probe { port: endpoint.target.address().port(), ..probe(http) };
    ask(&elsewhere, &probe, None).await.unwrap();
    let head = endpoint.head.await.unwrap();
    assert!(head.starts_with("OPTIONS /ready?deep=1 HTTP/1.1\r\nhost: app.example\r\n"), "{head}");
    assert_eq!(describe(&probe), format!("OPTIONS /ready?deep=1 at port {}", probe.port.unwrap()));
}

#[tokio::test]
async fn a_unix_socket_is_asked_like_any_other() {
    let path = std::env::temp_dir().join(format!("evenkeel-probe-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let target = Target::new(format!("unix:{}", path.display()).parse().unwrap());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 512];
        let n = stream.read(&mut head).await.unwrap();
        assert!(String::from_utf8_lossy(&head[..n]).contains("host: localhost\r\n"));
        stream.write_all(with_body("").as_bytes()).await.unwrap();
        pending().await
    };
    let probe = probe(HttpProbe::default());
    tokio::select! {
        judged = ask(&target, &probe, None) => judged.unwrap(),
        never = serve => never,
    }
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn an_endpoint_that_accepts_and_answers_500_is_not_well() {
    let answer = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(verdict(answer, &probe(HttpProbe::default())).await, failed("status 500, wanted 200-299"));
}

#[tokio::test]
async fn the_statuses_of_the_file_are_the_ones_that_count() {
    let wanting = |expect_status| probe(HttpProbe { expect_status, ..HttpProbe::default() });
    let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(verdict(not_found, &wanting(vec![200..=200, 400..=404])).await, Ok(()));
    assert_eq!(verdict(with_body(""), &wanting(vec![204..=204])).await, failed("status 200, wanted 204"));
}

#[tokio::test]
async fn the_wanted_text_may_stand_anywhere_in_the_body() {
    for body in ["ok", "all is ok", "ok then"] {
        assert_eq!(verdict(with_body(body), &wanting_body("ok")).await, Ok(()), "{body}");
    }
    assert_eq!(verdict(with_body("o k"), &wanting_body("ok")).await, failed(r#"the body does not contain "ok""#));
    assert_eq!(verdict(with_body(""), &wanting_body("")).await, Ok(()));
}

#[tokio::test]
async fn the_wanted_text_is_found_across_parts_that_arrive_one_by_one() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let letters = "the weather is fine".bytes().map(|byte| vec![b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    let parts = std::iter::once(head).chain(letters).chain([b"0\r\n\r\n".to_vec()]).collect();
    let endpoint = endpoint_in_parts(parts).await;
    ask(&endpoint.target, &wanting_body("is fine"), None).await.unwrap();
}

#[tokio::test]
async fn only_the_first_64_kib_of_a_body_are_read() {
    let body = |before: usize| with_body(&format!("{}ok", ".".repeat(before)));
    assert_eq!(verdict(body(BODY - 2), &wanting_body("ok")).await, Ok(()));
    assert_eq!(verdict(body(BODY - 1), &wanting_body("ok")).await, failed(r#"the body does not contain "ok""#));
    const BODY: usize = 64 * 1024;
}

#[tokio::test]
async fn a_body_that_nobody_wants_is_not_waited_for() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    assert_eq!(verdict(answer, &probe(HttpProbe::default())).await, Ok(()));
}

#[tokio::test]
async fn nonsense_silence_and_a_broken_answer_are_bad_answers() {
    for answer in ["", "SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 200 OK\r\nContent-"] {
        let text = verdict(answer, &probe(HttpProbe::default())).await.unwrap_err();
        assert!(text.starts_with("no complete HTTP answer: "), "{answer:?}: {text}");
    }
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfine so";
    let text = verdict(cut, &wanting_body("fine so far")).await.unwrap_err();
    assert!(text.starts_with("no complete HTTP answer: "), "{text}");
}

#[tokio::test]
async fn an_endpoint_that_speaks_before_it_is_asked_is_no_http_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new(Address::Ip(listener.local_addr().unwrap()));
    let greet = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        pending().await
    };
    let probe = probe(HttpProbe::default());
    let failure = tokio::select! {
        judged = ask(&target, &probe, None) => judged.unwrap_err().to_string(),
        never = greet => never,
    };
    assert!(failure.starts_with("no complete HTTP answer: ") && !failure.contains("canceled"), "{failure}");
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let endless = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(200_000));
    let text = verdict(endless, &probe(HttpProbe::default())).await.unwrap_err();
    assert!(text.starts_with("no complete HTTP answer: "), "{text}");
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_is_left_when_the_time_is_over() {
    // The kernel makes the connection; nobody accepts it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::new(Address::Ip(listener.local_addr().unwrap()));
    let short = Probe { timeout: Duration::from_millis(80), ..probe(HttpProbe::default()) };
    let begun = Instant::now();
    let failure = ask(&target, &short, None).await.unwrap_err();
    assert_eq!(failure.to_string(), "no answer within 80ms");
    assert!(failure.timed_out());
    assert!(begun.elapsed() >= short.timeout);
}

#[tokio::test]
async fn an_answer_that_drips_is_late_however_lively_it_looks() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new(Address::Ip(listener.local_addr().unwrap()));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await.unwrap();
        stream.write_all(&head).await.unwrap();
        while stream.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let short = Probe { timeout: Duration::from_millis(80), ..wanting_body("ok") };
    assert_eq!(ask(&target, &short, None).await.unwrap_err().to_string(), "no answer within 80ms");
}

//! Unix sockets on both sides.

use evenkeel_testkit::{Client, Origin, Place, Proxy, Signal, Wire, in_time};
use std::{os::unix::fs::FileTypeExt, path::PathBuf};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixSocket, UnixStream},
};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A server that accepts only when it is told to, and whose queue is full: it holds one connection.
struct Queue {
    _folder: tempfile::TempDir,
    path: PathBuf,
    listener: UnixListener,
    _first: UnixStream,
}

impl Queue {
    async fn full() -> Self {
        let folder = folder();
        let path = folder.path().join("app.sock");
        let socket = UnixSocket::new_stream().expect("a socket");
        socket.bind(&path).expect("a free path");
        let listener = socket.listen(0).expect("it listens");
        let first = UnixStream::connect(&path).await.expect("there is room for one");
        Self { _folder: folder, path, listener, _first: first }
    }

    async fn accept(&self) -> UnixStream {
        in_time("a connection", self.listener.accept()).await.expect("a connection").0
    }

    /// Accepts what waits and answers one request on each connection.
    async fn serve(self) {
        loop {
            let mut socket = self.accept().await;
            tokio::spawn(async move {
                let mut head = [0; 1024];
                if socket.read(&mut head).await.is_ok_and(|read| read > 0) {
                    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
                    let _ = socket.write_all(answer.as_bytes()).await;
                }
            });
        }
    }

    fn place(&self) -> String {
        Place::Unix(self.path.clone()).to_string()
    }
}

#[tokio::test]
async fn requests_wait_while_the_queue_of_a_unix_endpoint_is_full() {
    let queue = Queue::full().await;
    let proxy = Proxy::with_upstream(queue.place()).upstream("timeouts.connect = \"30s\"").start().await;
    let asked: Vec<_> = (0..30)
        .map(|_| {
            let client = proxy.client();
            tokio::spawn(async move { client.get("/").send().await.status })
        })
        .collect();
    let waiting = "evenkeel_endpoint_requests_in_flight";
    proxy.metrics_show("all of them wait", |m| m.sum(waiting, &[]) > 29.5).await;

    tokio::spawn(queue.serve());

    for answer in asked {
        assert_eq!(answer.await.unwrap(), 200);
    }
    assert!(proxy.metrics().await.sum("evenkeel_upstream_connects_total", &[("result", "failed")]) < 0.5);
}

#[tokio::test]
async fn a_unix_endpoint_whose_queue_stays_full_has_the_time_of_any_connection() {
    let queue = Queue::full().await;
    let proxy = Proxy::with_upstream(queue.place()).upstream("timeouts.connect = \"100ms\"").start().await;

    assert_eq!(proxy.client().get("/").send().await.status, 504);

    proxy.counts_local("connect_timeout", 1).await;
}

#[tokio::test]
async fn a_probe_waits_while_the_queue_of_a_unix_endpoint_is_full() {
    let queue = Queue::full().await;
    let probe = "health = { tcp = true, interval = \"20s\", timeout = \"20s\", unhealthy_after = 1 }";
    let proxy = Proxy::with_upstream(queue.place()).upstream(probe).start().await;

    // What fills the queue, then the probe.
    drop(queue.accept().await);
    queue.accept().await;

    let probes = "evenkeel_health_probes_total";
    let metrics = proxy.metrics_show("a probe ends", |m| m.sum(probes, &[]) > 0.5).await;
    assert!(metrics.sum(probes, &[("result", "success")]) > 0.5, "{}", metrics.text());
}

#[tokio::test]
async fn a_session_of_tcp_waits_while_the_queue_of_a_unix_endpoint_is_full() {
    let queue = Queue::full().await;
    let text = format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\nprotocol = \"tcp\"\nupstream = \"site\"\n\
         [upstreams.site]\nendpoints = [\"{}\"]\ntimeouts.connect = \"30s\"\n",
        queue.place()
    );
    let proxy = Proxy::with_config(&text).start().await;
    let mut wire = Wire::to(proxy.at("web")).await;
    wire.send("hello").await;

    drop(queue.accept().await);
    let mut socket = queue.accept().await;

    let mut said = [0; 5];
    in_time("what was said", socket.read_exact(&mut said)).await.unwrap();
    assert_eq!(&said, b"hello");
}

#[tokio::test]
async fn an_endpoint_can_be_a_unix_socket() {
    let folder = folder();
    let origin = Origin::http1().on_unix(folder.path().join("app.sock")).start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    assert_eq!(proxy.client().get("/").repeat(20).statuses().await, [200; 20]);

    // Kept and used again, as over TCP.
    assert!(origin.connections() <= 2, "{}", origin.connections());
    let labels = [("endpoint", origin.to_string())];
    let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let metrics = proxy.metrics().await;
    assert!(metrics.sum("evenkeel_endpoint_requests_total", &labels) > 19.5, "{}", metrics.text());
}

#[tokio::test]
async fn a_listener_can_be_a_unix_socket_and_its_file_goes_with_it() {
    let (folder, origin) = (folder(), Origin::http1().start().await);
    let path = folder.path().join("web.sock");
    let text = format!(
        "[listeners.web]\nlisten = \"unix:{}\"\n[[routes]]\nupstream = \"site\"\n[upstreams.site]\nendpoints = [\"{origin}\"]\n",
        path.display()
    );
    let mut proxy = Proxy::with_config(&text).start().await;
    assert_eq!(proxy.at("web"), &Place::Unix(path.clone()));

    for _ in 0..10 {
        assert_eq!(proxy.client().get("/").status().await, 200);
    }

    assert!(path.symlink_metadata().unwrap().file_type().is_socket());
    proxy.signal(Signal::Term);
    assert_eq!(proxy.exit().await.code, Some(0));
    assert!(!path.exists(), "the socket file is left behind");
}

#[tokio::test]
async fn a_socket_file_left_behind_by_a_killed_process_does_not_keep_the_next_from_starting() {
    let (folder, origin) = (folder(), Origin::http1().start().await);
    let path = folder.path().join("web.sock");
    let text = format!(
        "[listeners.web]\nlisten = \"unix:{}\"\n[[routes]]\nupstream = \"site\"\n[upstreams.site]\nendpoints = [\"{origin}\"]\n",
        path.display()
    );
    drop(Proxy::with_config(&text).start().await);
    assert!(path.exists(), "a killed process removes nothing");

    let proxy = Proxy::with_config(&text).start().await;

    assert_eq!(proxy.client().get("/").status().await, 200);
}

#[tokio::test]
async fn a_socket_that_another_process_listens_on_is_not_taken_away() {
    let (folder, origin) = (folder(), Origin::http1().start().await);
    let text = format!(
        "[listeners.web]\nlisten = \"unix:{}/web.sock\"\n[[routes]]\nupstream = \"site\"\n[upstreams.site]\nendpoints = [\"{origin}\"]\n",
        folder.path().display()
    );
    let first = Proxy::with_config(&text).start().await;

    let exit = Proxy::with_config(&text).refuses().await;

    assert_eq!(exit.code, Some(2), "{}", exit.stderr);
    assert!(exit.stderr.contains("web.sock"), "{}", exit.stderr);
    assert_eq!(first.client().get("/").status().await, 200);
}

#[tokio::test]
async fn a_client_over_a_unix_socket_has_no_address_to_forward() {
    let (folder, origin) = (folder(), Origin::http1().start().await);
    let text = format!(
        "[listeners.web]\nlisten = \"unix:{}/web.sock\"\n[[routes]]\nupstream = \"site\"\n[upstreams.site]\nendpoints = [\"{origin}\"]\n",
        folder.path().display()
    );
    let proxy = Proxy::with_config(&text).start().await;

    assert_eq!(proxy.client().get("/").header("x-forwarded-for", "1.1.1.1").status().await, 200);

    let forwarded = origin.last_seen().header_all("x-forwarded-for").join(",");
    assert!(!forwarded.contains("1.1.1.1"), "{forwarded}");
}

#[tokio::test]
async fn the_admin_listener_can_be_a_unix_socket() {
    let (folder, origin) = (folder(), Origin::http1().start().await);
    let text = format!(
        "[admin]\nlisten = \"unix:{}/admin.sock\"\n[listeners.web]\nlisten = \"127.0.0.1:0\"\n\
         [[routes]]\nupstream = \"site\"\n[upstreams.site]\nendpoints = [\"{origin}\"]\n",
        folder.path().display()
    );
    let proxy = Proxy::with_config(&text).start().await;

    assert_eq!(Client::of(proxy.admin()).get("/readyz").status().await, 200);
    assert!(proxy.metrics().await.problems().is_empty());
}

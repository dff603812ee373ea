//! Calls while connections come and go: age on both sides, drain, reload, and what stands before a client's first words.

use super::{
    client::{Client, all, between, calls, counts, next},
    server::{CHAT, COUNT, ECHO, Note, Server},
};
use evenkeel_testkit::{Authority, Proxy, Signal, TlsClient, until};
use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// A talk in turn that goes on for as long as one likes.
struct Talk {
    say: mpsc::Sender<Note>,
    heard: Streaming<Note>,
    turns: u64,
}

impl Talk {
    async fn begin(client: &Client) -> Result<Self, Status> {
        let (say, said) = mpsc::channel(1);
        let heard = client.both(CHAT, ReceiverStream::new(said)).await?.into_inner();
        let mut talk = Self { say, heard, turns: 0 };
        talk.turn().await?;
        Ok(talk)
    }

    async fn turn(&mut self) -> Result<(), Status> {
        self.turns += 1;
        let note = Note::new("turn", self.turns);
        self.say.send(note.clone()).await.expect("the call goes on");
        match next(&mut self.heard).await? {
            Some(heard) if heard == note => Ok(()),
            other => panic!("heard {other:?} instead of {note:?}"),
        }
    }

    /// Ends it in good order.
    async fn end(mut self) -> Result<(), Status> {
        drop(self.say);
        assert_eq!(next(&mut self.heard).await?, None);
        Ok(())
    }
}

/// Clients that call without a pause, each on a channel of its own, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<u32, Status>>>,
}

impl Load {
    async fn on(proxy: &Proxy) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut clients = Vec::new();
        for _ in 0..4 {
            let (client, stopped) = (Client::to(proxy.web()).await, Arc::clone(&stop));
            clients.push(tokio::spawn(async move {
                let mut calls = 0;
                while !stopped.load(Relaxed) {
                    sent(|| client.unary(ECHO, Note::new("", 1))).await?;
                    let mut talk = sent(|| Talk::begin(&client)).await?;
                    talk.turn().await?;
                    let notes = sent(|| client.down(COUNT, Note::new("", 20))).await?;
                    let (notes, end) = all(&mut notes.into_inner()).await;
                    assert!(notes.len() == 20 && end.is_none(), "{end:?}");
                    talk.end().await?;
                    calls += 3;
                }
                Ok(calls)
            }));
        }
        Self { stop, clients }
    }

    /// Whether a client has ended without being told.
    fn is_broken(&self) -> bool {
        self.clients.iter().any(JoinHandle::is_finished)
    }

    /// How many calls there were, all of them good.
    async fn ends(self) -> u32 {
        self.stop.store(true, Relaxed);
        let mut all = 0;
        for client in self.clients {
            all += client.await.expect("no panic").expect("no call fails");
        }
        all
    }
}

/// Calls again if the call has never left tonic: a channel may choose a connection that has just heard GOAWAY, and hyper then gives the call
/// back. Other libraries do this by themselves (gRPC's A6, "transparent retries").
async fn sent<T, F: Future<Output = Result<T, Status>>>(call: impl Fn() -> F) -> Result<T, Status> {
    loop {
        match call().await {
            Err(status) if status.source().is_some() && status.message() == "operation was canceled" => {}
            other => return other,
        }
    }
}

#[tokio::test]
async fn no_call_is_lost_when_connections_of_clients_are_too_old() {
    let server = Server::start();
    let proxy = between([&server.place]).listener("connection_age_max = \"100ms\"").start().await;
    let mut talk = Talk::begin(&Client::to(proxy.web()).await).await.unwrap();

    let load = Load::on(&proxy).await;
    until("several ages of each client", async || {
        let connections = proxy.metrics().await.sum("evenkeel_connections_total", &[]);
        (load.is_broken() || connections > 4.0 * 6.0).then_some(())
    })
    .await;
    let done = load.ends().await;

    talk.turn().await.expect("the oldest call goes on");
    talk.end().await.expect("and ends as it should");
    counts(&proxy, "ok", done + 1).await;
    let metrics = proxy.metrics().await;
    let others = calls(&metrics, "none") + calls(&metrics, "server_error") + calls(&metrics, "client_error");
    assert!(others < 0.5, "{others} calls did not end well");
}

#[tokio::test]
async fn no_call_is_lost_when_connections_to_servers_are_too_old() {
    let server = Server::start();
    let proxy = between([&server.place]).upstream("pool.age_max = \"100ms\"").workers(1).start().await;
    let mut talk = Talk::begin(&Client::to(proxy.web()).await).await.unwrap();

    let load = Load::on(&proxy).await;
    until("several ages", async || (load.is_broken() || server.connections() > 5).then_some(())).await;
    let done = load.ends().await;

    talk.turn().await.expect("the oldest call goes on");
    proxy.metrics_show("only it holds a connection", |m| m.sum("evenkeel_upstream_connections", &[]) < 2.5).await;
    talk.end().await.expect("and ends as it should");
    counts(&proxy, "ok", done + 1).await;
}

#[tokio::test]
async fn no_call_is_lost_when_servers_end_their_connections() {
    let servers = [Server::aging(Duration::from_millis(100)), Server::aging(Duration::from_millis(130))];
    let proxy = between(servers.iter().map(|server| &server.place)).start().await;

    let load = Load::on(&proxy).await;
    until("several ages", async || {
        (load.is_broken() || servers.iter().all(|server| server.connections() > 8)).then_some(())
    })
    .await;
    let done = load.ends().await;

    counts(&proxy, "ok", done).await;
}

#[tokio::test]
async fn a_drain_waits_for_talks_that_go_on() {
    let server = Server::start();
    let mut proxy = between([&server.place]).start().await;
    let mut talks = Vec::new();
    for _ in 0..3 {
        let client = Client::to(proxy.web()).await;
        for _ in 0..5 {
            talks.push(Talk::begin(&client).await.unwrap());
        }
    }

    proxy.signal(Signal::Term);
    proxy.logs("stopping").await;

    for talk in &mut talks {
        for _ in 0..10 {
            talk.turn().await.expect("a call that is open goes on");
        }
    }
    assert!(!proxy.has_ended());
    for talk in talks {
        talk.end().await.expect("and ends as it should");
    }
    assert_eq!(proxy.exit().await.code, Some(0));
}

#[tokio::test]
async fn a_talk_goes_on_when_its_server_is_taken_out_of_the_file() {
    let (old, new) = (Server::start(), Server::start());
    let proxy = between([&old.place]).start().await;
    let client = Client::to(proxy.web()).await;
    let mut talk = Talk::begin(&client).await.unwrap();

    proxy.reload_with(&between([&new.place]).text()).await;

    talk.turn().await.expect("it goes on");
    client.unary(ECHO, Note::new("", 1)).await.unwrap();
    assert_eq!((old.calls(), new.calls()), (1, 1));
    talk.end().await.expect("and ends as it should");
    proxy.is_idle().await;
}

const BEHIND: &str = "proxy_protocol = true\nproxy_protocol_from = [\"127.0.0.1/32\"]";
const HEADER: &str = "PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n";

async fn client_is_whom_the_header_names(proxy: &Proxy, client: &Client) {
    for n in 0..2 {
        client.unary(ECHO, Note::new("", n)).await.expect("an answer");
    }
    let log = proxy.access_log_with(2).await;
    assert!(log.iter().all(|line| line["client"] == "203.0.113.7" && line["grpc_status"] == 0), "{log:?}");
}

#[tokio::test]
async fn a_proxy_header_may_stand_before_http_2() {
    let server = Server::start();
    let proxy = between([&server.place]).listener(BEHIND).access_log().start().await;

    let client = Client::beginning(proxy.web(), HEADER, None).await;

    client_is_whom_the_header_names(&proxy, &client).await;
}

#[tokio::test]
async fn a_proxy_header_may_stand_before_tls() {
    let authority = Authority::new("Test Authority");
    let server = Server::start();
    let proxy = Proxy::with_upstream(&server.place).upstream("protocol = \"h2c\"").listener(BEHIND).access_log();
    let proxy = proxy.listener("tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]");
    authority.server(&["a.test"]).make().write(proxy.folder(), "a");
    let proxy = proxy.start().await;
    let tls = TlsClient::new(&authority, "a.test").but(|config| config.alpn_protocols = vec![b"h2".to_vec()]);

    let client = Client::beginning(proxy.web(), HEADER, Some(tls)).await;

    client_is_whom_the_header_names(&proxy, &client).await;
}

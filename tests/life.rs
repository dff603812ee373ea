//! Start, ready, drain, stop; and how it refuses to start.

use evenkeel_testkit::{
    Answer, Client, Origin, Place, Proxy, Signal, Wire, eventually, run_command, until, unused_port,
};
use std::{
    fs,
    net::TcpListener,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

const HELD: &str = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";

async fn slow(after: Duration) -> Origin {
    Origin::http1().at("/hold", Answer::text("done").after(after)).start().await
}

async fn held(proxy: &Proxy, origin: &Origin) -> Wire {
    let mut wire = proxy.wire().await;
    wire.send(HELD).await;
    eventually("the request is at the endpoint", || origin.in_flight() == 1).await;
    wire
}

#[tokio::test]
async fn one_line_on_standard_output_says_that_it_is_ready_and_where() {
    let origin = Origin::http1().start().await;
    let text = format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[listeners.other]\nlisten = \"127.0.0.1:0\"\n\
         [[routes]]\nupstream = \"site\"\n[upstreams.site]\nendpoints = [\"{origin}\"]\n"
    );
    let mut proxy = Proxy::with_config(&text).start().await;
    assert_eq!(proxy.client_of("other").get("/").status().await, 200);
    proxy.signal(Signal::Term);

    let exit = proxy.exit().await;

    assert_eq!(exit.stdout.len(), 1, "{:?}", exit.stdout);
    let ready: serde_json::Value = serde_json::from_str(&exit.stdout[0]).unwrap();
    assert_eq!((&ready["ready"], &ready["workers"]), (&true.into(), &2.into()), "{ready}");
    assert_eq!(ready["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(ready["listeners"].as_object().map(|listeners| listeners.len()), Some(2), "{ready}");
}

#[tokio::test]
async fn term_drains_requests_under_way_and_ends_with_0() {
    let origin = slow(Duration::from_millis(700)).await;
    let mut proxy = Proxy::with_upstream(&origin).start().await;
    let mut wire = held(&proxy, &origin).await;

    proxy.signal(Signal::Term);

    let response = wire.response().await;
    assert_eq!((response.status, response.text().as_str()), (200, "done"));
    assert_eq!(response.header("connection"), Some("close"));
    let exit = proxy.exit().await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
}

#[tokio::test]
async fn int_does_the_same() {
    let origin = Origin::http1().start().await;
    let mut proxy = Proxy::with_upstream(&origin).start().await;

    proxy.signal(Signal::Int);

    assert_eq!(proxy.exit().await.code, Some(0));
}

#[tokio::test]
async fn during_the_grace_it_says_not_ready_and_still_serves_new_clients() {
    let origin = Origin::http1().start().await;
    let mut proxy = Proxy::with_upstream(&origin).top("drain.grace = \"1s\"").start().await;
    assert_eq!(proxy.asks_admin("/readyz").await.status, 200);

    let begun = Instant::now();
    proxy.signal(Signal::Term);

    let readyz = until("readyz turns", async || {
        let answer = proxy.asks_admin("/readyz").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert!(begun.elapsed() < Duration::from_millis(700), "at once: {:?}", begun.elapsed());
    assert!(readyz.text().contains("drain"), "{}", readyz.text());
    assert_eq!(proxy.asks_admin("/livez").await.status, 200);
    assert_eq!(proxy.client().get("/").status().await, 200);
    assert_eq!(proxy.exit().await.code, Some(0));
    assert!(begun.elapsed() > Duration::from_millis(800), "after the grace: {:?}", begun.elapsed());
}

#[tokio::test]
async fn after_the_grace_nobody_is_accepted_while_what_runs_goes_on() {
    let origin = slow(Duration::from_millis(1500)).await;
    let mut proxy = Proxy::with_upstream(&origin).start().await;
    let mut wire = held(&proxy, &origin).await;
    proxy.signal(Signal::Term);

    until("new connections are refused", async || proxy.web().connect().await.is_err().then_some(())).await;

    assert!(!proxy.has_ended());
    assert_eq!(wire.response().await.text(), "done");
    assert_eq!(proxy.exit().await.code, Some(0));
}

#[tokio::test]
async fn idle_clients_do_not_hold_up_a_drain() {
    let origin = Origin::http1().start().await;
    let mut proxy = Proxy::with_upstream(&origin).start().await;
    let mut idle = proxy.wire().await;
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.response().await.status, 200);
    let mut silent = proxy.wire().await;

    proxy.signal(Signal::Term);

    assert_eq!(proxy.exit_within(Duration::from_secs(3)).await.code, Some(0));
    idle.closed().await;
    silent.closed().await;
}

#[tokio::test]
async fn a_kept_connection_in_use_hears_close_while_it_drains() {
    let origin = Origin::http1().start().await;
    let mut proxy = Proxy::with_upstream(&origin).top("drain.grace = \"500ms\"").start().await;
    let client = proxy.client();
    client.get("/").send().await;
    proxy.signal(Signal::Term);

    until("an answer says close", async || {
        (client.get("/").send().await.header("connection") == Some("close")).then_some(())
    })
    .await;

    assert_eq!(proxy.exit().await.code, Some(0));
}

#[tokio::test]
async fn what_still_runs_at_the_deadline_is_cut() {
    let origin = slow(Duration::from_mins(10)).await;
    let mut proxy = Proxy::with_upstream(&origin)
        .top("drain.grace = \"0s\"\ndrain.deadline = \"300ms\"")
        .access_log()
        .start()
        .await;
    let mut wire = held(&proxy, &origin).await;
    proxy.signal(Signal::Term);

    wire.rest().await;

    assert_eq!(proxy.exit_within(Duration::from_secs(3)).await.code, Some(0));
    let log = proxy.access_log();
    assert!(log.iter().any(|line| line["path"] == "/hold"), "what was cut is logged: {log:?}");
}

#[tokio::test]
async fn a_second_term_stops_at_once() {
    let origin = slow(Duration::from_mins(10)).await;
    let mut proxy = Proxy::with_upstream(&origin).top("drain.grace = \"60s\"").start().await;
    let _wire = held(&proxy, &origin).await;
    proxy.signal(Signal::Term);
    until("the first is seen", async || (proxy.asks_admin("/readyz").await.status == 503).then_some(())).await;

    proxy.signal(Signal::Term);

    proxy.exit_within(Duration::from_secs(3)).await;
}

#[tokio::test]
async fn a_busy_port_is_refused_with_its_address() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap();
    let text =
        format!("[listeners.web]\nlisten = \"{address}\"\n[[routes]]\nfilters = [{{ fixed_response = {{}} }}]\n");

    let exit = Proxy::with_config(&text).refuses().await;

    assert_eq!(exit.code, Some(2), "{}", exit.stderr);
    assert!(exit.stderr.contains(&address.to_string()), "{}", exit.stderr);
    assert!(exit.stdout.is_empty(), "{:?}", exit.stdout);
}

#[tokio::test]
async fn a_second_process_on_the_same_port_is_refused() {
    let origin = Origin::http1().start().await;
    let first = Proxy::with_upstream(&origin).start().await;
    let text =
        format!("[listeners.web]\nlisten = \"{}\"\n[[routes]]\nfilters = [{{ fixed_response = {{}} }}]\n", first.web());

    let exit = Proxy::with_config(&text).refuses().await;

    assert_eq!(exit.code, Some(2), "{}", exit.stderr);
    assert_eq!(first.client().get("/").repeat(20).origins().await, vec!["origin"; 20]);
}

#[tokio::test]
async fn a_missing_file_is_refused_with_its_name() {
    let end = run_command(&["run", "--config", "/nowhere/evenkeel.toml"]).await;

    assert_eq!(end.code, Some(2), "{}", end.stderr);
    assert!(end.stderr.contains("/nowhere/evenkeel.toml"), "{}", end.stderr);
    assert!(end.stdout.is_empty(), "{}", end.stdout);
}

#[tokio::test]
async fn a_bad_key_is_refused_with_its_line_and_the_nearest_known_one() {
    let text = "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[listeners.web.timeuots]\nidle = \"1s\"\n";

    let exit = Proxy::with_exactly(text).refuses().await;

    assert_eq!(exit.code, Some(2), "{}", exit.stderr);
    for part in ["evenkeel.toml:3:", "timeuots", "timeouts"] {
        assert!(exit.stderr.contains(part), "{part} in {}", exit.stderr);
    }
}

#[tokio::test]
async fn every_problem_of_a_file_is_shown_at_once() {
    let text =
        "[listeners.web]\nlisten = \"nowhere\"\n[[routes]]\nupstream = \"missing\"\n[upstreams.site]\nendpoints = []\n";

    let exit = Proxy::with_exactly(text).refuses().await;

    assert_eq!(exit.code, Some(2), "{}", exit.stderr);
    for part in ["evenkeel.toml:2:", "evenkeel.toml:4:", "evenkeel.toml:6:"] {
        assert!(exit.stderr.contains(part), "{part} in {}", exit.stderr);
    }
}

#[tokio::test]
async fn the_ready_command_asks_the_admin_listener() {
    let port = unused_port();
    let text = format!(
        "[admin]\nlisten = \"127.0.0.1:{port}\"\n[listeners.web]\nlisten = \"127.0.0.1:0\"\n\
         [[routes]]\nfilters = [{{ fixed_response = {{}} }}]\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evenkeel.toml");
    fs::write(&path, &text).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(run_command(&["ready", "--config", path]).await.code, Some(1));

    let mut proxy = Proxy::with_config(&text).start().await;
    assert_eq!(run_command(&["ready", "--config", path]).await.code, Some(0));

    proxy.signal(Signal::Term);
    proxy.exit().await;
    assert_eq!(run_command(&["ready", "--config", path]).await.code, Some(1));
}

#[tokio::test]
async fn the_supervisor_is_told_of_ready_reloading_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut heard = String::new();
    let mut hears = |text: &str| {
        let mut buffer = [0; 1024];
        while let Ok(n) = socket.recv(&mut buffer) {
            heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
            heard.push('\n');
        }
        heard.contains(text)
    };
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin).environment("NOTIFY_SOCKET", &path);
    let text = builder.text();
    let mut proxy = builder.start().await;

    eventually("READY=1", || hears("READY=1")).await;
    proxy.reload_with(&format!("{text}# changed\n")).await;
    eventually("RELOADING=1", || hears("RELOADING=1")).await;
    proxy.signal(Signal::Term);
    eventually("STOPPING=1", || hears("STOPPING=1")).await;
    assert_eq!(proxy.exit().await.code, Some(0));
}

#[tokio::test]
async fn the_descriptor_limit_is_raised_to_what_is_allowed() {
    let origin = Origin::http1().start().await;
    let proxy = Proxy::with_upstream(&origin).start().await;

    let limits = fs::read_to_string(format!("/proc/{}/limits", proxy.id())).unwrap();

    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{line}");
}

#[tokio::test]
async fn help_and_version_can_be_asked_for() {
    let help = run_command(&["--help"]).await;
    for command in ["run", "check", "demo", "schema", "ready"] {
        assert!(help.stdout.contains(command), "{command} in {}", help.stdout);
    }
    let version = run_command(&["--version"]).await;
    assert!(version.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", version.stdout);
}

#[tokio::test]
async fn without_an_admin_section_there_is_no_admin_listener_and_it_says_so() {
    let text =
        "workers = 2\n[listeners.web]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nfilters = [{ fixed_response = {} }]\n";

    let proxy = Proxy::with_exactly(text).start().await;

    assert_eq!(proxy.client().get("/").status().await, 200);
    let ready: serde_json::Value = serde_json::from_str(&proxy.stdout()[0]).unwrap();
    assert!(ready["admin"].is_null(), "{ready}");
    proxy.logs("admin").await;
}

#[tokio::test]
async fn an_admin_listener_off_loopback_serves_metrics_and_readiness_only() {
    let text = "admin.listen = \"0.0.0.0:0\"\n[listeners.web]\nlisten = \"127.0.0.1:0\"\n\
                [[routes]]\nfilters = [{ fixed_response = {} }]\n";
    let proxy = Proxy::with_config(text).start().await;
    let operator = Client::of(&Place::parse(&format!("127.0.0.1:{}", proxy.admin().port())));

    for (path, served) in
        [("/metrics", true), ("/livez", true), ("/readyz", true), ("/api/config", false), ("/api/upstreams", false)]
    {
        assert_eq!(operator.get(path).status().await == 200, served, "{path}");
    }
    assert!(operator.post("/api/reload", "").status().await >= 400);
}

#[tokio::test]
async fn without_a_word_in_the_file_there_is_a_worker_for_each_core_that_the_process_may_use() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    // A process begins with the cores of the thread that made it; only this thread is narrowed down.
    let all = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|core| all.is_set(*core)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();
    let text = "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";

    let proxy = Proxy::with_exactly(text).start().await;

    sched_setaffinity(None, &all).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&proxy.stdout()[0]).unwrap();
    assert_eq!(ready["workers"], 1, "{ready}");
}

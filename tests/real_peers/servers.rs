//! nginx and HAProxy as endpoints, and HAProxy as the balancer in front.

use super::{SITE, program, write};
use evenkeel_testkit::{Authority, Builder, Place, Proxy, Wire, eventually, in_time, unused_port};
use std::{
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A server that runs until it is dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    async fn start(mut command: Command, port: u16) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("it is installed");
        let server = Self { child, port };
        eventually("the server accepts", || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        server
    }

    /// Answers `nginx` to everything. `listen` and `more` stand in its `server`.
    async fn nginx(program: &Path, folder: &Path, listen: &str, more: &str) -> Self {
        let port = unused_port();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = temporary.iter().map(|of| format!("{of}_temp_path {of}; ")).collect();
        write(
            folder,
            "nginx.conf",
            format!(
                "daemon off; master_process off; pid nginx.pid; error_log stderr; events {{}}\n\
             http {{ access_log off; {temporary}\n\
             server {{ listen 127.0.0.1:{port} {listen}; {more}\n\
             location / {{ return 200 \"nginx $server_protocol $ssl_client_s_dn $proxy_protocol_addr\"; }} }} }}"
            ),
        );
        let mut command = Command::new(program);
        command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(folder.join("nginx.conf"));
        Self::start(command, port).await
    }

    /// Answers `haproxy` and whom it takes for the client to everything. `bind` stands behind its address.
    async fn haproxy(program: &Path, folder: &Path, bind: &str) -> Self {
        let port = unused_port();
        let answer = "http-request return status 200 content-type text/plain lf-string \"haproxy %HV %[src]\"";
        Self::haproxy_with(program, folder, port, &format!("mode http\n bind 127.0.0.1:{port} {bind}\n {answer}")).await
    }

    async fn haproxy_with(program: &Path, folder: &Path, port: u16, lines: &str) -> Self {
        let timeouts = "timeout client 30s\n timeout server 30s\n timeout connect 5s";
        write(folder, "haproxy.cfg", format!("listen all\n {timeouts}\n {lines}\n"));
        let mut command = Command::new(program);
        command.args(["-db", "-q", "-f"]).arg(folder.join("haproxy.cfg"));
        Self::start(command, port).await
    }

    fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended meanwhile: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with `site.pem` and `site.key`, both together in `both.pem`, and the authority behind them in `ca.pem`.
fn folder(authority: &Authority) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let issued = authority.server(&["a.test"]).make();
    issued.write(folder.path(), "site");
    write(folder.path(), "both.pem", format!("{}{}", issued.cert, issued.key));
    write(folder.path(), "ca.pem", authority.pem());
    folder
}

/// A proxy for this server, whose file `ca.pem` has this authority.
fn trusting(server: &Server, authority: &Authority, lines: &str) -> Builder {
    let builder = Proxy::with_endpoints([server.place()]).upstream(lines);
    write(builder.folder(), "ca.pem", authority.pem());
    builder
}

const TRUSTING: &str = "tls = { ca = \"ca.pem\", server_name = \"a.test\" }";

/// Served where the endpoint is who it should be, refused where its name or its authority is another.
async fn is_verified(server: &Server, authority: &Authority, name: &str) {
    let right = trusting(server, authority, TRUSTING).start().await;
    for _ in 0..3 {
        let answer = right.client().get("/").send().await;
        assert!(answer.status == 200 && answer.text().starts_with(name), "{answer:?}");
    }
    let misnamed = TRUSTING.replace("a.test", "b.test");
    for (wrong, why) in [
        (trusting(server, authority, &misnamed), "its certificate is not for b.test"),
        (trusting(server, &Authority::new("Another"), TRUSTING), "an authority that is not trusted"),
    ] {
        let wrong = wrong.start().await;
        assert_eq!(wrong.client().get("/").send().await.status, 502, "{why}");
        wrong.logs(why).await;
    }
}

#[tokio::test]
async fn nginx_is_verified_before_it_gets_a_request() {
    let Some(nginx) = program("nginx") else { return };
    let authority = Authority::new("Test Authority");
    let folder = folder(&authority);
    for versions in ["TLSv1.2", "TLSv1.3", "TLSv1.2 TLSv1.3"] {
        let more = format!("ssl_certificate site.pem; ssl_certificate_key site.key; ssl_protocols {versions};");
        let server = Server::nginx(&nginx, folder.path(), "ssl", &more).await;
        is_verified(&server, &authority, "nginx HTTP/1.1").await;
    }
}

#[tokio::test]
async fn haproxy_is_verified_before_it_gets_a_request() {
    let Some(haproxy) = program("haproxy") else { return };
    let authority = Authority::new("Test Authority");
    let folder = folder(&authority);
    for versions in ["ssl-max-ver TLSv1.2", "ssl-min-ver TLSv1.3"] {
        let bind = format!("ssl crt {} alpn h2,http/1.1 {versions}", folder.path().join("both.pem").display());
        let server = Server::haproxy(&haproxy, folder.path(), &bind).await;
        is_verified(&server, &authority, "haproxy HTTP/1.1").await;
    }
}

#[tokio::test]
async fn servers_that_ask_who_we_are_are_shown_our_certificate() {
    let authority = Authority::new("Test Authority");
    let folder = folder(&authority);
    let own =
        "tls = { ca = \"ca.pem\", server_name = \"a.test\", certificate = { cert = \"own.pem\", key = \"own.key\" } }";
    let shows = async |server: &Server| {
        let builder = trusting(server, &authority, own);
        authority.client("proxy").make().write(builder.folder(), "own");
        let proxy = builder.start().await;
        proxy.client().get("/").send().await
    };
    let hides = async |server: &Server| {
        let proxy = trusting(server, &authority, TRUSTING).start().await;
        proxy.client().get("/").send().await.status
    };
    if let Some(nginx) = program("nginx") {
        let more = "ssl_certificate site.pem; ssl_certificate_key site.key; ssl_protocols TLSv1.2 TLSv1.3; \
                    ssl_client_certificate ca.pem; ssl_verify_client on;";
        let server = Server::nginx(&nginx, folder.path(), "ssl", more).await;
        let shown = shows(&server).await;
        assert!(shown.status == 200 && shown.text().contains("CN=proxy"), "{shown:?}");
        // It answers instead of ending the handshake.
        assert_eq!(hides(&server).await, 400);
    }
    if let Some(haproxy) = program("haproxy") {
        let [both, ca] = ["both.pem", "ca.pem"].map(|name| folder.path().join(name).display().to_string());
        for version in ["TLSv1.2", "TLSv1.3"] {
            let bind =
                format!("ssl crt {both} ca-file {ca} verify required ssl-min-ver {version} ssl-max-ver {version}");
            let server = Server::haproxy(&haproxy, folder.path(), &bind).await;
            assert_eq!(shows(&server).await.status, 200, "{version}");
            assert_eq!(hides(&server).await, 502, "{version}");
        }
    }
}

#[tokio::test]
async fn nginx_that_ends_each_connection_after_ten_requests_serves_eighty_at_a_time() {
    let Some(nginx) = program("nginx") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::nginx(&nginx, folder.path(), "http2", "keepalive_requests 10;").await;
    let upstream = "protocol = \"h2c\"\ntimeouts.connect = \"20s\"";
    let proxy = Proxy::with_endpoints([server.place()]).upstream(upstream).start().await;

    let clients: Vec<_> = (0..80)
        .map(|_| {
            let client = proxy.client();
            tokio::spawn(async move { client.post("/", "pay").repeat(10).statuses().await })
        })
        .collect();

    for statuses in clients {
        assert_eq!(in_time("answers", statuses).await.unwrap(), [200; 10]);
    }
}

#[tokio::test]
async fn both_speak_http_2_behind_us() {
    let folder = tempfile::tempdir().unwrap();
    let mut servers = Vec::new();
    if let Some(nginx) = program("nginx") {
        servers.push((Server::nginx(&nginx, folder.path(), "http2", "").await, "nginx HTTP/2.0"));
    }
    if let Some(haproxy) = program("haproxy") {
        servers.push((Server::haproxy(&haproxy, folder.path(), "proto h2").await, "haproxy HTTP/2.0"));
    }
    for (server, begin) in servers {
        let proxy = Proxy::with_endpoints([server.place()]).upstream("protocol = \"h2c\"").start().await;
        for answer in proxy.client().get("/").repeat(20).responses().await {
            assert!(answer.status == 200 && answer.text().starts_with(begin), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn both_understand_our_proxy_headers_with_tls_and_without() {
    let authority = Authority::new("Test Authority");
    let folder = folder(&authority);
    let both = folder.path().join("both.pem").display().to_string();
    let tls = "ssl_certificate site.pem; ssl_certificate_key site.key; ssl_protocols TLSv1.2 TLSv1.3;";
    for (secured, client) in [(false, "127.0.0.7"), (true, "127.0.0.8")] {
        let mut servers = Vec::new();
        if let Some(nginx) = program("nginx") {
            let (listen, more) = if secured { ("proxy_protocol ssl", tls) } else { ("proxy_protocol", "") };
            servers.push(Server::nginx(&nginx, folder.path(), listen, more).await);
        }
        if let Some(haproxy) = program("haproxy") {
            let bind = if secured { format!("accept-proxy ssl crt {both}") } else { "accept-proxy".to_owned() };
            servers.push(Server::haproxy(&haproxy, folder.path(), &bind).await);
        }
        for (server, version) in servers.iter().flat_map(|server| [(server, "v1"), (server, "v2")]) {
            let lines = format!("proxy_protocol = \"{version}\"\n{}", if secured { TRUSTING } else { "" });
            let proxy = trusting(server, &authority, &lines).start().await;
            let answer = proxy.client().from_address(client.parse().unwrap()).get("/").send().await;
            assert!(answer.status == 200 && answer.text().ends_with(client), "{version}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn haproxy_in_front_says_for_whom_it_speaks() {
    let Some(haproxy) = program("haproxy") else { return };
    let authority = Authority::new("Test Authority");
    let origin = evenkeel_testkit::Origin::http1().start().await;
    let believing = "proxy_protocol = true\nproxy_protocol_from = [\"127.0.0.1/32\"]";
    for (send, tls) in [("send-proxy", ""), ("send-proxy-v2", ""), ("send-proxy-v2", SITE)] {
        let folder = folder(&authority);
        let builder = Proxy::with_upstream(&origin).listener(believing).listener(tls);
        authority.server(&["a.test"]).make().write(builder.folder(), "site");
        let proxy = builder.start().await;
        let (port, ca) = (unused_port(), folder.path().join("ca.pem").display().to_string());
        let ssl =
            if tls.is_empty() { String::new() } else { format!("ssl ca-file {ca} sni str(a.test) verifyhost a.test") };
        let lines = format!(
            "mode http\n bind 127.0.0.1:{port}\n http-request set-header host a.test\n server s 127.0.0.1:{} {send} {ssl}",
            proxy.web().port()
        );
        let _front = Server::haproxy_with(&haproxy, folder.path(), port, &lines).await;

        let client = evenkeel_testkit::Client::of(&evenkeel_testkit::Place::parse(&format!("127.0.0.1:{port}")));
        let client = client.from_address("127.0.0.9".parse().unwrap());
        let answer = in_time("an answer", client.get("/").send()).await;

        assert_eq!(answer.status, 200, "{send} {ssl}: {answer:?}");
        assert_eq!(origin.last_seen().header("x-forwarded-for"), Some("127.0.0.9"), "{send} {ssl}");
    }
}

/// Spellings that some program takes for `/admin/x`, and others that none does.
fn spellings() -> Vec<String> {
    let starts =
        ["", "/", "/static/..", "/static%2f..", "/static/%2e%2E", "/static/.%2e;", "/a//..", "/;x", "/%2e", "/x"];
    let slashes = ["/", "//", "%2f", "%5C"];
    let names = ["admin", "%61dm%69n", "ADMIN", "admin;x", "admin%2f."];
    let mut paths = Vec::new();
    for (start, slash) in starts.iter().flat_map(|start| slashes.map(|slash| (start, slash))) {
        for (name, last) in names.iter().flat_map(|name| slashes.map(|slash| (name, slash))) {
            paths.push(format!("{start}{slash}{name}{last}x"));
        }
    }
    paths.retain(|path| path.starts_with('/'));
    paths
}

#[tokio::test]
async fn no_spelling_of_a_guarded_path_that_nginx_understands_reaches_it() {
    let Some(nginx) = program("nginx") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::nginx(&nginx, folder.path(), "", "location /admin/ { return 200 secret; }").await;
    let guard = "path_prefix = \"/admin\"\nmerge_slashes = true\ndecode_slashes = true\n\
                 filters = [{ fixed_response = { status = 403 } }]";
    let proxy = Proxy::with_endpoints([server.place()])
        .more(&format!("[[routes]]\n{guard}\n[[routes]]\npath_prefix = \"/static\"\nupstream = \"site\""))
        .start()
        .await;
    let direct = Place::parse(&server.place());
    let mut understood = 0;

    for path in spellings() {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        understood += u32::from(Wire::exchange(&direct, &request).await.text() == "secret");
        assert_ne!(Wire::exchange(proxy.web(), &request).await.text(), "secret", "{path}");
    }
    assert!(understood > 50, "nginx understands only {understood}");
}

//! Unix sockets on both sides.

use evenkeel_testkit::{Client, Origin, Place, Proxy, Signal};
use std::os::unix::fs::FileTypeExt;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
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

//! The ends of a session within TLS: what close_notify says there is what FIN says without.

use super::{each, echo, ended, is_quiet, leading};
use evenkeel_testkit::{Authority, Builder, Ending, RawOrigin, Script, TlsClient, eventually};
use std::{
    fmt::Display,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A tcp listener with TLS, and clients of both versions.
fn secure(endpoint: impl Display, upstream: &str) -> (Builder, [(TlsClient, &'static str); 2]) {
    let authority = Authority::new("Test Authority");
    let builder = leading("tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]", [endpoint], upstream);
    authority.server(&["a.test"]).make().write(builder.folder(), "a");
    let clients = [(TlsClient::new(&authority, "a.test"), "1.3"), (TlsClient::old(&authority, "a.test"), "1.2")];
    (builder, clients)
}

#[tokio::test]
async fn the_client_may_end_first_and_still_hear_the_rest() {
    // It says nothing before it has heard the end.
    let endpoint = each(async |mut socket: TcpStream| {
        let mut heard = b"heard: ".to_vec();
        if socket.read_to_end(&mut heard).await.is_ok() {
            let _ = socket.write_all(&heard).await;
        }
    });
    let (builder, clients) = secure(endpoint.await, "");
    let proxy = builder.start().await;
    for (n, (client, version)) in clients.into_iter().enumerate() {
        let mut secured = client.connect(proxy.web()).await;
        assert_eq!(secured.version, version);

        secured.wire.send("that is all").await;
        secured.wire.finish().await;

        // An end without close_notify would be no `Fin`.
        assert_eq!(secured.wire.rest().await, (b"heard: that is all".to_vec(), Ending::Fin), "{version}");
        ended(&proxy, "complete", u32::try_from(n).expect("two") + 1).await;
    }
    is_quiet(&proxy).await;
}

#[tokio::test]
async fn the_endpoint_may_end_first_and_still_hear_the_rest() {
    let origin = RawOrigin::start(Script::new().sends("that is all").finishes_writing()).await;
    let (builder, clients) = secure(&origin, "");
    let proxy = builder.start().await;
    for (n, (client, version)) in clients.into_iter().enumerate() {
        let mut secured = client.connect(proxy.web()).await;
        assert_eq!(secured.wire.rest().await, (b"that is all".to_vec(), Ending::Fin), "{version}");

        secured.wire.send("the rest").await;
        eventually("the rest arrives", || origin.received(n) == b"the rest").await;
        assert_eq!(origin.ended(n), None, "the client has not ended yet");
        secured.wire.finish().await;

        assert_eq!(origin.is_left(n).await, Ending::Fin, "{version}");
        ended(&proxy, "complete", u32::try_from(n).expect("two") + 1).await;
    }
    is_quiet(&proxy).await;
}

#[tokio::test]
async fn a_session_within_tls_in_which_nothing_moves_is_closed_and_one_in_which_something_does_is_not() {
    let (builder, clients) = secure(echo().await, "timeouts = { tunnel_idle = \"600ms\" }");
    let proxy = builder.start().await;
    for (n, (client, version)) in clients.into_iter().enumerate() {
        let mut wire = client.connect(proxy.web()).await.wire;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1200) {
            wire.send("x").await;
            wire.bytes(1).await;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }

        let quiet = Instant::now();
        wire.closed().await;

        assert!((300..4000).contains(&quiet.elapsed().as_millis()), "{version}: {:?}", quiet.elapsed());
        ended(&proxy, "idle", u32::try_from(n).expect("two") + 1).await;
    }
    is_quiet(&proxy).await;
}

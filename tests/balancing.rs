//! Who gets the next request.

use evenkeel_testkit::{Answer, Client, DeadEndpoint, Origin, Proxy, Wire, eventually};
use std::{collections::BTreeMap, fmt::Write, time::Duration};

async fn named<const N: usize>(names: [&str; N]) -> Vec<Origin> {
    let mut origins = Vec::new();
    for name in names {
        // `/hold` is answered when nobody waits for it any more.
        let hold = Answer::echo().after(Duration::from_mins(10));
        origins.push(Origin::http1().named(name).at("/hold", hold).start().await);
    }
    origins
}

fn counts(origins: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in origins {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// A request that stays in flight until dropped: sent, and arrived at one of the origins.
async fn held(proxy: &Proxy, origins: &[Origin]) -> Wire {
    let in_flight = || origins.iter().map(Origin::in_flight).sum::<usize>();
    let before = in_flight();
    let mut wire = proxy.wire().await;
    wire.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the held request has arrived", || in_flight() == before + 1).await;
    wire
}

/// A configuration with weights.
fn weighted(balance: &str, endpoints: &[(&Origin, u16)]) -> String {
    let mut text = format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nupstream = \"site\"\n\
         [upstreams.site]\nbalance = \"{balance}\"\nendpoints = [\n"
    );
    for (origin, weight) in endpoints {
        writeln!(text, "{{ address = \"{origin}\", weight = {weight} }},").expect("text can be written to");
    }
    text + "]\n"
}

#[tokio::test]
async fn round_robin_gives_each_window_its_exact_shares_and_spreads_the_heavy_one() {
    let origins = named(["a", "b", "c"]).await;
    let text = weighted("round_robin", &[(&origins[0], 5), (&origins[1], 1), (&origins[2], 1)]);
    let proxy = Proxy::with_config(&text).workers(1).start().await;

    let order = proxy.client().get("/").repeat(70).origins().await;

    for window in order.windows(7) {
        let shares = counts(window.iter().cloned());
        assert_eq!((shares["a"], shares["b"], shares["c"]), (5, 1, 1), "{order:?}");
    }
    // a a b a c a a, from any of its places on.
    let twice = "aabacaaaabacaa";
    assert!(twice.contains(&order[..7].concat()), "{order:?}");
}

#[tokio::test]
async fn round_robin_is_exact_on_each_of_two_workers() {
    let origins = named(["a", "b"]).await;
    let proxy = Proxy::with_endpoints(&origins).upstream("balance = \"round_robin\"").start().await;

    for _ in 0..4 {
        // A connection stays with its worker.
        let shares = counts(proxy.client().get("/").repeat(50).origins().await);
        assert_eq!((shares["a"], shares["b"]), (25, 25));
    }
}

#[tokio::test]
async fn least_connections_counts_over_all_workers() {
    let origins = named(["a", "b", "c"]).await;
    let proxy = Proxy::with_endpoints(&origins).upstream("balance = \"least_connections\"").start().await;

    let mut wires = Vec::new();
    for n in 1..=12 {
        wires.push(held(&proxy, &origins).await);
        let in_flight: Vec<_> = origins.iter().map(Origin::in_flight).collect();
        let (least, most) = (in_flight.iter().min().unwrap(), in_flight.iter().max().unwrap());
        assert!(most - least <= 1, "{in_flight:?} of {n}");
    }
}

#[tokio::test]
async fn least_connections_divides_by_the_weight() {
    let origins = named(["a", "b"]).await;
    let proxy = Proxy::with_config(&weighted("least_connections", &[(&origins[0], 3), (&origins[1], 1)])).start().await;

    let mut wires = Vec::new();
    for _ in 0..8 {
        wires.push(held(&proxy, &origins).await);
    }

    assert_eq!((origins[0].in_flight(), origins[1].in_flight()), (6, 2));
}

#[tokio::test]
async fn with_little_traffic_least_connections_gives_shares_by_weight() {
    let origins = named(["a", "b", "c"]).await;
    let text = weighted("least_connections", &[(&origins[0], 5), (&origins[1], 1), (&origins[2], 1)]);
    let proxy = Proxy::with_config(&text).start().await;

    // One connection, one worker: one request at a time.
    let shares = counts(proxy.client().get("/").repeat(70).origins().await);

    assert_eq!((shares["a"], shares["b"], shares["c"]), (50, 10, 10));
}

#[tokio::test]
async fn under_load_the_default_comes_near_to_shares_by_weight() {
    let slow = || Answer::echo().after(Duration::from_millis(2));
    let (heavy, light) = (Origin::http1().answers(slow()).start().await, Origin::http1().answers(slow()).start().await);
    let text = weighted("power_of_two", &[(&heavy, 9), (&light, 1)]);
    let proxy = Proxy::with_config(&text).start().await;

    let report = proxy.load().kept(8).rate(2_000).requests(3_000).run().await;

    assert_eq!((report.failed, report.answered()), (0, 3_000), "{report:?}");
    // Shares of 10 %; it had 40 % and more.
    assert!((100..=600).contains(&light.requests()), "{} of 3000", light.requests());
}

#[tokio::test]
async fn of_two_the_default_takes_the_one_with_fewer_in_flight() {
    let origins = named(["a", "b"]).await;
    let proxy = Proxy::with_endpoints(&origins).start().await;

    let mut wires = Vec::new();
    for _ in 0..10 {
        wires.push(held(&proxy, &origins).await);
    }

    assert_eq!((origins[0].in_flight(), origins[1].in_flight()), (5, 5));
}

#[tokio::test]
async fn in_flight_is_given_back_when_a_client_leaves() {
    let origins = named(["a", "b"]).await;
    let proxy = Proxy::with_endpoints(&origins).upstream("balance = \"least_connections\"").start().await;

    let held: Vec<_> = [held(&proxy, &origins).await, held(&proxy, &origins).await].into();
    proxy.metrics_show("two in flight", |m| m.sum("evenkeel_endpoint_requests_in_flight", &[]) > 1.5).await;
    drop(held);

    proxy.is_idle().await;
    eventually("the endpoints are told", || origins.iter().all(|origin| origin.in_flight() == 0)).await;
}

#[tokio::test]
async fn random_gives_everyone_something() {
    let origins = named(["a", "b"]).await;
    let proxy = Proxy::with_endpoints(&origins).upstream("balance = \"random\"").start().await;

    let shares = counts(proxy.client().get("/").repeat(200).origins().await);

    // Below 50 of 200 has a probability under 10^-12.
    assert!(shares["a"] >= 50 && shares["b"] >= 50, "{shares:?}");
}

/// Who serves each of these client addresses.
async fn map(proxy: &Proxy, clients: u8) -> Vec<String> {
    let client = proxy.client();
    let mut served = Vec::new();
    for n in 0..clients {
        let response = client.get("/").header("x-forwarded-for", &format!("203.0.113.{n}")).send().await;
        served.push(response.origin().to_owned());
    }
    served
}

const TRUSTING: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

#[tokio::test]
async fn with_ip_hash_a_client_stays_with_its_endpoint_in_every_process() {
    let origins = named(["a", "b", "c"]).await;
    let start = || Proxy::with_endpoints(&origins).top(TRUSTING).upstream("balance = \"ip_hash\"").start();
    let (one, other) = (start().await, start().await);

    let first = map(&one, 100).await;

    assert_eq!(counts(first.clone()).len(), 3, "all get something: {first:?}");
    assert_eq!(map(&one, 100).await, first, "again");
    assert_eq!(map(&other, 100).await, first, "another process");
}

#[tokio::test]
async fn with_ip_hash_a_draining_endpoint_moves_only_its_own_clients() {
    let origins = named(["a", "b", "c"]).await;
    let text = |drain: bool| {
        format!(
            "{TRUSTING}\n[listeners.web]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nupstream = \"site\"\n[upstreams.site]\n\
             balance = \"ip_hash\"\nendpoints = [{{ address = \"{}\", drain = {drain} }}, \"{}\", \"{}\"]\n",
            origins[0], origins[1], origins[2]
        )
    };
    let proxy = Proxy::with_config(&text(false)).start().await;
    let before = map(&proxy, 100).await;

    proxy.reload_with(&text(true)).await;

    let after = map(&proxy, 100).await;
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(after, "a");
        assert!(before == "a" || before == after, "{before} moved to {after}");
    }
}

#[tokio::test]
async fn with_ip_hash_the_key_is_the_peer_unless_it_is_a_trusted_proxy() {
    let origins = named(["a", "b", "c"]).await;
    let proxy = Proxy::with_endpoints(&origins).upstream("balance = \"ip_hash\"").start().await;

    let served = map(&proxy, 50).await;
    assert_eq!(counts(served.clone()).len(), 1, "what a stranger claims is not believed: {served:?}");

    let mut peers = Vec::new();
    for n in 1..=50 {
        let client = Client::of(proxy.web()).from_address([127, 0, 1, n].into());
        peers.push(client.get("/").send().await.origin().to_owned());
    }
    assert_eq!(counts(peers).len(), 3, "other peers, other endpoints");
}

#[tokio::test]
async fn a_draining_endpoint_gets_no_new_request_and_ends_what_it_has() {
    let (gate, slow) = (Origin::http1().named("slow"), Answer::text("done").after(Duration::from_millis(300)));
    let slow = gate.at("/slow", slow).start().await;
    let other = Origin::http1().named("other").at("/slow", Answer::text("other")).start().await;
    let text = |drain: bool| {
        format!(
            "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nupstream = \"site\"\n[upstreams.site]\n\
             balance = \"round_robin\"\nendpoints = [{{ address = \"{slow}\", drain = {drain} }}, \"{other}\"]\n"
        )
    };
    let proxy = Proxy::with_config(&text(false)).start().await;
    // One of two connections to each worker gets there.
    let client = proxy.client();
    let under_way = async {
        loop {
            let response = client.get("/slow").send().await;
            if response.origin() == "slow" {
                return response;
            }
        }
    };
    let drain = async {
        eventually("a request is at the endpoint", || slow.in_flight() == 1).await;
        proxy.reload_with(&text(true)).await;
    };

    let (answer, ()) = tokio::join!(under_way, drain);

    assert_eq!(answer.text(), "done");
    let before = slow.requests();
    assert_eq!(proxy.client().get("/").repeat(50).origins().await, vec!["other"; 50]);
    assert_eq!(slow.requests(), before);
}

#[tokio::test]
async fn when_all_endpoints_drain_the_answer_is_503_at_once() {
    let origin = Origin::http1().start().await;
    let text = format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nupstream = \"site\"\n[upstreams.site]\n\
         endpoints = [{{ address = \"{origin}\", drain = true }}]\n"
    );
    let proxy = Proxy::with_config(&text).start().await;

    assert_eq!(proxy.client().get("/").repeat(3).statuses().await, [503; 3]);
    proxy.counts_local("no_endpoint", 3).await;
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn every_algorithm_leaves_a_refusing_endpoint_unnoticed() {
    for balance in ["round_robin", "least_connections", "ip_hash", "power_of_two", "random"] {
        let (dead, origin) = (DeadEndpoint::refusing(), Origin::http1().named("alive").start().await);
        let endpoints = [dead.to_string(), origin.to_string()];
        let proxy = Proxy::with_endpoints(&endpoints).upstream(&format!("balance = \"{balance}\"")).start().await;

        let served = proxy.client().get("/").repeat(30).origins().await;

        assert_eq!(served, ["alive"; 30], "{balance}");
    }
}

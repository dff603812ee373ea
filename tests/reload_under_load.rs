//! The promise of hot reload, in full: a hundred changes under two thousand requests a second, and nobody notices.

use evenkeel_testkit::{Client, Edit, Origin, Place, Proxy, unused_port};
use std::{fmt::Write, time::Duration};

struct Fleet {
    /// Always there.
    stay: Vec<Origin>,
    /// Come and go.
    move_: Vec<Origin>,
    /// Always there, and never healthy.
    sick: Origin,
    ports: [u16; 2],
}

impl Fleet {
    async fn start() -> Self {
        let (mut stay, mut move_) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            stay.push(Origin::http1().start().await);
            move_.push(Origin::http1().start().await);
        }
        let sick = Origin::http1().start().await;
        sick.set_healthy(false);
        Self { stay, move_, sick, ports: [unused_port(), unused_port()] }
    }

    /// The n-th configuration: endpoints, routes and listeners come and go.
    fn file(&self, n: usize) -> String {
        let come = self.move_.iter().enumerate().filter(|(place, _)| (n >> place) & 1 == 1).map(|(_, origin)| origin);
        let endpoints: Vec<_> =
            self.stay.iter().chain([&self.sick]).chain(come).map(|origin| format!("\"{origin}\"")).collect();
        let mut text = "[listeners.web]\nlisten = \"127.0.0.1:0\"\n".to_owned();
        if let Some(place) = self.listener(n) {
            write!(text, "[listeners.extra{}]\nlisten = \"{place}\"\n", n % 2).expect("text can be written to");
        }
        for route in 0..n % 4 {
            write!(text, "[[routes]]\npath_prefix = \"/extra/{route}/{n}\"\nupstream = \"site\"\n")
                .expect("text can be written to");
        }
        write!(
            text,
            "[[routes]]\nname = \"all\"\nupstream = \"site\"\n[upstreams.site]\nendpoints = [{}]\n\
             health = {{ http = \"/health\", interval = \"500ms\", healthy_after = 1, unhealthy_after = 1 }}\n# {n}\n",
            endpoints.join(", ")
        )
        .expect("text can be written to");
        text
    }

    /// The listener that comes and goes: there three times of four, on one of two ports.
    fn listener(&self, n: usize) -> Option<Place> {
        (!n.is_multiple_of(4)).then(|| Place::parse(&format!("127.0.0.1:{}", self.ports[n % 2])))
    }
}

async fn nobody_notices(workers: usize, rate: u32, reloads: usize) {
    let fleet = Fleet::start().await;
    let proxy = Proxy::with_config(&fleet.file(0)).workers(workers).start().await;
    proxy.sees(&fleet.sick, false).await;
    for origin in &fleet.stay {
        proxy.sees(origin, true).await;
    }
    let (kept, fresh) = (16, 8);
    let load = proxy.load().kept(kept).fresh(fresh).rate(rate).time(Duration::from_secs(120)).start();

    for n in 1..=reloads {
        proxy.reload_by([Edit::RenameOver, Edit::TruncateAndWrite][n % 2], &fleet.file(n)).await;
        if let Some(place) = fleet.listener(n) {
            assert_eq!(Client::of(&place).get("/extra").status().await, 200, "on {place} after reload {n}");
        }
        load.answers_more(20).await;
    }

    let report = load.stop().await;
    println!("{workers} workers, {reloads} reloads: {report:?}");
    report.assert_all_ok();
    assert_eq!(fleet.sick.requests(), 0, "the sick endpoint was asked");
    // Idle pools live on: each worker needs no more connections to an endpoint than it ever had requests in flight.
    for origin in &fleet.stay {
        let opened = origin.connections() - origin.probes();
        let most = (kept + fresh) as usize * workers;
        assert!(opened <= most, "{opened} connections to an endpoint that stayed, where {most} would do");
    }
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_hundred_reloads_at_two_thousand_requests_a_second_fail_no_request() {
    nobody_notices(2, 2_000, 100).await;
}

#[tokio::test]
async fn with_one_worker_as_well() {
    nobody_notices(1, 500, 30).await;
}

/// The n-th configuration of an upstream of which nothing stays: not its endpoint, and in turn not its name, its
/// algorithm, its probes, its timeouts.
fn all_changed(n: usize, origins: &[Origin; 2]) -> String {
    let name = ["site", "site", "renamed"][n % 3];
    let balance = ["round_robin", "least_connections", "ip_hash", "power_of_two", "random"][n % 5];
    let health = ["", "health = { http = \"/health\", interval = \"500ms\" }"][n / 2 % 2];
    format!(
        "[listeners.web]\nlisten = \"127.0.0.1:0\"\ntimeouts.idle = \"{}s\"\n[[routes]]\nname = \"r{}\"\nupstream = \"{name}\"\n\
         [upstreams.{name}]\nendpoints = [\"{}\"]\nbalance = \"{balance}\"\ntimeouts.connect = \"{}s\"\n{health}\n# {n}\n",
        60 + n % 3,
        n % 4,
        origins[n % 2],
        1 + n % 4,
    )
}

#[tokio::test]
async fn replacing_every_endpoint_at_once_fails_no_request() {
    let origins = [Origin::http1().start().await, Origin::http1().start().await];
    let proxy = Proxy::with_config(&all_changed(0, &origins)).start().await;
    let load = proxy.load().kept(16).fresh(4).rate(1_500).time(Duration::from_secs(120)).start();

    for n in 1..=60 {
        proxy.reload_with(&all_changed(n, &origins)).await;
        load.answers_more(20).await;
    }

    load.stop().await.assert_all_ok();
    proxy.is_idle().await;
}

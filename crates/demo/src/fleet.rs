//! The three built-in endpoints together, in a thread of their own, and the configuration that balances over them.

use crate::{endpoint, temper::Temper};
use evenkeel_model::Address;
use std::{
    fmt::Write as _,
    io,
    net::{Ipv4Addr, SocketAddr},
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// One built-in endpoint, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it calls itself in its answers.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    manner: &'static str,
}

/// The running endpoints. Dropping it stops them.
#[must_use = "dropping it stops the endpoints"]
#[derive(Debug)]
pub struct Fleet {
    members: Vec<Member>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fleet {
    /// Starts steady, slow and moody on ports of 127.0.0.1 that the kernel chooses.
    ///
    /// # Errors
    /// When a port cannot be bound or a thread not be started.
    pub fn start() -> io::Result<Self> {
        Self::start_with(Temper::all())
    }

    pub(crate) fn start_with(tempers: impl IntoIterator<Item = Temper>) -> io::Result<Self> {
        let mut members = Vec::new();
        let mut bound = Vec::new();
        for temper in tempers {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            members.push(Member { name: temper.name, address, manner: temper.manner });
            bound.push((listener, address, temper));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let lives = {
            let _inside = runtime.enter();
            let live = |(listener, address, temper)| {
                Ok(endpoint::live(tokio::net::TcpListener::from_std(listener)?, address, temper))
            };
            bound.into_iter().map(live).collect::<io::Result<Vec<_>>>()?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("demo-fleet".to_owned()).spawn(move || {
            for life in lives {
                runtime.spawn(life);
            }
            // Ends, with an error, when the sender is dropped.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { members, stop: Some(stop), thread: Some(thread) })
    }

    /// The endpoints, in the order of the configuration.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Where they listen, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.address).collect()
    }

    /// A configuration file that listens on `listen` and `admin` and balances over this fleet: short, explained, and
    /// meant to be edited while the demo runs.
    #[must_use]
    pub fn config_toml(&self, listen: &Address, admin: &Address) -> String {
        let mut endpoints = String::new();
        for Member { name, address, manner } in &self.members {
            let entry = format!("{{ address = \"{address}\", weight = 1 }},");
            writeln!(endpoints, "  {entry:<48}# {name}: {manner}").expect("writing to a String does not fail");
        }
        format!(
            r#"# The configuration of the running demo. Change it and save: every key is live.
# A mistake changes nothing; what ran before runs on, and the picture says so.

[admin]
listen = "{admin}"            # /metrics /livez /readyz and the API

[listeners.web]
listen = "{listen}"

[[routes]]
upstream = "fleet"

[upstreams.fleet]
balance = "power_of_two"              # try round_robin, least_connections, ip_hash or random
endpoints = [                         # try another weight, drain = true, or take one out
{endpoints}]

[upstreams.fleet.health]              # try without this section: moody's bad answers reach the clients
http = "/health"
interval = "500ms"
timeout = "400ms"
healthy_after = 1
unhealthy_after = 1

[drain]
grace = "10ms"                        # nobody balances over a demo
"#
        )
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The only error is a panic over there, which has been reported already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        scrape::fetch,
        temper::{Moods, NAP},
    };
    use std::{
        io::{Read, Write},
        net::TcpStream,
        time::{Duration, Instant},
    };

    const FOREVER: Duration = Duration::from_secs(3_600);

    fn one(moods: Option<Moods>, nap: Duration) -> (Fleet, SocketAddr) {
        let temper = Temper { name: "test", manner: "", thinks: 0..=0, moods, nap };
        let fleet = Fleet::start_with([temper]).unwrap();
        let address = fleet.addresses()[0];
        (fleet, address)
    }

    fn moods(well: Duration, uneasy: Duration, sick: Duration) -> Option<Moods> {
        Some(Moods { well, uneasy, sick })
    }

    fn post(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn each_of_the_three_answers_with_its_name_and_is_well_at_first() {
        let fleet = Fleet::start().unwrap();
        let names: Vec<_> = fleet.members().iter().map(|member| member.name).collect();
        assert_eq!(names, ["steady", "slow", "moody"]);
        for member in fleet.members() {
            assert_eq!(fetch(member.address, "/").unwrap(), format!("hello from {}\n", member.name));
            assert_eq!(fetch(member.address, "/health").unwrap(), "ok\n");
        }
    }

    #[test]
    fn an_uneasy_endpoint_says_so_before_its_answers_fail() {
        let (_uneasy, uneasy) = one(moods(Duration::ZERO, FOREVER, FOREVER), NAP);
        let (_sick, sick) = one(moods(Duration::ZERO, Duration::ZERO, FOREVER), NAP);

        assert!(fetch(uneasy, "/health").is_err());
        assert_eq!(fetch(uneasy, "/").unwrap(), "hello from test\n");
        assert!(fetch(sick, "/health").is_err());
        assert!(fetch(sick, "/").is_err());
    }

    #[test]
    fn a_killed_endpoint_answers_its_killer_hangs_up_on_all_others_and_stays_away() {
        let (_fleet, address) = one(None, FOREVER);
        let mut other = TcpStream::connect(address).unwrap();
        write!(other, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut first = [0; 1];
        other.read_exact(&mut first).unwrap();

        let answer = post(address, "/kill");

        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("test goes away"), "{answer}");
        let mut rest = Vec::new();
        let _ = other.read_to_end(&mut rest);
        eventually("nobody listens", || TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_killed_endpoint_comes_back_on_its_address() {
        let (_fleet, address) = one(None, Duration::from_millis(1));
        post(address, "/kill");
        eventually("it answers again", || fetch(address, "/").is_ok());
    }

    #[test]
    fn killing_takes_a_post() {
        let (_fleet, address) = one(None, NAP);
        assert!(fetch(address, "/kill").is_err());
        assert!(fetch(address, "/").is_ok());
    }

    #[test]
    fn the_configuration_names_every_member_and_parses() {
        let fleet = Fleet::start().unwrap();
        let text = fleet.config_toml(&"127.0.0.1:8080".parse().unwrap(), &"127.0.0.1:9901".parse().unwrap());

        let parsed: toml::Table = text.parse().unwrap();

        assert_eq!(parsed["listeners"]["web"]["listen"].as_str(), Some("127.0.0.1:8080"));
        let endpoints = parsed["upstreams"]["fleet"]["endpoints"].as_array().unwrap();
        let written: Vec<_> =
            endpoints.iter().map(|e| e["address"].as_str().unwrap().parse::<SocketAddr>().unwrap()).collect();
        assert_eq!(written, fleet.addresses());
        assert!(text.lines().all(|line| line.len() <= 110), "{text}");
    }
}

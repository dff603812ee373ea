//! The demo itself: starts the load, and once a second counts and draws, until the time is over or somebody stops it.

use crate::{
    fleet::Fleet,
    ledger::{Ledger, Scene},
    load::{Load, Seen},
    picture::{self, Ink, Places},
    scrape::scrape,
};
use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

/// From one picture to the next.
const BEAT: Duration = Duration::from_secs(1);

/// What to show, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The endpoints, for their names.
    pub fleet: &'a Fleet,
    /// The listener that takes the load.
    pub target: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// The running configuration, which a person may edit.
    pub config: &'a Path,
    /// When to end; `None`: when told to.
    pub length: Option<Duration>,
    /// A picture that is drawn over itself, rather than a line a second.
    pub terminal: bool,
}

/// What the load has seen in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Requests that have ended.
    pub requests: u64,
    /// Those of them without a good answer.
    pub failures: u64,
    /// Half of the good answers took no longer than this.
    pub p50: Option<Duration>,
    /// 99 of 100 good answers took no longer than this.
    pub p99: Option<Duration>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, failures, p50, p99 } = *self;
        write!(f, "{requests} requests, {failures} failed, p50 {}, p99 {}", picture::time(p50), picture::time(p99))
    }
}

/// Runs the load and draws on `out` until the length is over, or until `stop` receives something or has lost its sender.
/// Prints the summary as the last line, and returns it. Blocks.
///
/// # Errors
/// When the load cannot be started or `out` cannot be written.
pub fn run(options: &Options<'_>, out: &mut impl Write, stop: &Receiver<()>) -> io::Result<Summary> {
    let members = options.fleet.members();
    let places = Places {
        target: options.target,
        admin: options.admin,
        config: options.config.to_owned(),
        victim: members.first().map(|member| (member.name, member.address)),
    };
    let mut ledger = Ledger::new(members.iter().map(|member| (member.name, member.address.to_string())).collect());
    let mut screen = Screen::open(out, &places, options.terminal)?;
    let load = Load::start(options.target)?;
    let begin = Instant::now();
    let mut look = || {
        let counts = scrape(options.admin).map_err(|error| error.to_string());
        ledger.enter(begin.elapsed(), counts, load.seen())
    };
    look();
    let mut beat = BEAT;
    loop {
        let end = options.length.is_some_and(|length| length <= beat);
        let until = options.length.map_or(beat, |length| beat.min(length));
        let told = stop.recv_timeout(until.saturating_sub(begin.elapsed())) != Err(RecvTimeoutError::Timeout);
        screen.show(&look())?;
        if told || end {
            break;
        }
        // A beat that was missed, on a machine that slept, is not made up for.
        while beat <= begin.elapsed() {
            beat += BEAT;
        }
    }
    let summary = Summary::from(&load.seen());
    drop(load);
    screen.close(&summary)?;
    Ok(summary)
}

impl From<&Seen> for Summary {
    fn from(seen: &Seen) -> Self {
        let Seen { requests, failures, times, .. } = seen;
        Self { requests: *requests, failures: *failures, p50: times.percentile(50), p99: times.percentile(99) }
    }
}

/// Where we draw.
struct Screen<'a, W: Write> {
    out: &'a mut W,
    places: &'a Places,
    terminal: bool,
    ink: Ink,
    /// Lines of the picture that stands there now.
    drawn: usize,
}

impl<'a, W: Write> Screen<'a, W> {
    fn open(out: &'a mut W, places: &'a Places, terminal: bool) -> io::Result<Self> {
        // https://no-color.org: present and not empty.
        let plain = !terminal || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let ink = if plain { Ink::Plain } else { Ink::Coloured };
        // Hide the cursor, and cut long lines rather than wrap them: a wrapped line would make the next picture climb too little
        // (DECTCEM and DECAWM, xterm control sequences).
        let first = if terminal { "\x1b[?25l\x1b[?7l".to_owned() } else { picture::preface(places) };
        out.write_all(first.as_bytes())?;
        out.flush()?;
        Ok(Self { out, places, terminal, ink, drawn: 0 })
    }

    fn show(&mut self, scene: &Scene) -> io::Result<()> {
        let text =
            if self.terminal { self.over(&picture::draw(scene, self.places, self.ink)) } else { picture::line(scene) };
        // In one piece: half a picture would flicker.
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// The picture, preceded by the way up over the one that stands there, each line clearing what it replaces.
    fn over(&mut self, picture: &str) -> String {
        let up = if self.drawn > 0 { format!("\x1b[{}A\r", self.drawn) } else { String::new() };
        self.drawn = picture.lines().count();
        format!("{up}{}\x1b[J", picture.replace('\n', "\x1b[K\r\n"))
    }

    fn close(self, summary: &Summary) -> io::Result<()> {
        writeln!(self.out, "{summary}")?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Screen<'_, W> {
    fn drop(&mut self) {
        if self.terminal {
            // If it cannot be written, nobody looks at it either.
            let _ = self.out.write_all(b"\x1b[?7h\x1b[?25h").and_then(|()| self.out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader},
        net::TcpListener,
        sync::mpsc::channel,
    };

    /// An admin listener that always counts the same.
    fn admin() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = BufReader::new(stream.try_clone().unwrap()).lines();
                head.map_while(Result::ok).find(String::is_empty);
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nevenkeel_requests_total{code=\"200\"} 7\n");
            }
        });
        address
    }

    fn demo(length: Option<Duration>, terminal: bool, stop: &Receiver<()>) -> (Summary, String) {
        let fleet = Fleet::start().unwrap();
        let target = fleet.addresses()[0];
        let options =
            Options { fleet: &fleet, target, admin: admin(), config: Path::new("/tmp/demo.toml"), length, terminal };
        let mut out = Vec::new();
        let summary = run(&options, &mut out, stop).unwrap();
        (summary, String::from_utf8(out).unwrap())
    }

    #[test]
    fn it_ends_in_time_and_closes_with_what_the_load_saw() {
        let (_running, stop) = channel();

        let begin = Instant::now();
        let (summary, out) = demo(Some(Duration::from_millis(1_300)), false, &stop);

        assert!(begin.elapsed() >= Duration::from_millis(1_300));
        assert!(summary.requests > 0, "{out}");
        assert_eq!(summary.failures, 0, "{out}");
        assert!(
            out.ends_with(&format!("\n{} requests, 0 failed, {}\n", summary.requests, latencies(&summary))),
            "{out}"
        );
        assert_eq!(out.lines().filter(|line| line.contains("/s  0 failed")).count(), 2, "{out}");
        assert!(!out.contains('\x1b'), "{out}");
    }

    fn latencies(summary: &Summary) -> String {
        format!("p50 {}, p99 {}", picture::time(summary.p50), picture::time(summary.p99))
    }

    #[test]
    fn it_ends_when_told_and_leaves_the_terminal_as_it_was() {
        let (tell, stop) = channel();
        tell.send(()).unwrap();

        let (_, out) = demo(None, true, &stop);

        assert!(out.starts_with("\x1b[?25l\x1b[?7l"), "{out:?}");
        assert!(out.ends_with("\x1b[?7h\x1b[?25h"), "{out:?}");
        assert!(out.contains("proxy   7 requests answered"), "{out}");
    }

    #[test]
    fn each_picture_covers_the_one_before() {
        let places = Places {
            target: ([127, 0, 0, 1], 1).into(),
            admin: ([127, 0, 0, 1], 2).into(),
            config: "/tmp/demo.toml".into(),
            victim: None,
        };
        let mut out = Vec::new();
        let mut screen = Screen::open(&mut out, &places, true).unwrap();
        let first = screen.over("a\nb\n");
        let second = screen.over("c\n");

        assert_eq!(first, "a\x1b[K\r\nb\x1b[K\r\n\x1b[J");
        assert_eq!(second, "\x1b[2A\rc\x1b[K\r\n\x1b[J");
    }
}

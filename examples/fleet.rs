//! Three toy services to balance over. Nothing of Evenkeel is in them: they are what would be yours.
//!
//!     cargo run --example fleet -- --for 10m      # on 127.0.0.1:9001, 9002 and 9003
//!
//! Save what it prints as `evenkeel.toml`, then look who answers, and stop one service or change the file meanwhile:
//!
//!     cargo run --release -- run
//!     for i in 1 2 3 4 5 6; do curl http://127.0.0.1:8080/; done
//!
//! `GET /health` is 200; everything else is answered with the service's name, after its time to think. One thread for each connection,
//! which is what a toy can afford.

use anyhow::Context;
use clap::Parser;
use evenkeel_model::parse_duration;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// The services, and how long each one thinks.
const TOYS: [(&str, Duration); 3] =
    [("quick", Duration::ZERO), ("steady", Duration::from_millis(5)), ("slow", Duration::from_millis(20))];

/// Bytes of a request's head; more is nonsense to a toy.
const HEAD_MAX: u64 = 16 * 1024;

#[derive(Parser)]
struct Options {
    /// The port of the first service; the others follow. 0: any free ones.
    #[arg(long, value_name = "PORT", default_value = "9001")]
    port: u16,
    /// End after this time, such as 2s.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, default_value = "10m")]
    time: Duration,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let addresses = start(options.port)?;
    println!("{}", file("127.0.0.1:8080", &addresses));
    thread::sleep(options.time);
    Ok(())
}

/// Starts the three in threads that end with the program, and says where they are.
pub(crate) fn start(first_port: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for (number, (name, thinks)) in (0..).zip(TOYS) {
        let port = if first_port == 0 { 0 } else { first_port + number };
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = bound.with_context(|| format!("port {port} (another one: --port 9101)"))?;
        addresses.push(listener.local_addr()?);
        let toy = Arc::new(Toy { name, thinks, asked: AtomicU64::new(0) });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let toy = Arc::clone(&toy);
                // Its only error is a peer that went away.
                thread::spawn(move || toy.converse(stream));
            }
        });
    }
    Ok(addresses)
}

/// A configuration that balances over them.
pub(crate) fn file(listen: &str, addresses: &[SocketAddr]) -> String {
    let endpoints: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        r#"[admin]
listen = "127.0.0.1:9901"

[listeners.web]
listen = "{listen}"

[[routes]]
upstream = "fleet"

[upstreams.fleet]
endpoints = [{}]
health = {{ http = "/health", interval = "1s" }}
"#,
        endpoints.join(", ")
    )
}

struct Toy {
    name: &'static str,
    thinks: Duration,
    asked: AtomicU64,
}

/// What a toy understands of a request.
struct Request {
    path: String,
    is_head: bool,
    /// `None`: chunked, which is too much for a toy.
    body: Option<u64>,
}

impl Toy {
    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = read(&mut reader)? {
            let Some(body) = request.body else {
                return stream
                    .write_all(b"HTTP/1.1 411 Length Required\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            };
            io::copy(&mut reader.by_ref().take(body), &mut io::sink())?;
            let text = self.answer(&request.path);
            let body = if request.is_head { "" } else { &text };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", text.len());
            stream.write_all((head + body).as_bytes())?;
        }
        Ok(())
    }

    fn answer(&self, path: &str) -> String {
        if path == "/health" {
            return "ok\n".to_owned();
        }
        thread::sleep(self.thinks);
        format!("{} answers {path}, its request number {}\n", self.name, self.asked.fetch_add(1, Relaxed) + 1)
    }
}

/// The next request's head, or `None` when the peer has closed or talks nonsense.
fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut lines = reader.by_ref().take(HEAD_MAX).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(path), Some("HTTP/1.1")) = (words.next(), words.next(), words.next()) else {
        return Ok(None);
    };
    let mut request = Request { path: path.to_owned(), is_head: method == "HEAD", body: Some(0) };
    for line in lines {
        let line = line?.to_ascii_lowercase();
        match line.split_once(':') {
            None if line.is_empty() => return Ok(Some(request)),
            Some(("content-length", length)) => request.body = length.trim().parse().ok(),
            Some(("transfer-encoding", _)) => request.body = None,
            _ => {}
        }
    }
    Ok(None)
}

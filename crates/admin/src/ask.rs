//! Asks a running Evenkeel whether it is ready: for `evenkeel ready`, so for HEALTHCHECK and scripts.
//!
//! Blocking and without a runtime: the process lives for one question.

use evenkeel_model::Address;
use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// How long one attempt may take: below the shortest timeout that people give a HEALTHCHECK.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of the answer that we read. It is one line.
const ANSWER_MAX: u64 = 16 * 1024;

/// Asks the admin listener at `address` (as written in the file) for `/readyz`. Takes two seconds at most for each address that a
/// host name stands for.
///
/// # Errors
/// What it answered, or why it could not be asked, in one line for people.
pub fn ask_ready(address: &Address) -> Result<(), String> {
    let answer = match address {
        Address::Unix(path) => UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            converse(stream, address)
        }),
        Address::Ip(ip) => over_tcp(&[*ip], address),
        Address::Host(name, port) => {
            (name.as_str(), *port).to_socket_addrs().and_then(|found| over_tcp(&found.collect::<Vec<_>>(), address))
        }
    };
    judge(&answer.map_err(|error| format!("cannot ask {address}: {}", plain(&error)))?)
}

fn over_tcp(candidates: &[SocketAddr], address: &Address) -> io::Result<String> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in candidates {
        match ask_one(reachable(*candidate), address) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn ask_one(candidate: SocketAddr, address: &Address) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&candidate, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    converse(stream, address)
}

/// Who listens everywhere is asked over loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

/// One question, and the whole answer. Asked as HTTP/1.0, so that the answer ends with the connection and is never chunked
/// (RFC 9112, section 6.1).
fn converse(mut stream: impl Read + Write, address: &Address) -> io::Result<String> {
    let until = Instant::now() + PATIENCE;
    stream.write_all(format!("GET /readyz HTTP/1.0\r\nHost: {}\r\n\r\n", address.authority()).as_bytes())?;
    let mut answer = Vec::new();
    let mut stream = stream.take(ANSWER_MAX);
    let mut piece = [0; 1024];
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            n => answer.extend_from_slice(&piece[..n]),
        }
        // The socket's timeout starts again with every byte; this one does not.
        if Instant::now() > until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

fn judge(answer: &str) -> Result<(), String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut words = head.lines().next().unwrap_or("").split(' ');
    let version = words.next().unwrap_or("");
    let status = words.next().and_then(|code| code.parse::<u16>().ok());
    match status {
        Some(200) if version.starts_with("HTTP/1.") => Ok(()),
        Some(status) if version.starts_with("HTTP/1.") => match body.lines().next() {
            Some(reason) if !reason.is_empty() => Err(reason.to_owned()),
            _ => Err(format!("answered {status}")),
        },
        _ => Err("what answered is not an admin listener".to_owned()),
    }
}

/// A timeout of a socket option is reported as "would block" (socket(7)), which tells a person nothing.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("no answer within {} s", PATIENCE.as_secs()),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_200_means_ready() {
        assert_eq!(judge("HTTP/1.0 200 OK\r\n\r\nready\n"), Ok(()));
        assert_eq!(judge("HTTP/1.1 503 \r\na: b\r\n\r\nnot ready: draining\n"), Err("not ready: draining".into()));
        assert_eq!(judge("HTTP/1.1 500 Oops\r\n\r\n"), Err("answered 500".into()));
        for nonsense in ["", "SSH-2.0-OpenSSH", "HTTP/1.1", "FTP 200"] {
            assert!(judge(nonsense).is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn who_listens_everywhere_is_asked_over_loopback() {
        for (listens, asked) in
            [("0.0.0.0:9901", "127.0.0.1:9901"), ("[::]:9901", "[::1]:9901"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}

//! What costs how much: a byte costs the same in a long message and in a short one, however small the parts are in which it comes.

use super::{
    body::{Decoder, Part},
    input::{Seen, keep},
    work,
};
use crate::{
    connection::{HeadLimits, read_request_head},
    upstream::read_head,
};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;

/// Bytes that may be copied and parsed for each byte that comes, in all.
const FACTOR: usize = 8;

/// Feeds `bytes` in pieces of this size to `read`, until that says something, and looks at the work.
fn feed<T>(what: &str, bytes: &[u8], size: usize, mut read: impl FnMut(&mut Bytes) -> Option<T>) -> Option<T> {
    work::done();
    let (mut input, mut read_so_far) = (Bytes::new(), 0);
    let mut said = None;
    for piece in bytes.chunks(size) {
        keep(&mut input, &mut BytesMut::from(piece));
        read_so_far += piece.len();
        said = read(&mut input);
        if said.is_some() {
            break;
        }
    }
    let (done, most) = (work::done(), FACTOR * (read_so_far + 64));
    assert!(done <= most, "{what}: {done} bytes of work for {read_so_far} bytes in pieces of {size}");
    said
}

const SIZES: [usize; 4] = [1, 2, 3, 1000];

/// As the connections to clients do.
fn request(bytes: &[u8], size: usize) -> Option<Result<bool, String>> {
    let limits = HeadLimits { bytes: 1 << 20, fields: 100 };
    let mut seen = Seen::default();
    feed("a request's head", bytes, size, |input| {
        if !seen.may_end(input) {
            seen = Seen::all(input);
            return None;
        }
        let read = read_request_head(input, limits, &mut HeaderMap::new()).map_err(|fault| fault.to_string());
        seen = Seen::all(input);
        read.map(|head| head.map(|_| true)).transpose()
    })
}

/// As the connections to endpoints do.
fn answer(bytes: &[u8], size: usize) -> Option<Result<bool, String>> {
    let mut seen = Seen::default();
    feed("an answer's head", bytes, size, |input| {
        if !seen.may_end(input) {
            seen = Seen::all(input);
            return None;
        }
        let read = read_head(input, false, &mut HeaderMap::new()).map_err(|fault| fault.to_string());
        seen = Seen::all(input);
        read.map(|head| head.map(|_| true)).transpose()
    })
}

#[test]
fn a_long_head_costs_no_more_for_each_byte_than_a_short_one() {
    for length in [100, 30_000] {
        for size in SIZES {
            let value = "x".repeat(length);
            assert_eq!(request(format!("GET / HTTP/1.1\r\nX: {value}\r\n\r\n").as_bytes(), size), Some(Ok(true)));
            assert_eq!(answer(format!("HTTP/1.1 200 OK\r\nX: {value}\r\n\r\n").as_bytes(), size), Some(Ok(true)));
        }
    }
    let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 19));
    assert_eq!(request(large.as_bytes(), 7), Some(Ok(true)));
}

#[test]
fn lines_that_seem_to_end_a_head_again_and_again_cost_no_more() {
    for size in SIZES {
        for line in ["\n", "\r\n", "\r\n\n", "\n\r\n", "x\n\r", "\r"] {
            let lines = line.repeat(30_000 / line.len());
            request(lines.as_bytes(), size);
            answer(lines.as_bytes(), size);
            request(format!("GET / HTTP/1.1\r\n{lines}").as_bytes(), size);
            answer(format!("HTTP/1.1 200 OK\r\n{lines}").as_bytes(), size);
        }
    }
}

fn body(bytes: &[u8], size: usize) -> Option<Result<bool, String>> {
    let mut decoder = Decoder::chunked();
    feed("a body", bytes, size, |input| {
        loop {
            match decoder.next(input) {
                Ok(Part::Data(_)) => {}
                Ok(Part::Unknown) => return None,
                Ok(Part::Trailers(_)) => return Some(Ok(true)),
                Ok(Part::End) => return Some(Ok(false)),
                Err(fault) => return Some(Err(fault.to_string())),
            }
        }
    })
}

#[test]
fn chunks_extensions_and_trailers_cost_no_more_for_each_byte_however_they_come() {
    let long = "x".repeat(15_000);
    for size in SIZES {
        assert_eq!(body(format!("0\r\nX: {long}\r\n\r\n").as_bytes(), size), Some(Ok(true)));
        assert_eq!(body(format!("1;{long}\r\nx\r\n0\r\n\r\n").as_bytes(), size), Some(Ok(false)));
        assert_eq!(body(format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(3000)).as_bytes(), size), Some(Ok(false)));
        for line in ["\n", "\r", "x\n\r", "x: y\r\n", "\n\n"] {
            body(format!("0\r\nx: y\r\n{}", line.repeat(15_000 / line.len())).as_bytes(), size);
        }
    }
}

//! Any bytes of a client, read by our own parser: the same however they are cut, and what the strictest of parsers makes of them. The first
//! byte says how they are cut.

use super::super::strict::{self, Parsed};
use evenkeel_proxy::fuzzing::read_request;

pub fn check(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let read = read_request(bytes, bytes.len().max(1));
    assert_eq!(read, read_request(bytes, 1 + usize::from(*first)), "it depends on how they are cut");
    let Some((method, body)) = read else { return };
    // Empty lines before it are skipped.
    let begin = bytes.chunks(2).take_while(|two| *two == b"\r\n").count() * 2;
    match strict::request(&bytes[begin..]) {
        Parsed::Whole(request, _) => assert_eq!((request.word(0), &request.body), (method.as_str(), &body)),
        Parsed::Part => panic!("it was read to its end, and has none"),
        // What follows is judged elsewhere: Host and the target (request::target), and what the handbook lists as forgiven.
        Parsed::Fault(_) => {}
    }
}

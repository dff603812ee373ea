//! Any bytes of an endpoint, read by our own parser: the same however they are cut, and what the strictest of parsers makes of them. The first
//! byte says whether HEAD was asked, and how they are cut.

use super::super::strict::{self, Parsed};
use evenkeel_proxy::fuzzing::read_answer;

pub fn check(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let to_head = first % 2 == 1;
    let read = read_answer(bytes, to_head, bytes.len().max(1));
    assert_eq!(read, read_answer(bytes, to_head, 1 + usize::from(first / 2)), "it depends on how they are cut");
    let Some((status, body)) = read.filter(|(status, _)| *status >= 200) else { return };
    let method = if to_head { "HEAD" } else { "GET" };
    match strict::response(bytes, method, true) {
        Parsed::Whole(answer, _) => assert_eq!((answer.status(), &answer.body), (status, &body)),
        // What follows is judged elsewhere: codings (request::forwarded), and blanks that are forgiven.
        Parsed::Part | Parsed::Fault(_) => {}
    }
}

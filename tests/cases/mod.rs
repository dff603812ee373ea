//! One message, one reading: a table of named cases, each run against the real binary over raw sockets.
//!
//! A case is data: the bytes that come in, what of them may reach the other side, what is answered, and whether the connection goes
//! on. Behind the bytes of each case the same client sends one more request, [`NEXT`]: it is served if the connection goes on, and
//! by that shows that all three parties agree where the case ended; it is never served after a refusal. What the proxy writes, to
//! either side, is read by a parser that forgives nothing ([`strict`]). Many cases share a process, so that all run in seconds.

mod caller;
mod properties;
mod requests;
mod responses;
mod scribe;
pub(crate) mod strict;

use scribe::{Reply, Then};
use strict::Message;

/// What follows on the same connection.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// An answer that is beyond doubt, to this request.
fn good_answer(request: &Message) -> Reply {
    let body = if request.word(0) == "HEAD" { "" } else { "ok" };
    Reply { bytes: format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}").into(), then: Then::Goes }
}

/// Fails with everything that is wrong, so that one run shows all of it.
fn none_of(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults\n\n{}\n", faults.len(), faults.join("\n\n"));
}

/// Bytes for a person; the middle of many is left out.
fn shown(bytes: &[u8]) -> String {
    let text = format!("{:?}", String::from_utf8_lossy(bytes));
    let (begin, end) = (text.floor_char_boundary(300), text.ceil_char_boundary(text.len().saturating_sub(100)));
    if end <= begin { text } else { format!("{} .. {}", &text[..begin], &text[end..]) }
}

#[test]
fn the_table_has_no_fewer_than_150_cases_and_no_name_twice() {
    let names: Vec<_> =
        requests::table().iter().map(|c| c.name).chain(responses::table().iter().map(|c| c.name)).collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len(), "a name stands twice");
    assert!(names.len() >= 150, "{}", names.len());
}

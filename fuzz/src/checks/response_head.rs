//! Any bytes of an endpoint: what reaches the client is one well-formed answer, or one that is visibly cut; and the next client gets its
//! own answer. The first byte says whether HEAD is asked.

use super::{
    super::strict::{self, Message, Parsed},
    stage::{self, INPUT_MAX},
};

/// Fields that concern one connection (RFC 9110, section 7.6.1).
const NOT_PASSED_ON: [&str; 5] = ["keep-alive", "proxy-connection", "te", "upgrade", "http2-settings"];

pub fn check(data: &[u8]) {
    let Some((first, bytes)) = data[..data.len().min(INPUT_MAX)].split_first() else { return };
    let method = if first % 2 == 0 { "GET" } else { "HEAD" };
    let (any, good) = stage::answers_with(bytes, method);
    let mut rest = any.as_slice();
    // Heads before it (RFC 9110, section 15.2).
    while let Parsed::Whole(interim, used) = strict::response(rest, method, true)
        && interim.status() < 200
        && used < rest.len()
    {
        assert_ne!(interim.status(), 101, "nobody has asked to switch");
        own_connection(&interim);
        rest = &rest[used..];
    }
    match strict::response(rest, method, true) {
        Parsed::Whole(answer, used) => {
            assert_eq!(used, rest.len(), "more than an answer: {:?}", String::from_utf8_lossy(&any));
            judge(&answer, bytes);
        }
        // Broken off, so that the client sees it.
        Parsed::Part => {}
        Parsed::Fault(why) => panic!("{why} in {:?}", String::from_utf8_lossy(&any)),
    }
    match strict::response(&good, "GET", true) {
        Parsed::Whole(answer, used) if used == good.len() => {
            // The endpoint may close what the proxy is about to use again.
            assert!(answer.summary() == "200 [4] good" || answer.status() == 502, "{}", answer.summary());
        }
        other => panic!("another client got {other:?}"),
    }
}

fn judge(answer: &Message, bytes: &[u8]) {
    assert!(answer.status() >= 200, "nobody waits for {}", answer.status());
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut response = httparse::Response::new(&mut fields);
    if response.parse(bytes).is_err() {
        assert_eq!(answer.status(), 502, "httparse refuses what was passed on");
    }
    own_connection(answer);
    let lists = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("connection"));
    let named = lists.flat_map(|field| field.value.split(|b| *b == b','));
    for name in named.map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase()) {
        let ours = ["connection", "content-length", "date", "transfer-encoding"].contains(&name.as_str());
        assert!(ours || answer.all(&name).next().is_none() || answer.status() == 502, "'{name}' was passed on");
    }
}

/// What concerns a connection is ours, if there is any.
fn own_connection(answer: &Message) {
    for name in NOT_PASSED_ON {
        assert!(answer.all(name).next().is_none(), "'{name}' was passed on");
    }
    assert!(answer.all("connection").all(|value| value == b"close"), "'connection' was passed on");
}

//! Any fields of a request: what leaves is what httparse reads in them, without what concerns the connection, with what we add.

use super::stage::{self, INPUT_MAX};
use std::collections::BTreeMap;

/// httparse gives up above this, and so do we.
const FIELDS_MAX: usize = 90;

/// Fields that concern one connection (RFC 9110, section 7.6.1), and those that we drop or write ourselves.
const NOT_PASSED_ON: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "http2-settings",
    "proxy",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "via",
    "host",
];

/// Fields that change what the message is; about those only its form is checked.
const OTHER_MATTERS: [&str; 5] = ["content-length", "transfer-encoding", "upgrade", "expect", "host"];

type Fields = BTreeMap<String, Vec<Vec<u8>>>;

pub fn check(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_MAX)];
    let bytes = [b"GET / HTTP/1.1\r\nHost: a\r\n", data, b"\r\n\r\n"].concat();
    let outcome = stage::sends(&bytes);
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX + 10];
    let mut request = httparse::Request::new(&mut fields);
    let read = request.parse(&bytes);
    match read {
        Err(_) => assert!(outcome.requests.is_empty(), "httparse refuses what came as {:?}", outcome.requests),
        Ok(httparse::Status::Partial) => unreachable!("the head ends with an empty line"),
        Ok(httparse::Status::Complete(_)) => {}
    }
    // It takes a line that ends in LF alone; we do not.
    let head = read.map_or(0, |read| if let httparse::Status::Complete(length) = read { length } else { 0 });
    if bytes[..head].windows(2).any(|two| two[1] == b'\n' && two[0] != b'\r') {
        return assert!(outcome.requests.is_empty(), "a bare LF came as {:?}", outcome.requests);
    }
    let sent: Vec<_> =
        request.headers.iter().skip(1).map(|field| (field.name.to_ascii_lowercase(), field.value)).collect();
    let other = sent.iter().any(|(name, _)| OTHER_MATTERS.contains(&name.as_str()));
    // `Via` that names us too often is a loop.
    let loops = sent
        .iter()
        .any(|(name, value)| name == "via" && value.to_ascii_lowercase().windows(8).any(|w| w == b"evenkeel"));
    if read.is_err() || other || loops || sent.len() > FIELDS_MAX {
        return;
    }
    let Some(arrived) = outcome.requests.first() else {
        panic!("a good request did not arrive: {:?}", String::from_utf8_lossy(&outcome.answers));
    };
    let mut expected = end_to_end(&sent);
    expected.insert("host".to_owned(), vec![b"a".to_vec()]);
    // Over a unix socket nobody has an address (RFC 7239, section 6).
    expected.insert("x-forwarded-for".to_owned(), vec![b"unknown".to_vec()]);
    expected.insert("x-forwarded-proto".to_owned(), vec![b"http".to_vec()]);
    expected.insert("x-forwarded-host".to_owned(), vec![b"a".to_vec()]);
    expected.entry("via".to_owned()).or_default().push(b"1.1 evenkeel".to_vec());
    if takes_trailers(&sent) {
        expected.insert("te".to_owned(), vec![b"trailers".to_vec()]);
        expected.insert("connection".to_owned(), vec![b"te".to_vec()]);
    }
    let mut got = Fields::new();
    for (name, value) in &arrived.fields {
        got.entry(name.clone()).or_default().push(value.clone());
    }
    assert!(got == expected, "left with {}\ninstead of {}", shown(&got), shown(&expected));
}

fn shown(fields: &Fields) -> String {
    let line = |name: &String, value: &Vec<u8>| format!("{name}: {:?}; ", String::from_utf8_lossy(value));
    fields.iter().flat_map(|(name, values)| values.iter().map(move |value| line(name, value))).collect()
}

/// Names or words of a list, in lower case.
fn listed(value: &[u8]) -> impl Iterator<Item = String> {
    value.split(|b| *b == b',').map(|item| String::from_utf8_lossy(item.trim_ascii()).to_ascii_lowercase())
}

fn end_to_end(sent: &[(String, &[u8])]) -> Fields {
    let nominated: Vec<_> =
        sent.iter().filter(|(name, _)| name == "connection").flat_map(|(_, value)| listed(value)).collect();
    let mut fields = Fields::new();
    for (name, value) in sent {
        // What a stranger says of the way that it came by, in names that are the same to many (CGI).
        let dashes = name.replace('_', "-");
        let of_the_way = dashes.starts_with("x-forwarded-") || dashes == "x-real-ip";
        let passes = name == "via" || !(of_the_way || NOT_PASSED_ON.contains(&name.as_str()));
        if passes && !nominated.contains(name) {
            fields.entry(name.clone()).or_default().push(value.to_vec());
        }
    }
    fields
}

fn takes_trailers(sent: &[(String, &[u8])]) -> bool {
    let lines = sent.iter().filter(|(name, _)| name == "te");
    lines
        .flat_map(|(_, value)| listed(value))
        .any(|item| item.split(';').next().is_some_and(|t| t.trim() == "trailers"))
}

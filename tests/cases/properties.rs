//! What holds for any message: it comes out as one, with the same end-to-end content and a length that is that of its bytes.
//!
//! The cases beside this file are attacks that people have thought of; here chance thinks of some. Raw sockets and the real binary,
//! one proxy for all tries of a property.

use super::{
    NEXT,
    caller::{Caller, Heard},
    good_answer,
    scribe::{Reply, Scribe, Then},
    strict::{Framing, Message},
};
use evenkeel_testkit::Proxy;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::runtime::{Builder, Runtime};

/// Tries for each property: a second or two.
const TRIES: u32 = 200;

/// Fields by their names in lower case, the values of one name in their order.
type Fields = BTreeMap<String, Vec<Vec<u8>>>;

/// A body and how it is sent.
#[derive(Clone, Debug)]
enum Body {
    Nothing,
    Length(Vec<u8>),
    /// Each chunk with its extension.
    Chunks(Vec<(Vec<u8>, &'static str)>),
}

/// A message as somebody might write it.
#[derive(Clone, Debug)]
struct Written {
    fields: Vec<(String, Vec<u8>)>,
    /// Of which these are nominated by `Connection`.
    nominated: Vec<bool>,
    body: Body,
}

impl Written {
    /// All behind the first line.
    fn rest(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in &self.fields {
            bytes.extend_from_slice(format!("{name}:").as_bytes());
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        let nominated: Vec<_> = self.named().map(|(name, _)| name.as_str()).collect();
        if !nominated.is_empty() {
            bytes.extend_from_slice(format!("Connection: {}\r\n", nominated.join(" ,")).as_bytes());
        }
        match &self.body {
            Body::Nothing => bytes.extend_from_slice(b"\r\n"),
            Body::Length(body) => {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
            }
            Body::Chunks(chunks) => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for (chunk, extension) in chunks {
                    bytes.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }

    fn named(&self) -> impl Iterator<Item = &(String, Vec<u8>)> {
        self.fields.iter().zip(&self.nominated).filter(|(_, nominated)| **nominated).map(|(field, _)| field)
    }

    /// What must arrive of its fields.
    fn end_to_end(&self) -> Fields {
        let gone: Vec<_> = self.named().map(|(name, _)| name.to_ascii_lowercase()).collect();
        let mut fields = Fields::new();
        for (name, value) in &self.fields {
            let name = name.to_ascii_lowercase();
            if !gone.contains(&name) {
                fields.entry(name).or_default().push(value.trim_ascii().to_vec());
            }
        }
        fields
    }

    fn content(&self) -> Vec<u8> {
        match &self.body {
            Body::Nothing => Vec::new(),
            Body::Length(body) => body.clone(),
            Body::Chunks(chunks) => chunks.iter().flat_map(|(chunk, _)| chunk.clone()).collect(),
        }
    }

    fn framing(&self) -> Framing {
        match &self.body {
            Body::Nothing => Framing::Nothing,
            Body::Length(body) => Framing::Length(body.len()),
            Body::Chunks(_) => Framing::Chunked,
        }
    }
}

/// The fields of a message that came out and that are not the proxy's to write.
fn foreign(message: &Message) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in message.fields.iter().filter(|(name, _)| name.starts_with("x-test") || name == "cookie") {
        fields.entry(name.clone()).or_default().push(value.clone());
    }
    fields
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => b' '..=b'~', 1 => Just(b'\t'), 1 => 0x80..=0xff_u8];
    prop::collection::vec(byte, 0..40)
}

fn written() -> impl Strategy<Value = Written> {
    let name = prop_oneof![4 => "[Xx]-[Tt]est[a-zA-Z0-9!#$%&'*+.^_`|~-]{0,3}", 1 => Just("Cookie".to_owned())];
    let fields = prop::collection::vec(((name, value()), prop::bool::weighted(0.2)), 0..8);
    let bytes = || prop::collection::vec(any::<u8>(), 1..300);
    let extension = prop::sample::select(vec!["", "", ";a", ";a=b", ";a=\"b\"", " ;a", "\t;a"]);
    let body = prop_oneof![
        Just(Body::Nothing),
        prop::collection::vec(any::<u8>(), 0..3000).prop_map(Body::Length),
        prop::collection::vec((bytes(), extension), 0..5).prop_map(Body::Chunks),
    ];
    (fields, body).prop_map(|(fields, body)| {
        let (fields, nominated) = fields.into_iter().unzip();
        Written { fields, nominated, body }
    })
}

/// Where the bytes of a message are cut into writes.
fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..4)
}

async fn send_cut(caller: &mut Caller, bytes: &[u8], cuts: &[prop::sample::Index]) {
    let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
    at.sort_unstable();
    at.push(bytes.len());
    let mut begin = 0;
    for end in at {
        caller.send(&bytes[begin..end]).await;
        begin = end;
        tokio::task::yield_now().await;
    }
}

/// A proxy before an endpoint that answers like this.
struct Stage {
    scribe: Scribe,
    proxy: Proxy,
    runtime: Runtime,
}

impl Stage {
    fn set(answer: impl Fn(&Message) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(answer, "")
    }

    /// With these keys of its route.
    fn with(answer: impl Fn(&Message) -> Reply + Send + Sync + 'static, route: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (scribe, proxy) = runtime.block_on(async {
            let scribe = Scribe::start(answer).await;
            let proxy = Proxy::with_upstream(&scribe).route(route).start().await;
            (scribe, proxy)
        });
        Self { scribe, proxy, runtime }
    }

    fn tries<S: Strategy>(&self, input: &S, test: impl AsyncFn(&Self, S::Value) -> Result<(), TestCaseError>) {
        let mut runner = TestRunner::new(Config { cases: TRIES, failure_persistence: None, ..Config::default() });
        let result = runner.run(input, |input| self.runtime.block_on(test(self, input)));
        result.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

fn unbroken(heard: &Heard) -> Result<(), TestCaseError> {
    prop_assert_eq!(&heard.fault, &None);
    prop_assert!(heard.left.is_empty() || heard.ended, "{:?}", heard.left);
    Ok(())
}

#[test]
fn a_request_arrives_as_one_message_with_the_same_end_to_end_content() {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"]);
    let target = "(/[a-zA-Z0-9_~!$&'()*+,;=:@-]{0,8}){1,4}(\\?[a-zA-Z0-9_~!$&'()*+,;=:@/?.%-]{0,20})?";
    let stage = Stage::set(good_answer);
    stage.tries(&(method, target, written(), cuts()), async |stage, (method, target, written, cuts)| {
        let mark = stage.scribe.mark();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n");
        let bytes = [head.as_bytes(), &written.rest(), NEXT.as_bytes()].concat();
        let mut caller = Caller::of(stage.proxy.web(), vec!["GET"; 2]).await;
        send_cut(&mut caller, &bytes, &cuts).await;
        caller.hears(2).await;
        let heard = caller.heard();
        prop_assert_eq!(heard.statuses(), [200, 200]);
        unbroken(&heard)?;
        let arrived = stage.scribe.since(&mark);
        prop_assert_eq!(&arrived.faults, &Vec::<String>::new());
        prop_assert_eq!(arrived.requests.len(), 2);
        let request = &arrived.requests[0].1;
        prop_assert_eq!(&request.line, &format!("{method} {target} HTTP/1.1"));
        prop_assert_eq!(foreign(request), written.end_to_end());
        prop_assert_eq!(&request.body, &written.content());
        prop_assert_eq!(request.framing, written.framing());
        Ok(())
    });
}

#[test]
fn an_answer_arrives_as_one_message_with_the_same_end_to_end_content() {
    let reply = Arc::new(Mutex::new(None::<Reply>));
    let shown = Arc::clone(&reply);
    let stage = Stage::set(move |request| match (request.word(1), &*shown.lock().unwrap()) {
        ("/", Some(reply)) => reply.clone(),
        _ => good_answer(request),
    });
    let status = prop::sample::select(vec![200_u16, 201, 206, 301, 404, 418, 500, 599]);
    stage.tries(&(status, written(), any::<bool>()), async |stage, (status, written, closes)| {
        // Without a framing the end of the connection is the end of the body.
        let closes = closes || matches!(written.body, Body::Nothing);
        let (then, says) = if closes { (Then::Closes, "Connection: close\r\n") } else { (Then::Goes, "") };
        let bytes = [format!("HTTP/1.1 {status} X\r\n{says}").as_bytes(), &written.rest()].concat();
        *reply.lock().unwrap() = Some(Reply { bytes, then });
        let mut caller = Caller::of(stage.proxy.web(), vec!["GET"; 2]).await;
        caller.send(format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{NEXT}").as_bytes()).await;
        caller.hears(2).await;
        let heard = caller.heard();
        prop_assert_eq!(heard.statuses(), [status, 200]);
        unbroken(&heard)?;
        let answer = &heard.answers[0];
        prop_assert_eq!(foreign(answer), written.end_to_end());
        prop_assert_eq!(&answer.body, &written.content());
        Ok(())
    });
}

#[test]
fn what_is_sent_again_or_is_too_large_arrives_whole_as_it_was_or_not_at_all() {
    let lost = Arc::new(Mutex::new(0_usize));
    let loses = Arc::clone(&lost);
    // A request is lost with its connection as often as that was said.
    let answer = move |request: &Message| {
        let mut lost = loses.lock().unwrap();
        if request.word(1) == "/" && *lost > 0 {
            *lost -= 1;
            return Reply { bytes: Vec::new(), then: Then::Closes };
        }
        good_answer(request)
    };
    let stage = Stage::with(answer, "retry_idempotency_key = true\nbody_max = \"2KiB\"");
    let method = prop::sample::select(vec!["POST", "PUT", "GET", "PATCH"]);
    stage.tries(&(method, written(), 0..3_usize, cuts()), async |stage, (method, written, times, cuts)| {
        *lost.lock().unwrap() = times;
        let mark = stage.scribe.mark();
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: x\r\nConnection: close\r\n");
        let bytes = [head.as_bytes(), &written.rest()].concat();
        let mut caller = Caller::of(stage.proxy.web(), vec!["GET"]).await;
        send_cut(&mut caller, &bytes, &cuts).await;
        caller.hears_the_end().await;
        let heard = caller.heard();
        unbroken(&heard)?;
        stage.scribe.nothing_is_half_said().await;
        let arrived = stage.scribe.since(&mark);
        prop_assert_eq!(&arrived.faults, &Vec::<String>::new());
        let too_large = written.content().len() > 2048;
        prop_assert!(!too_large || heard.statuses() == [413], "{:?}", heard.statuses());
        prop_assert!(too_large || times > 0 || heard.statuses() == [200], "{:?}", heard.statuses());
        for (_, request) in &arrived.requests {
            prop_assert!(!too_large);
            prop_assert_eq!(&request.body, &written.content());
            prop_assert_eq!(request.framing, written.framing());
        }
        Ok(())
    });
}

#[test]
fn announced_trailers_arrive_on_both_sides_and_no_others() {
    let trailers = prop::collection::vec(("x-[a-z]{1,3}", value(), any::<bool>()), 0..5);
    let reply = Arc::new(Mutex::new(Vec::new()));
    let shown = Arc::clone(&reply);
    let stage = Stage::set(move |_| Reply { bytes: shown.lock().unwrap().clone(), then: Then::Goes });
    stage.tries(&(trailers, cuts()), async |stage, (trailers, cuts)| {
        let mark = stage.scribe.mark();
        let announced: Vec<_> = trailers.iter().filter(|(.., said)| *said).map(|(name, ..)| name.as_str()).collect();
        let says = if announced.is_empty() { String::new() } else { format!("Trailer: {}\r\n", announced.join(", ")) };
        let mut rest = format!("{says}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n").into_bytes();
        for (name, value, _) in &trailers {
            rest.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        rest.extend(b"\r\n");
        *reply.lock().unwrap() = [b"HTTP/1.1 200 OK\r\n", rest.as_slice()].concat();
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n";
        let mut caller = Caller::of(stage.proxy.web(), vec!["POST"]).await;
        send_cut(&mut caller, &[head.as_slice(), &rest].concat(), &cuts).await;
        caller.hears(1).await;
        let heard = caller.heard();
        unbroken(&heard)?;
        let expected: Vec<_> = trailers
            .iter()
            .filter(|(name, ..)| announced.contains(&name.as_str()))
            .map(|(name, value, _)| (name.clone(), value.trim_ascii().to_vec()))
            .collect();
        let arrived = stage.scribe.since(&mark);
        prop_assert_eq!(&arrived.faults, &Vec::<String>::new());
        for got in [&arrived.requests[0].1.trailers, &heard.answers[0].trailers] {
            let (mut got, mut expected) = (got.clone(), expected.clone());
            // Values of one name keep their order; names may change places.
            got.sort_by(|a, b| a.0.cmp(&b.0));
            expected.sort_by(|a, b| a.0.cmp(&b.0));
            prop_assert_eq!(got, expected);
        }
        Ok(())
    });
}

/// What people put into requests to be read in two ways.
const NASTY: [&str; 24] = [
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    "\0",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "0",
    "-",
    "+",
    "0\r\n\r\n",
    "\u{b}",
    "\u{7f}",
    "\u{e9}",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: content-length\r\n",
    "Expect: 100-continue\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "ffffffffffffffff",
    "HTTP/1.0",
];

#[test]
fn however_a_request_is_spoilt_nothing_leaves_with_a_length_that_differs_from_its_bytes() {
    let edit = (any::<prop::sample::Index>(), 0..4_usize, prop::sample::select(NASTY.to_vec()));
    let edits = prop::collection::vec(edit, 1..4);
    let stage = Stage::set(good_answer);
    stage.tries(&(written(), edits, cuts()), async |stage, (written, edits, cuts)| {
        let mark = stage.scribe.mark();
        let mut bytes = [b"POST / HTTP/1.1\r\nHost: a\r\n".as_slice(), &written.rest()].concat();
        for (at, length, nasty) in edits {
            let begin = at.index(bytes.len());
            let end = (begin + length).min(bytes.len());
            bytes.splice(begin..end, nasty.bytes());
        }
        let mut caller = Caller::of(stage.proxy.web(), Vec::new()).await;
        send_cut(&mut caller, &bytes, &cuts).await;
        caller.finish().await;
        caller.hears_the_end().await;
        let heard = caller.heard();
        unbroken(&heard)?;
        stage.scribe.nothing_is_half_said().await;
        // A wrong length would spoil what another client sends over the same connection.
        let mut honest = Caller::of(stage.proxy.web(), vec!["GET"]).await;
        honest.send(NEXT.as_bytes()).await;
        let answer = honest.hears(1).await.answers.first().map(Message::summary);
        prop_assert_eq!(answer.as_deref(), Some("200 [2] ok"));
        prop_assert_eq!(&stage.scribe.since(&mark).faults, &Vec::<String>::new());
        Ok(())
    });
}

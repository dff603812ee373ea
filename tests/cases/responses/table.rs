//! The cases (RFC 9112, sections 4, 6 and 7; RFC 9110, section 15).

use super::case::{Case, case};

pub(in crate::cases) fn table() -> Vec<Case> {
    [plain(), bodiless(), lengths(), codings(), chunks(), garbage(), interim(), connections()].concat()
}

fn plain() -> Vec<Case> {
    vec![
        case("an answer with a length arrives with it").ok("Content-Length: 5\r\n\r\nhello").relayed("200 [5] hello"),
        case("an answer in chunks arrives in chunks")
            .chunks("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            .relayed("200 [chunked] hello world")
            .without("content-length"),
        case("an empty answer arrives empty").ok("Content-Length: 0\r\n\r\n").relayed("200 [0]"),
        case("an answer that ends with its connection arrives in chunks")
            .ok("Connection: close\r\n\r\nhello")
            .then_closes()
            .relayed_once("200 [chunked] hello")
            .without("connection"),
        case("an answer that ends with its connection and is empty arrives empty")
            .ok("\r\n")
            .then_closes()
            .relayed_once("200 [chunked]"),
        case("a reason phrase is our own")
            .sends("HTTP/1.1 404 Gone Fishing\r\nContent-Length: 0\r\n\r\n")
            .relayed("404 [0]"),
        case("an answer without reason phrase arrives")
            .sends("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n")
            .relayed("200 [0]"),
        case("an unknown status arrives as it is")
            .sends("HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n")
            .relayed("599 [0]"),
        case("chunks for an HTTP/1.0 client are taken out of their chunks")
            .asked_by_http10()
            .chunks("5\r\nhello\r\n0\r\n\r\n")
            .last("200 [end] hello"),
        case("a length for an HTTP/1.0 client stays")
            .asked_by_http10()
            .ok("Content-Length: 5\r\n\r\nhello")
            .relayed("200 [5] hello"),
        case("a body that ends with its connection does so for an HTTP/1.0 client")
            .asked_by_http10()
            .ok("\r\nhello")
            .then_closes()
            .last_of_both("200 [end] hello"),
    ]
}

fn bodiless() -> Vec<Case> {
    vec![
        case("the answer to HEAD keeps its length and has no body")
            .to("HEAD")
            .ok("Content-Length: 5\r\n\r\n")
            .relayed("200")
            .with("content-length: 5"),
        case("the answer to HEAD in chunks has no body")
            .to("HEAD")
            .ok("Transfer-Encoding: chunked\r\n\r\n")
            .relayed("200"),
        case("a body behind the answer to HEAD reaches nobody")
            .to("HEAD")
            .ok("Content-Length: 5\r\n\r\nhello")
            .relayed_once("200")
            .with("content-length: 5"),
        case("an answer behind the answer to HEAD reaches nobody")
            .to("HEAD")
            .ok("Content-Length: 41\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            .relayed_once("200"),
        case("a 204 has no body").sends("HTTP/1.1 204 No Content\r\n\r\n").relayed("204"),
        case("a 204 to HEAD with a length loses it")
            .to("HEAD")
            .sends("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n")
            .relayed("204")
            .without("content-length"),
        case("a 204 with a length loses it")
            .sends("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
            .relayed("204")
            .without("content-length"),
        case("a body behind a 204 reaches nobody").sends("HTTP/1.1 204 No Content\r\n\r\nhello").relayed_once("204"),
        case("a body behind a 204 with a length reaches nobody")
            .sends("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello")
            .relayed_once("204"),
        case("chunks behind a 204 reach nobody")
            .sends("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .relayed_once("204")
            .without("transfer-encoding"),
        case("a 304 keeps its length and has no body")
            .sends("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n")
            .relayed("304")
            .with("content-length: 5")
            .with("etag: \"x\""),
        case("a 304 with equal lengths keeps one of them")
            .sends("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n")
            .relayed("304")
            .with("content-length: 5"),
        case("the answer to HEAD with a list of lengths keeps one of them")
            .to("HEAD")
            .ok("Content-Length: 5, 5\r\n\r\n")
            .relayed("200")
            .with("content-length: 5"),
        case("the answer to HEAD with leading noughts keeps its length")
            .to("HEAD")
            .ok("Content-Length: 005\r\n\r\n")
            .relayed("200")
            .with("content-length: 5"),
        case("the answer to HEAD in chunks says no length")
            .to("HEAD")
            .ok("Transfer-Encoding: chunked\r\n\r\n")
            .relayed("200")
            .without("content-length"),
        case("a body behind a 304 reaches nobody")
            .sends("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello")
            .relayed_once("304"),
        case("a 205 with a length of nought arrives")
            .sends("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n")
            .relayed("205 [0]"),
    ]
}

fn lengths() -> Vec<Case> {
    let mut table = vec![
        case("equal lengths on two lines arrive as one")
            .ok("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello")
            .relayed("200 [5] hello"),
        case("a list of equal lengths arrives as one")
            .ok("Content-Length: 5, 5\r\n\r\nhello")
            .relayed("200 [5] hello")
            .because("RFC 9112, section 6.3, rule 5 permits it"),
        case("an answer shorter than its length is cut").ok("Content-Length: 9\r\n\r\nhello").then_closes().cut(),
        case("an answer with a length and nothing else is cut").ok("Content-Length: 9\r\n\r\n").then_closes().cut(),
        case("bytes beyond the length reach nobody").ok("Content-Length: 2\r\n\r\nhello").relayed_once("200 [2] he"),
        case("an answer behind the answer reaches nobody")
            .ok("Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            .relayed_once("200 [5] hello"),
        case("a line break behind the answer reaches nobody")
            .ok("Content-Length: 5\r\n\r\nhello\r\n")
            .relayed_once("200 [5] hello"),
    ];
    for (name, lengths) in [
        ("an answer with lengths that differ is refused", "5\r\nContent-Length: 6"),
        ("an answer with a list of lengths that differ is refused", "5, 6"),
        ("an answer with a length with a sign is refused", "+5"),
        ("an answer with a negative length is refused", "-5"),
        ("an answer with a length in hexadecimal is refused", "0x5"),
        ("an answer with an empty length is refused", ""),
        ("an answer with a length with a comma is refused", "5,"),
        ("an answer with a length of 2^64 + 5 is refused", "18446744073709551621"),
    ] {
        table.push(case(name).ok(&format!("Content-Length: {lengths}\r\n\r\nhello")).refused());
    }
    table
}

fn codings() -> Vec<Case> {
    let mut table = vec![
        case("a length beside chunks is dropped, and the endpoint's connection with it")
            .ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
            .relayed_once("200 [chunked] hi")
            .without("content-length"),
        case("a length behind chunks is dropped, and the endpoint's connection with it")
            .ok("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
            .relayed_once("200 [chunked] hi")
            .without("content-length"),
    ];
    for (name, coding) in [
        ("an answer in gzip and chunks is refused", "gzip, chunked"),
        ("an answer in chunks and gzip is refused", "chunked, gzip"),
        ("an answer in chunks of chunks is refused", "chunked, chunked"),
        ("an answer in chunks on two lines is refused", "chunked\r\nTransfer-Encoding: chunked"),
        ("an answer in identity is refused", "identity"),
        ("an answer in an unknown coding is refused", "xchunked"),
        ("an answer in an empty coding is refused", ""),
        ("an answer in chunks with a parameter is refused", "chunked;a=b"),
    ] {
        table.push(
            case(name)
                .ok(&format!("Transfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
                .then_closes()
                .refused(),
        );
    }
    for (name, bytes) in [
        ("chunks in an HTTP/1.0 answer are refused", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            "an answer with a coding with a blank before its colon is refused",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\nhello",
        ),
    ] {
        table.push(case(name).sends(bytes).then_closes().refused());
    }
    table
}

fn chunks() -> Vec<Case> {
    let mut table = vec![
        case("chunk extensions of an answer are dropped")
            .chunks("5;a=b\r\nhello\r\n0\r\n\r\n")
            .relayed("200 [chunked] hello"),
        case("a trailer for a client that wants none is dropped")
            .ok("Trailer: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n")
            .relayed("200 [chunked] hello"),
        case("a trailer for a client that takes it arrives")
            .asked_by_one_that_takes_trailers()
            .ok("Trailer: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n")
            .relayed("200 [chunked] hello {x: y}"),
        case("a trailer that nobody announced is dropped on its way to the client")
            .asked_by_one_that_takes_trailers()
            .chunks("5\r\nhello\r\n0\r\nx: y\r\n\r\n")
            .relayed("200 [chunked] hello"),
        case("an answer behind the last chunk reaches nobody")
            .chunks("5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            .relayed_once("200 [chunked] hello"),
    ];
    for (name, chunks) in [
        ("an answer whose chunks end early is cut", "5\r\nhello\r\n"),
        ("an answer whose last chunk has no end is cut", "5\r\nhello\r\n0\r\n"),
        ("an answer with a chunk shorter than its size is cut", "5\r\nhel"),
        ("an answer with a chunk longer than its size is cut", "4\r\nhello\r\n0\r\n\r\n"),
        ("an answer with a size that is no number is cut", "5\r\nhello\r\nzz\r\nworld\r\n0\r\n\r\n"),
        ("an answer with a signed size is cut", "5\r\nhello\r\n+5\r\nworld\r\n0\r\n\r\n"),
        ("an answer with a size above 64 bits is cut", "5\r\nhello\r\n10000000000000005\r\nworld\r\n0\r\n\r\n"),
        ("an answer with a size that ends in LF is cut", "5\nhello\r\n0\r\n\r\n"),
        ("an answer with a bad trailer is cut", "5\r\nhello\r\n0\r\nx y\r\n\r\n"),
    ] {
        table.push(case(name).chunks(chunks).then_closes().cut());
    }
    table
}

fn garbage() -> Vec<Case> {
    let mut table = Vec::new();
    for (name, bytes) in [
        ("an answer that is no HTTP is refused", "\x16\x03\x01 nonsense\r\n\r\n"),
        ("an answer with a status of two digits is refused", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a status of four digits is refused", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a status of letters is refused", "HTTP/1.1 2xx OK\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a negative status is refused", "HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a status below 100 is refused", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a status of 600 is refused", "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a status of 999 is refused", "HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a status of 000 is refused", "HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"),
        ("an answer in HTTP/2.0 is refused", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("an answer in HTTP/1.2 is refused", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("an answer of HTTP/0.9 is refused", "hello"),
        ("an answer of ICY is refused", "ICY 200 OK\r\n\r\nhello"),
        ("a request instead of an answer is refused", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an answer with a NUL in a value is refused", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a bare CR in a value is refused", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a folded field is refused", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a blank in a name is refused", "HTTP/1.1 200 OK\r\nX y: a\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a field without a colon is refused", "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n"),
    ] {
        table.push(case(name).sends(bytes).then_closes().refused());
    }
    table.push(
        case("an endpoint that closes instead of answering a POST is a 502")
            .to("POST")
            .then_closes()
            .refused_as_reset(),
    );
    table.push(
        case("an endpoint that closes in the middle of a head is a 502")
            .sends("HTTP/1.1 200 OK\r\nContent-Le")
            .then_closes()
            .refused_as_reset(),
    );
    table
}

fn interim() -> Vec<Case> {
    let mut table = Vec::new();
    for (name, before, passed_on) in [
        ("a 100 that nobody asked for is swallowed", "HTTP/1.1 100 Continue\r\n\r\n", &[][..]),
        ("a 102 is passed on", "HTTP/1.1 102 Processing\r\n\r\n", &[102]),
        ("a 103 is passed on", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", &[103]),
        ("a 103 with a length leaves without it", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", &[103]),
        ("a 103 with a coding leaves without it", "HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n", &[103]),
        (
            "several 1xx are passed on, without those that concern the connection",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nLink: </a>\r\n\r\nHTTP/1.1 103 X\r\n\r\n",
            &[103, 103],
        ),
    ] {
        let bytes = format!("{before}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        table.push(case(name).sends(bytes).relayed("200 [5] hello").behind(passed_on));
    }
    table.push(
        case("a client of HTTP/1.0 is told nothing before its answer")
            .asked_by_http10()
            .sends("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .relayed("200 [5] hello"),
    );
    for (name, bytes) in [
        ("a 100 and then no HTTP is refused", "HTTP/1.1 100 Continue\r\n\r\nnonsense\r\n\r\n"),
        (
            "a 101 that nobody asked for is refused",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: cow\r\n\r\n",
        ),
        ("a 101 without a protocol is refused", "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        (
            "a 101 with an answer behind it is refused",
            "HTTP/1.1 101 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        ),
    ] {
        table.push(case(name).sends(bytes).then_closes().refused());
    }
    table.push(
        case("a 103 and then no HTTP is passed on and refused")
            .sends("HTTP/1.1 103 Early Hints\r\n\r\nnonsense\r\n\r\n")
            .then_closes()
            .refused()
            .behind(&[103]),
    );
    table.push(
        case("a 1xx and then the end is a 502").sends("HTTP/1.1 100 Continue\r\n\r\n").then_closes().refused_as_reset(),
    );
    table
}

fn connections() -> Vec<Case> {
    vec![
        case("an endpoint that closes is not used again, and its client goes on")
            .ok("Connection: close\r\nContent-Length: 5\r\n\r\nhello")
            .relayed_once("200 [5] hello")
            .without("connection"),
        case("an HTTP/1.0 answer ends the endpoint's connection")
            .sends("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .relayed_once("200 [5] hello"),
        case("an HTTP/1.0 answer with keep-alive ends the endpoint's connection")
            .sends("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello")
            .relayed_once("200 [5] hello"),
        case("fields that an answer nominates are taken off")
            .ok("Connection: x-a, keep-alive\r\nX-A: 1\r\nKeep-Alive: timeout=60\r\nX-B: 2\r\nContent-Length: 0\r\n\r\n")
            .relayed("200 [0]")
            .without("x-a")
            .without("keep-alive")
            .with("x-b: 2"),
        case("an answer cannot nominate its length away")
            .ok("Connection: content-length\r\nContent-Length: 5\r\n\r\nhello")
            .relayed("200 [5] hello"),
        case("an answer that offers an upgrade is passed on without it")
            .ok("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello")
            .relayed("200 [5] hello")
            .without("upgrade"),
        case("lines of an answer that end in LF are no head")
            .sends("HTTP/1.1 200 OK\nX: y\nContent-Length: 5\n\nhello")
            .refused()
            .because("RFC 9112, section 2.2, permits to take them, and two parsers may differ"),
        case("one line of an answer that ends in LF is one too many")
            .sends("HTTP/1.1 200 OK\r\nX: y\nContent-Length: 5\r\n\r\nhello")
            .refused(),
        case("a status line that ends in LF is none").sends("HTTP/1.1 204 No Content\n\r\n").refused(),
        case("a head whose empty line is LF alone is none")
            .sends("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello")
            .refused(),
        case("empty lines before an answer are none").sends("\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").refused(),
        case("trailers whose lines end in LF cut the answer")
            .chunks("5\r\nhello\r\n0\r\nX: y\n\r\n")
            .cut(),
        case("bytes above 0x7f in an answer's value stay as they are").ok("X: \u{e9}\r\nContent-Length: 0\r\n\r\n").relayed("200 [0]").with("x: \u{e9}"),
    ]
}

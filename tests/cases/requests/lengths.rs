//! Content-Length and Transfer-Encoding, alone and against each other (RFC 9112, section 6).

use super::case::{Case, case};

pub(super) fn table() -> Vec<Case> {
    [plain(), lengths(), codings(), both()].concat()
}

fn plain() -> Vec<Case> {
    vec![
        case("a request without a body leaves without one").served("GET /").without("content-length"),
        case("a body with a length leaves with that length")
            .post("Content-Length: 5\r\n\r\nhello")
            .served("POST / [5] hello"),
        case("a length of nought stays, for a POST says something by it")
            .post("Content-Length: 0\r\n\r\n")
            .served("POST / [0]"),
        case("a POST without length and chunks has no body").post("\r\n").served("POST /"),
        case("a body in chunks leaves in chunks")
            .chunks("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            .served("POST / [chunked] hello world")
            .without("content-length"),
        case("an empty body in chunks leaves as one").chunks("0\r\n\r\n").served("POST / [chunked]"),
        case("a GET with a length keeps its body")
            .sends("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            .served("GET / [5] hello"),
        case("a GET in chunks keeps its body")
            .sends("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
            .served("GET / [chunked] hi"),
        case("a HEAD in chunks keeps its body")
            .sends("HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
            .asking("HEAD")
            .served("HEAD / [chunked] hi"),
        case("a body that looks like a request is a body")
            .post("Content-Length: 31\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
            .served("POST / [31] GET /evil HTTP/1.1\r\nHost: a"),
        case("a chunk that looks like a request is a chunk")
            .chunks("1f\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n")
            .served("POST / [chunked] GET /evil HTTP/1.1\r\nHost: a"),
        case("a body that is cut is broken off at the endpoint")
            .post("Content-Length: 5\r\n\r\nhe")
            .then_finishes()
            .silence(),
        case("chunks that are cut are broken off at the endpoint").chunks("5\r\nhello\r\n").then_finishes().silence(),
        case("chunks without the last line are broken off at the endpoint")
            .chunks("5\r\nhello\r\n0\r\n")
            .then_finishes()
            .silence(),
    ]
}

fn lengths() -> Vec<Case> {
    let mut table = vec![
        case("the same length twice leaves as one")
            .post("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello")
            .served("POST / [5] hello")
            .because("RFC 9112, section 6.3, rule 5 permits it"),
        case("a length with leading noughts leaves in its plainest form")
            .post("Content-Length: 0005\r\n\r\nhello")
            .served("POST / [5] hello")
            .because("RFC 9110, section 8.6: 1*DIGIT"),
        case("blanks and tabs around a length are none of it")
            .post("Content-Length: \t5 \t\r\n\r\nhello")
            .served("POST / [5] hello"),
    ];
    for (name, length) in [
        ("a length with a plus sign is refused", "+5"),
        ("a length with a minus sign is refused", "-5"),
        ("a length of minus nought is refused", "-0"),
        ("a length in hexadecimal is refused", "0x5"),
        ("a length with letters is refused", "5a"),
        ("a length with an exponent is refused", "5e0"),
        ("a length with a fraction is refused", "5.0"),
        ("a length with an underscore is refused", "0_5"),
        ("a length with a blank inside is refused", "5 5"),
        ("a length with a comma behind it is refused", "5,"),
        ("a length with a comma before it is refused", ",5"),
        ("a list of equal lengths is refused", "5, 5"),
        ("a list of lengths that differ is refused", "5, 6"),
        ("an empty length is refused, it is not nought", ""),
        ("a length in quotes is refused", "\"5\""),
        ("a length in digits of another script is refused", "\u{665}"),
        ("a length of 2^64 is refused", "18446744073709551616"),
        ("a length of 2^64 + 5 is refused", "18446744073709551621"),
        ("a length of forty digits is refused", "1000000000000000000000000000000000000000"),
        ("a length with a form feed before it is refused", "\u{c}5"),
        ("lengths that differ on two lines are refused", "5\r\nContent-Length: 6"),
        ("a good length and a bad one are refused", "5\r\nContent-Length: +5"),
        ("an empty length and a good one are refused", "\r\nContent-Length: 5"),
    ] {
        table.push(case(name).post(&format!("Content-Length: {length}\r\n\r\nhello")).refused(400));
    }
    table
}

/// Read by length, what follows is a body; read as chunks, a request.
const BEHIND: &str = "0\r\n\r\n";

fn codings() -> Vec<Case> {
    let mut table = vec![
        case("the coding in capitals is the coding")
            .post("TRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n")
            .served("POST / [chunked]"),
        case("blanks and tabs around the coding are none of it")
            .post("Transfer-Encoding:\t chunked \t\r\n\r\n0\r\n\r\n")
            .served("POST / [chunked]"),
        case("no blank before the coding is needed")
            .post("Transfer-Encoding:chunked\r\n\r\n0\r\n\r\n")
            .served("POST / [chunked]"),
        case("a field with an underscore is another field")
            .post("transfer_encoding: chunked\r\nContent-Length: 5\r\n\r\nhello")
            .served("POST / [5] hello"),
        case("chunks of an HTTP/1.0 client are refused")
            .sends(format!("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{BEHIND}"))
            .refused(400),
        case("chunks of an HTTP/1.0 client that keeps its connection are refused")
            .sends(format!(
                "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{BEHIND}"
            ))
            .refused(400),
        case("chunks of an HTTP/1.0 client beside a length are refused")
            .sends("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .refused(400),
    ];
    for (name, coding) in [
        ("gzip before chunked is refused", "gzip, chunked"),
        ("gzip behind chunked is refused", "chunked, gzip"),
        ("gzip alone is refused", "gzip"),
        ("chunked twice is refused", "chunked, chunked"),
        ("chunked on two lines is refused", "chunked\r\nTransfer-Encoding: chunked"),
        ("gzip and chunked on two lines are refused", "gzip\r\nTransfer-Encoding: chunked"),
        ("chunked and identity on two lines are refused", "chunked\r\nTransfer-Encoding: identity"),
        ("identity is refused", "identity"),
        ("identity before chunked is refused", "identity, chunked"),
        ("chunked with a parameter is refused", "chunked;q=1"),
        ("chunked in quotes is refused", "\"chunked\""),
        ("chunked with a letter before it is refused", "xchunked"),
        ("chunked with a letter behind it is refused", "chunkedx"),
        ("chunked with a comma behind it is refused", "chunked,"),
        ("chunked with a comma before it is refused", ", chunked"),
        ("an empty coding is refused", ""),
        ("an empty coding before a good one is refused", "\r\nTransfer-Encoding: chunked"),
        ("chunked behind a vertical tab is refused", "\u{b}chunked"),
        ("chunked before a NUL is refused", "chunked\0"),
        ("chunked with a long s is refused", "chun\u{212a}ed"),
        ("a coding that nobody knows is refused", "cow"),
        ("a coding on a folded line is refused", "\r\n chunked"),
        ("a second coding on a folded line is refused", "chunked\r\n , identity"),
    ] {
        table.push(case(name).post(&format!("Transfer-Encoding: {coding}\r\n\r\n{BEHIND}")).refused(400));
    }
    for (name, line) in [
        ("a bad coding is judged before TRACE is", "TRACE / HTTP/1.1"),
        ("a bad coding is judged before CONNECT is", "CONNECT a:1 HTTP/1.1"),
        ("a bad coding is judged before the target is", "POST a HTTP/1.1"),
    ] {
        let head = format!("{line}\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{BEHIND}");
        table.push(case(name).sends(head).refused(400));
    }
    let long = format!("POST /{} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "x".repeat(20_000));
    table.push(case("a bad coding is judged before a target that is too long").sends(long).refused(400));
    table
}

fn both() -> Vec<Case> {
    vec![
        case("a length before chunks is refused")
            .post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .refused(400),
        case("a length behind chunks is refused")
            .post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n")
            .refused(400),
        case("a length that agrees with the chunks is refused all the same")
            .post("Content-Length: 15\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .refused(400),
        case("a length of nought beside chunks is refused")
            .post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .refused(400),
        case("a client that wants to keep a connection with both is refused")
            .post("Connection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .refused(400),
        case("a bad length beside chunks is refused")
            .post("Content-Length: +5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .refused(400),
        case("lengths that differ beside chunks are refused")
            .post("Content-Length: 5\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .refused(400),
        case("a length beside a coding that is not chunked is refused")
            .post("Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nhello")
            .refused(400),
        case("a length beside a coding with a blank before its colon is refused")
            .post("Content-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n")
            .refused(400),
        case("a length beside a coding behind a bare CR is refused")
            .post("Content-Length: 5\r\nX: x\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .refused(400),
        case("a length beside a coding behind a bare LF is refused")
            .post("Content-Length: 5\r\nX: x\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .refused(400),
    ]
}

//! Chunks and trailers (RFC 9112, section 7.1).

use super::case::{Case, case};

pub(super) fn table() -> Vec<Case> {
    [sizes(), extensions(), trailers()].concat()
}

/// The head is whole and plain, so it may be on its way when a bad chunk is read: then it is broken off.
fn sizes() -> Vec<Case> {
    let mut table = vec![
        case("a size in capitals is a size")
            .chunks("A\r\n0123456789\r\n0\r\n\r\n")
            .served("POST / [chunked] 0123456789"),
        case("a size with leading noughts leaves as another")
            .chunks("0005\r\nhello\r\n000\r\n\r\n")
            .served("POST / [chunked] hello"),
    ];
    for (name, chunks) in [
        ("a size with a plus sign breaks the request off", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a size with a minus sign breaks the request off", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a size of minus nought breaks the request off", "-0\r\n\r\n"),
        ("a size with 0x before it breaks the request off", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a blank before a size breaks the request off", " 5\r\nhello\r\n0\r\n\r\n"),
        ("a tab before a size breaks the request off", "\t5\r\nhello\r\n0\r\n\r\n"),
        ("a blank inside a size breaks the request off", "0 5\r\nhello\r\n0\r\n\r\n"),
        ("a blank behind a size breaks the request off", "5 \r\nhello\r\n0\r\n\r\n"),
        ("a tab behind a size breaks the request off", "5\t\r\nhello\r\n0\r\n\r\n"),
        ("an underscore in a size breaks the request off", "0_5\r\nhello\r\n0\r\n\r\n"),
        ("a size that is no number breaks the request off", "g\r\nhello\r\n0\r\n\r\n"),
        ("an empty size breaks the request off", "\r\nhello\r\n0\r\n\r\n"),
        ("an extension without a size breaks the request off", ";x\r\nhello\r\n0\r\n\r\n"),
        ("a size of 2^64 breaks the request off", "10000000000000000\r\nhello\r\n0\r\n\r\n"),
        ("a size of 2^64 + 5 breaks the request off", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("a size of 2^128 + 5 breaks the request off", "100000000000000000000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("a size with a NUL behind it breaks the request off", "5\0\r\nhello\r\n0\r\n\r\n"),
        ("a size that ends in LF breaks the request off", "5\nhello\r\n0\r\n\r\n"),
        ("a size that ends in CR breaks the request off", "5\rhello\r\n0\r\n\r\n"),
        ("a size that ends in CR and something else breaks the request off", "5\rxhello\r\n0\r\n\r\n"),
        ("a chunk longer than its size breaks the request off", "4\r\nhello\r\n0\r\n\r\n"),
        ("a chunk shorter than its size breaks the request off", "6\r\nhello\r\n0\r\n\r\n"),
        ("a chunk that ends in LF breaks the request off", "5\r\nhello\n0\r\n\r\n"),
        ("a chunk that ends in CR breaks the request off", "5\r\nhello\r0\r\n\r\n"),
        ("a chunk without an end breaks the request off", "5\r\nhello0\r\n\r\n"),
    ] {
        table.push(case(name).chunks(chunks).broken_off(400));
    }
    table
}

fn extensions() -> Vec<Case> {
    let mut table = Vec::new();
    for (name, chunks) in [
        ("an extension is dropped", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        ("an extension without a value is dropped", "5;a\r\nhello\r\n0\r\n\r\n"),
        ("an empty extension is dropped", "5;\r\nhello\r\n0\r\n\r\n"),
        ("an extension in quotes is dropped", "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"),
        ("an extension behind a blank is dropped", "5 ; a=b\r\nhello\r\n0\r\n\r\n"),
        ("an extension of the last chunk is dropped", "5\r\nhello\r\n0;a=b\r\n\r\n"),
        ("an extension that looks like a request is dropped", "5;GET /evil HTTP/1.1\r\nhello\r\n0\r\n\r\n"),
    ] {
        table.push(case(name).chunks(chunks).served("POST / [chunked] hello"));
    }
    for (name, chunks) in [
        ("an LF in an extension breaks the request off", "5;a\nhello\r\n0\r\n\r\n"),
        ("an LF in a quoted extension breaks the request off", "5;a=\"\nhello\r\n0\r\n\r\n"),
        ("an LF in the extension of the last chunk breaks the request off", "5\r\nhello\r\n0;a\n\r\n\r\n"),
    ] {
        table.push(case(name).chunks(chunks).broken_off(400));
    }
    table.push(
        case("extensions without end break the request off")
            .chunks(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(20_000)))
            .broken_off(400),
    );
    table
}

fn trailers() -> Vec<Case> {
    let announced = |names: &str, trailers: &str| {
        format!(
            "TE: trailers\r\nConnection: TE\r\nTrailer: {names}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{trailers}\r\n\r\n"
        )
    };
    let mut table = vec![
        case("an announced trailer is passed on")
            .post(&announced("x-sum", "X-Sum: 1"))
            .served("POST / [chunked] hi {x-sum: 1}")
            .with("te: trailers"),
        case("a trailer that nobody announced is dropped")
            .chunks("2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n")
            .served("POST / [chunked] hi"),
        case("a length in a trailer is dropped")
            .post(&announced("content-length", "Content-Length: 99"))
            .served("POST / [chunked] hi"),
        case("a coding in a trailer is dropped")
            .post(&announced("transfer-encoding", "Transfer-Encoding: chunked"))
            .served("POST / [chunked] hi"),
        case("a Host in a trailer is dropped").post(&announced("host", "Host: evil")).served("POST / [chunked] hi"),
        case("a Connection in a trailer is dropped")
            .post(&announced("connection", "Connection: close"))
            .served("POST / [chunked] hi"),
        case("who asks is not said in a trailer")
            .post(&announced("x-forwarded-for", "X-Forwarded-For: 1.1.1.1"))
            .served("POST / [chunked] hi")
            .with("x-forwarded-for: 127.0.0.1"),
        case("credentials in a trailer are dropped")
            .post(&announced("authorization, cookie", "Authorization: x\r\nCookie: y"))
            .served("POST / [chunked] hi"),
    ];
    for (name, trailers) in [
        ("a trailer without a colon breaks the request off", "x"),
        ("a trailer with a blank before its colon breaks the request off", "x : y"),
        ("a trailer without a name breaks the request off", ": y"),
        ("a folded trailer breaks the request off", "x: y\r\n z"),
        ("a trailer that ends in LF and another breaks the request off", "x: 1\ny: 2"),
        ("an empty line that ends in LF is no end of trailers", "x: 1\n\nGET /evil HTTP/1.1\nHost: a"),
        ("a NUL in a trailer breaks the request off", "x: \0"),
        ("a bare CR in a trailer breaks the request off", "x: y\rz"),
        ("a trailer with a blank before its name breaks the request off", " x: y"),
    ] {
        table.push(case(name).post(&announced("x", trailers)).broken_off(400));
    }
    table.push(
        case("trailers above their limit break the request off")
            .post(&announced("x", &format!("x: {}", "y".repeat(40_000))))
            .broken_off(400),
    );
    table
}

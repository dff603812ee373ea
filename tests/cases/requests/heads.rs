//! The first line and the lines of fields (RFC 9112, sections 2, 3 and 5).

use super::case::{Case, case};

pub(super) fn table() -> Vec<Case> {
    [first_lines(), versions(), lines(), bytes()].concat()
}

fn first_lines() -> Vec<Case> {
    let mut table = vec![
        case("an empty line before a request is skipped")
            .sends("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .served("GET /")
            .because("RFC 9112, section 2.2 demands it"),
        case("two empty lines before a request are skipped")
            .sends("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .served("GET /"),
        case("an unknown method is passed on").line("BREW / HTTP/1.1").served("BREW /"),
        case("a method in lower case is another method").line("get / HTTP/1.1").served("get /"),
        case("a method of odd characters is a method").line("M-#!x.1 / HTTP/1.1").served("M-#!x.1 /"),
    ];
    for (name, line) in [
        ("two blanks before the target are refused", "GET  / HTTP/1.1"),
        ("two blanks before the version are refused", "GET /  HTTP/1.1"),
        ("a blank at the end of the line is refused", "GET / HTTP/1.1 "),
        ("a tab instead of a blank is refused", "GET\t/ HTTP/1.1"),
        ("a tab before the version is refused", "GET /\tHTTP/1.1"),
        ("a blank before the method is refused", " GET / HTTP/1.1"),
        ("a blank in the target is refused", "GET /a b HTTP/1.1"),
        ("a method that is no token is refused", "GE(T / HTTP/1.1"),
        ("a method with a NUL is refused", "GE\0T / HTTP/1.1"),
        ("a line without method is refused", "/ HTTP/1.1"),
        ("a vertical tab instead of a blank is refused", "GET\u{b}/ HTTP/1.1"),
        ("a line of one word is refused", "GET"),
        ("an answer instead of a request is refused", "HTTP/1.1 200 OK"),
    ] {
        table.push(case(name).line(line).refused(400));
    }
    table.push(case("a TLS hello is refused").sends("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n").refused(400));
    table
}

fn versions() -> Vec<Case> {
    let mut table = vec![
        case("HTTP/1.0 is served and its connection ends").sends("GET / HTTP/1.0\r\n\r\n").last("GET /"),
        case("HTTP/1.0 with keep-alive is kept")
            .sends("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            .served("GET /"),
        case("HTTP/1.0 with a length keeps its body")
            .sends("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            .last("POST / [5] hello"),
    ];
    for (name, line) in [
        ("HTTP/0.9 is refused", "GET /"),
        ("HTTP/0.9 by name is refused", "GET / HTTP/0.9"),
        ("HTTP/1.2 is refused", "GET / HTTP/1.2"),
        ("HTTP/1.10 is refused", "GET / HTTP/1.10"),
        ("HTTP/1.01 is refused", "GET / HTTP/1.01"),
        ("HTTP/01.1 is refused", "GET / HTTP/01.1"),
        ("HTTP/2.0 as a text is refused", "GET / HTTP/2.0"),
        ("HTTP/2 as a text is refused", "GET / HTTP/2"),
        ("a version without its point is refused", "GET / HTTP/11"),
        ("a version with a plus sign is refused", "GET / HTTP/+1.1"),
        ("a version in lower case is refused", "GET / http/1.1"),
        ("another protocol is refused", "GET / ICY/1.1"),
        ("a version of a letter is refused", "GET / HTTP/x.y"),
    ] {
        table.push(case(name).line(line).refused(400));
    }
    table.push(case("the preface of HTTP/2 is refused").sends("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").refused(400));
    table
}

fn lines() -> Vec<Case> {
    let mut table = vec![
        case("lines that end in LF are refused").sends("GET / HTTP/1.1\nHost: a\nX: y\n\n").refused(400),
        case("a request line that ends in LF is refused").sends("GET / HTTP/1.1\nHost: a\r\n\r\n").refused(400),
        case("one line of many that ends in LF is refused").field("X: y\nZ: z").refused(400),
        case("a head that ends in a bare LF is refused").sends("GET / HTTP/1.1\r\nHost: a\r\n\n").refused(400),
        case("an empty line that ends in LF before a request is refused")
            .sends("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .refused(400),
        case("a bare CR before a request is refused").sends("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n").refused(400),
        case("half a head and the end of the connection is no request")
            .sends("GET / HTTP/1.1\r\nHost: a\r\n")
            .then_finishes()
            .silence(),
    ];
    for (name, field) in [
        ("a bare CR in a value is refused", "X: a\rb"),
        ("a bare CR at the end of a value is refused", "X: a\r\r"),
        ("a bare CR as the end of a line is refused", "X: a\rY: b"),
        ("a bare CR in a name is refused", "X\rY: a"),
        ("a folded field is refused", "X: a\r\n b"),
        ("a field folded by a tab is refused", "X: a\r\n\tb"),
        ("a folded field of nothing is refused", "X: a\r\n "),
        ("a Host that is folded is refused", "X:\r\n Host: b"),
        ("a blank before a colon is refused", "X : a"),
        ("a tab before a colon is refused", "X\t: a"),
        ("a blank in a name is refused", "X Y: a"),
        ("a field without a name is refused", ": a"),
        ("a field without a colon is refused", "X"),
        ("a name in brackets is refused", "(X): a"),
        ("a name with a slash is refused", "X/Y: a"),
    ] {
        table.push(case(name).field(field).refused(400));
    }
    table.push(
        case("a first field with a blank before it is refused")
            .sends("GET / HTTP/1.1\r\n Host: a\r\n\r\n")
            .refused(400),
    );
    table
}

fn bytes() -> Vec<Case> {
    let mut table = vec![
        case("a tab in a value is a part of it").field("X: a\tb").served("GET /").with("x: a\tb"),
        case("blanks around a value are dropped").field("X: \t a b \t").served("GET /").with("x: a b"),
        case("an empty value is a value").field("X:").served("GET /").with("x: "),
        case("a colon in a value is a part of it").field("X: a: b").served("GET /").with("x: a: b"),
        case("UTF-8 in a value stays as it is").field("X: \u{e9}").served("GET /").with("x: \u{e9}"),
        case("bytes above 0x7f that are no UTF-8 stay as they are").field(b"X: \xff\x80").served("GET /"),
    ];
    for (name, field) in [
        ("a NUL in a value is refused", &b"X: a\0b"[..]),
        ("a NUL in a name is refused", b"X\0: a"),
        ("a control in a value is refused", b"X: a\x01b"),
        ("an escape in a value is refused", b"X: a\x1bb"),
        ("a vertical tab in a value is refused", b"X: a\x0bb"),
        ("a delete in a value is refused", b"X: a\x7fb"),
        ("a byte above 0x7f in a name is refused", b"X\xe9: a"),
    ] {
        table.push(case(name).field(field).refused(400));
    }
    table.push(case("a head above its limit is refused").field(format!("X: {}", "x".repeat(40_000))).refused(431));
    table
        .push(case("more fields than a head may have are refused").field("X: y\r\n".repeat(150) + "X: y").refused(431));
    table
}

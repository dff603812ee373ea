//! What is asked for, and of whom (RFC 9112, section 3.2; RFC 9110, sections 4 and 7.2).

use super::case::{Case, case};

pub(super) fn table() -> Vec<Case> {
    [targets(), paths(), hosts(), methods()].concat()
}

fn targets() -> Vec<Case> {
    let mut table = vec![
        case("an absolute target becomes a path").target("http://a/x?y").served("GET /x?y").with("host: a"),
        case("the host of an absolute target is the Host").target("http://b:81/").served("GET /").with("host: b:81"),
        case("an absolute target without a path becomes the root").target("http://a").served("GET /"),
        case("an absolute target with a query and no path becomes the root").target("http://a?x").served("GET /?x"),
        case("an absolute https target becomes a path").target("https://a/x").served("GET /x"),
        case("a scheme in capitals is a scheme").target("HTTP://a/x").served("GET /x"),
        case("OPTIONS of all leaves as it came").line("OPTIONS * HTTP/1.1").served("OPTIONS *"),
        case("a query stays as it is").target("/?a=../%2e%2e&b=//\\|^`{}").served("GET /?a=../%2e%2e&b=//\\|^`{}"),
        case("UTF-8 in a query stays as it is")
            .target("/?\u{e9}")
            .served("GET /?\u{e9}")
            .because("the query is the endpoint's to judge"),
    ];
    for (name, target) in [
        ("an asterisk is for OPTIONS alone", &b"*"[..]),
        ("an authority is for CONNECT alone", b"a:80"),
        ("a target that is a word is refused", b"a"),
        ("a target that is a relative path is refused", b"a/b"),
        ("an absolute target of another scheme is refused", b"ftp://a/"),
        ("an absolute target with userinfo is refused", b"http://u:p@a/"),
        ("an absolute target without a host is refused", b"http:///x"),
        ("an absolute target with a bad port is refused", b"http://a:x/"),
        ("an absolute target with a port above 65535 is refused", b"http://a:65536/"),
        ("a target that is no UTF-8 is refused", b"/\xff"),
        ("a query that is no UTF-8 is refused", b"/?\xff"),
        ("a NUL in a target is refused", b"/a\0b"),
        ("a control in a target is refused", b"/a\x01b"),
        ("a delete in a target is refused", b"/a\x7fb"),
        ("a quotation mark in a query is refused", b"/?\""),
        ("an angle bracket in a query is refused", b"/?<"),
        ("a control in a query is refused", b"/?a\x01b"),
        ("a bare CR in a target is refused", b"/a\rb"),
        ("a scheme without a slash is refused", b"http:/a"),
        ("a fragment is refused", b"/a#b"),
        ("an empty fragment is refused", b"/a#"),
        ("a fragment of a query is refused", b"/a?b#c"),
        ("a fragment of an absolute target is refused", b"http://a/#b"),
    ] {
        table.push(case(name).target(target).refused(400));
    }
    table.push(case("a target above its limit is refused").target(format!("/{}", "x".repeat(20_000))).declined(414));
    table
}

fn paths() -> Vec<Case> {
    let mut table = Vec::new();
    for (name, target, request) in [
        ("a dot segment is resolved", "/a/./b", "GET /a/b"),
        ("two dots are resolved", "/a/../b", "GET /b"),
        ("an encoded dot segment is resolved", "/a/%2e%2E/b", "GET /b"),
        ("a half encoded dot segment is resolved", "/a/.%2e/b", "GET /b"),
        ("a dot segment at the end leaves a slash", "/a/b/..", "GET /a/"),
        ("three dots are a name", "/.../a", "GET /.../a"),
        ("an encoded slash stays encoded", "/a%2Fb", "GET /a%2Fb"),
        ("an encoded backslash stays encoded", "/a%5Cb", "GET /a%5Cb"),
        ("an encoded dot segment behind an encoded slash stays", "/a%2F..%2Fb", "GET /a%2F..%2Fb"),
        ("an encoded letter is a letter", "/%61dmin", "GET /admin"),
        ("encoded digits and marks that mean nothing are what they are", "/%30%2D%2e%5f%7E", "GET /0-._~"),
        ("an encoding in lower case leaves in upper case", "/a%2fb%c3%a9%3b", "GET /a%2Fb%C3%A9%3B"),
        ("an encoded letter in a query stays encoded", "/?%61%2f", "GET /?%61%2f"),
        ("a double encoded letter stays so", "/%2561", "GET /%2561"),
        ("an empty segment stays", "//a//b", "GET //a//b"),
        ("a double slash at the begin is a path, not a host", "//evil/x", "GET //evil/x"),
        ("a double encoded dot stays so", "/a/%252e%252e/b", "GET /a/%252e%252e/b"),
        ("a line break that is encoded stays encoded", "/a%0d%0ab", "GET /a%0D%0Ab"),
        ("a parameter of a segment stays", "/a;x=../b", "GET /a;x=../b"),
        ("a segment of dots and a parameter is a name", "/a/..;/b", "GET /a/..;/b"),
        ("a quotation mark, braces, a bar and a caret in a path stay", "/\"{}|^", "GET /\"{}|^"),
        ("an absolute target is resolved like a path", "http://a/x/../y", "GET /y"),
    ] {
        table.push(case(name).target(target).served(request));
    }
    for (name, target) in [
        ("a path above its root is refused", "/.."),
        ("a path above its root in between is refused", "/a/../../b"),
        ("an encoded path above its root is refused", "/%2e%2e/a"),
        ("a backslash is refused", "/a\\b"),
        ("two dots between backslashes are refused", "/a\\..\\b"),
        ("an encoded NUL is refused", "/a%00b"),
        ("a percent sign alone is refused", "/a%"),
        ("a percent sign with one digit is refused", "/a%2"),
        ("a percent sign with letters is refused", "/a%zz"),
        ("an encoding of another fashion is refused", "/a%u002e"),
        ("UTF-8 in a path is refused", "/\u{e9}"),
        ("an angle bracket in a path is refused", "/a<b"),
        ("a backtick in a path is refused", "/a`b"),
    ] {
        table.push(case(name).target(target).refused(400));
    }
    table
}

fn hosts() -> Vec<Case> {
    let get = |host: &str| format!("GET / HTTP/1.1\r\n{host}\r\n\r\n");
    let mut table = vec![
        case("a Host with a port is a Host").sends(get("Host: a:80")).served("GET /").with("host: a:80"),
        case("a Host of a v6 address is a Host").sends(get("Host: [::1]:80")).served("GET /").with("host: [::1]:80"),
        case("a Host of HTTP/1.0 is given if there is none")
            .sends("GET / HTTP/1.0\r\n\r\n")
            .last("GET /")
            .with("host: site"),
    ];
    for (name, host) in [
        ("a request without Host is refused", "X: y"),
        ("an empty Host is refused", "Host:"),
        ("the same Host twice is refused", "Host: a\r\nHost: a"),
        ("two Hosts are refused", "Host: a\r\nHost: b"),
        ("a list of Hosts is refused", "Host: a, b"),
        ("a Host with userinfo is refused", "Host: u@a"),
        ("a Host with a path is refused", "Host: a/b"),
        ("a Host with a scheme is refused", "Host: http://a"),
        ("a Host with a fragment is refused", "Host: a#b"),
        ("a Host with a query is refused", "Host: a?b"),
        ("a Host with a backslash is refused", "Host: a\\b"),
        ("a Host with a blank is refused", "Host: a b"),
        ("a Host with a tab is refused", "Host: a\tb"),
        ("a Host with two ports is refused", "Host: a:80:81"),
        ("a Host with a port of letters is refused", "Host: a:x"),
        ("a Host with a port above 65535 is refused", "Host: a:99999"),
        ("a Host with a signed port is refused", "Host: a:+80"),
        ("a Host of a port alone is refused", "Host: :80"),
        ("a Host with an open bracket is refused", "Host: [::1"),
        ("a Host with something behind its bracket is refused", "Host: [::1]a"),
        ("a Host of a zoned address is refused", "Host: [fe80::1%25eth0]"),
        ("a Host with percent signs is refused", "Host: a%2eb"),
        ("a Host of letters beyond ASCII is refused", "Host: \u{e9}"),
        ("a Host with an asterisk is refused", "Host: *"),
    ] {
        table.push(case(name).sends(get(host)).refused(400));
    }
    for (name, fields) in [
        ("an absolute target without Host is refused", "X: y"),
        ("an absolute target with two Hosts is refused", "Host: a\r\nHost: b"),
    ] {
        table.push(case(name).sends(format!("GET http://a/ HTTP/1.1\r\n{fields}\r\n\r\n")).refused(400));
    }
    table
}

fn methods() -> Vec<Case> {
    vec![
        case("CONNECT is refused and nothing behind it is looked at")
            .sends("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
            .refused(405),
        case("CONNECT without a Host is malformed").sends("CONNECT a:443 HTTP/1.1\r\n\r\n").refused(400),
        case("CONNECT with a path is refused").line("CONNECT / HTTP/1.1").refused(405),
        case("TRACE is refused").line("TRACE / HTTP/1.1").refused(405),
        case("TRACE with two Hosts is malformed").sends("TRACE / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n").refused(400),
        case("TRACE with a body is refused and its body is not taken for a request")
            .sends("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
            .refused(405),
    ]
}

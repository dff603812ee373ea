//! What concerns one connection, and what says who asks (RFC 9110, section 7.6).

use super::case::{Case, case};

pub(super) fn table() -> Vec<Case> {
    [nominated(), hops(), ours(), upgrades()].concat()
}

fn hops() -> Vec<Case> {
    vec![
        case("Max-Forwards of OPTIONS is counted down")
            .sends("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n")
            .served("OPTIONS /")
            .with("max-forwards: 4"),
        case("an OPTIONS that may go no further is answered")
            .sends("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
            .declined(200),
        case("Max-Forwards of OPTIONS that is no number means nothing")
            .sends("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: +0\r\n\r\n")
            .served("OPTIONS /")
            .with("max-forwards: +0"),
        case("Max-Forwards of GET means nothing").field("Max-Forwards: 0").served("GET /").with("max-forwards: 0"),
    ]
}

fn nominated() -> Vec<Case> {
    vec![
        case("a nominated field is taken off")
            .field("Connection: x-a\r\nX-A: 1\r\nX-B: 2")
            .served("GET /")
            .without("x-a")
            .with("x-b: 2"),
        case("a field nominated behind it is taken off")
            .field("X-A: 1\r\nConnection: x-a")
            .served("GET /")
            .without("x-a"),
        case("fields nominated on two lines are taken off")
            .field("Connection: x-a\r\nConnection: keep-alive, x-b\r\nX-A: 1\r\nX-B: 2")
            .served("GET /")
            .without("x-a")
            .without("x-b"),
        case("a nominated field is taken off beside close")
            .field("Connection: close, X-A\r\nX-A: 1")
            .last("GET /")
            .without("x-a"),
        case("a nominated field that stands twice is taken off twice")
            .field("Connection: x-a\r\nX-A: 1\r\nX-A: 2")
            .served("GET /")
            .without("x-a"),
        case("empty elements of a nomination nominate nothing")
            .field("Connection: , ,x-a,,\r\nX-A: 1\r\nX-B: 2")
            .served("GET /")
            .without("x-a")
            .with("x-b: 2"),
        case("Host cannot be nominated").field("Connection: host").served("GET /").with("host: a"),
        case("the length cannot be nominated")
            .post("Connection: content-length\r\nContent-Length: 5\r\n\r\nhello")
            .served("POST / [5] hello"),
        case("the coding cannot be nominated")
            .post("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .served("POST / [chunked]"),
        case("what we say cannot be nominated")
            .field("Connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host, via")
            .served("GET /")
            .with("x-forwarded-for: 127.0.0.1")
            .with("x-forwarded-proto: http")
            .with("x-forwarded-host: a")
            .with("via: 1.1 evenkeel"),
        case("fields of the connection itself are taken off")
            .field("Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive")
            .served("GET /")
            .without("connection")
            .without("keep-alive")
            .without("proxy-connection"),
        case("TE is taken off").field("TE: gzip\r\nConnection: TE").served("GET /").without("te"),
        case("TE with trailers is taken down to that")
            .field("TE: gzip, trailers;q=0.5\r\nConnection: TE")
            .served("GET /")
            .with("te: trailers"),
    ]
}

fn ours() -> Vec<Case> {
    vec![
        case("what a stranger says of who asks is not believed")
            .field("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b")
            .served("GET /")
            .with("x-forwarded-for: 127.0.0.1")
            .with("x-forwarded-proto: http")
            .with("x-forwarded-host: a"),
        case("nobody but us says by which way a request came")
            .field("X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /x\r\nX-Forwarded-Server: b\r\nX-Real-IP: 6.6.6.6\r\nX_Real_IP: 7.7.7.7\r\nX-Real-Name: c")
            .served("GET /")
            .without("x-forwarded-port")
            .without("x-forwarded-prefix")
            .without("x-forwarded-server")
            .without("x-real-ip")
            .without("x_real_ip")
            .with("x-real-name: c"),
        case("Proxy is dropped, for CGI would take it for a setting").field("Proxy: http://evil").served("GET /").without("proxy"),
        case("Via says through whom").field("Via: 1.0 other").served("GET /").with("via: 1.0 other").with("via: 1.1 evenkeel"),
        case("fields of the same name keep their order").field("X: 1\r\nY: 2\r\nX: 3").served("GET /").with("x: 1").with("x: 3"),
        case("cookies pass as they are").field("Cookie: a=b; c=\"d\"").served("GET /").with("cookie: a=b; c=\"d\""),
    ]
}

fn upgrades() -> Vec<Case> {
    vec![
        case("an upgrade to h2c is taken off")
            .field("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk")
            .served("GET /")
            .without("upgrade")
            .without("connection"),
        case("an upgrade that the connection does not name is taken off")
            .field("Upgrade: websocket")
            .served("GET /")
            .without("upgrade"),
        case("an upgrade of HTTP/1.0 is ignored")
            .sends("GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            .last("GET /")
            .without("upgrade"),
        case("an upgrade to something unheard of is taken off")
            .field("Connection: upgrade\r\nUpgrade: cow")
            .served("GET /")
            .without("upgrade"),
    ]
}

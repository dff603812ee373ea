//! Many requests on a connection, its end, and bodies that wait (RFC 9112, section 9; RFC 9110, section 10.1.1).

use super::case::{Case, case};

pub(super) fn table() -> Vec<Case> {
    [pipelines(), ends(), expectations()].concat()
}

fn pipelines() -> Vec<Case> {
    vec![
        case("pipelined requests are served in their order")
            .sends("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
            .served_each(&["GET /1", "GET /2"]),
        case("requests with and without bodies are told apart")
            .sends(
                "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n\
                 POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            )
            .served_each(&["POST /1 [5] hello", "GET /2", "POST /3 [chunked] hi"]),
        case("an empty line between pipelined requests is skipped")
            .sends(
                "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            )
            .served_each(&["POST /1 [5] hello", "GET /2"]),
        case("what precedes a pipelined close is served")
            .sends("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .last_each(&["GET /1", "GET /2"]),
        case("a HEAD that is pipelined has an answer without a body")
            .sends("HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n")
            .asking("HEAD")
            .served("HEAD /1"),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        case("a client that closes gets its answer and the end").field("Connection: close").last("GET /"),
        case("close in capitals closes").field("Connection: CLOSE").last("GET /"),
        case("close in a list closes").field("Connection: x, close").last("GET /"),
        case("close on a second line closes").field("Connection: keep-alive\r\nConnection: close").last("GET /"),
        case("keep-alive in HTTP/1.1 changes nothing").field("Connection: keep-alive").served("GET /"),
        case("a refusal closes whatever the client wants")
            .sends("GET /a\\b HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            .refused(400),
        case("a connection that says nothing gets no answer").sends("").then_finishes().silence(),
        case("an empty line and no request gets no answer").sends("\r\n").then_finishes().silence(),
    ]
}

fn expectations() -> Vec<Case> {
    vec![
        case("a client that waits for 100 gets it and then its answer")
            .post("Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .then_after_100("hello")
            .served("POST / [5] hello"),
        case("a client that waits for 100 may send chunks")
            .post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
            .then_after_100("5\r\nhello\r\n0\r\n\r\n")
            .served("POST / [chunked] hello"),
        case("a refused request gets no 100")
            .sends("POST /a\\b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .refused(400),
        case("a request that is refused for its path gets no 100")
            .sends("POST /%zz HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
            .refused(400),
        case("a client that does not wait for its 100 gets none")
            .post("Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
            .served("POST / [5] hello"),
        case("another expectation is passed on").field("Expect: x").served("GET /").with("expect: x"),
        case("an expectation of HTTP/1.0 is ignored")
            .sends("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
            .last("POST / [5] hello"),
        case("an expectation without a body gets no 100").field("Expect: 100-continue").served("GET /"),
    ]
}

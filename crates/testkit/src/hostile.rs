//! Endpoints that misbehave, ready made: scripts for a `RawOrigin`.
//!
//! Each names one fault. Clients that misbehave are written with `Wire` in the test itself, where their bytes can be read.

use crate::wire::Script;

/// Answers with bytes that are no HTTP.
#[must_use]
pub fn talks_nonsense() -> Script {
    Script::new().reads_request().sends("\x16\x03\x01 this is not HTTP\r\n\r\n").closes()
}

/// Takes the request and resets the connection without an answer.
#[must_use]
pub fn resets_instead_of_an_answer() -> Script {
    Script::new().reads_request().resets()
}

/// Takes the request and closes without an answer.
#[must_use]
pub fn closes_instead_of_an_answer() -> Script {
    Script::new().reads_request().closes()
}

/// Takes the request and never answers.
#[must_use]
pub fn never_answers() -> Script {
    Script::new().reads_request().stalls()
}

/// Announces 1000 bytes, sends 10 and closes.
#[must_use]
pub fn promises_more_than_it_sends() -> Script {
    Script::new().reads_request().sends("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789").closes()
}

/// Announces 5 bytes and sends more, on a connection that it keeps.
#[must_use]
pub fn sends_more_than_it_promised() -> Script {
    Script::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    )
}

/// Sends two chunks and closes without the last one.
#[must_use]
pub fn cuts_its_chunks() -> Script {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    Script::new().reads_request().sends(format!("{head}5\r\nhello\r\n5\r\nworld\r\n")).closes()
}

/// Sends a chunk whose size is no number, and closes.
#[must_use]
pub fn sends_a_bad_chunk() -> Script {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    Script::new().reads_request().sends(format!("{head}5\r\nhello\r\nzz\r\nworld\r\n")).closes()
}

/// Sends part of a body that ends with the connection, and resets it.
#[must_use]
pub fn resets_a_body_that_ends_with_the_connection() -> Script {
    // What the proxy has not read by then is lost with the reset; a test that needs those bytes gates the script itself.
    Script::new().reads_request().sends("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart of it").resets()
}

/// Sends the head and part of the body, then nothing more.
#[must_use]
pub fn stalls_in_its_body() -> Script {
    Script::new().reads_request().sends("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789").stalls()
}

/// Sends half a head, then nothing more.
#[must_use]
pub fn stalls_in_its_head() -> Script {
    Script::new().reads_request().sends("HTTP/1.1 200 OK\r\nContent-").stalls()
}

//! Requests that never became one: they were refused, or their head never came. Counted and logged with an empty route.

use crate::{
    connection::ClientConnection,
    request::{log_unparsed, proxy_status},
};
use evenkeel_telemetry::{MethodLabel, Reason};
use http::StatusCode;
use std::fmt::Write;

/// Counts and logs what got `status` without having been a request, and gives a number by which its line is found.
pub(crate) fn unparsed(connection: &ClientConnection, status: u16, reason: Reason) -> u64 {
    let worker = connection.worker();
    let snapshot = worker.snapshot();
    let cells = snapshot.shared().no_route.cell(worker.id);
    cells.requests.inc(connection.listener().part.number.get(), MethodLabel::Other, status);
    cells.local(reason).inc();
    let id = worker.random().next_u64();
    if worker.logs() {
        log_unparsed(connection, id, status, reason);
    }
    id
}

/// The same, and what HTTP/1.1 says about it: the last answer of its connection, like any of our own (`request::respond`). Of one that is
/// `to_head` only the head is sent.
pub(crate) fn answered(connection: &ClientConnection, status: StatusCode, reason: Reason, to_head: bool) -> Vec<u8> {
    let id = unparsed(connection, status.as_u16(), reason);
    let (phrase, reason_name) = (status.canonical_reason().unwrap_or(""), reason.as_str());
    let text = format!("{} {phrase}\nreason: {reason_name}\nrequest: {id:016x}\n", status.as_str());
    let mut answer = format!(
        "HTTP/1.1 {} {phrase}\r\ncontent-length: {}\r\ncontent-type: text/plain; charset=utf-8\r\nx-request-id: {id:016x}\r\n",
        status.as_str(),
        text.len(),
    );
    if connection.listener().proxy_status.get() {
        let _ = write!(answer, "proxy-status: {}\r\n", proxy_status(reason));
    }
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(b"date: ");
    answer.extend_from_slice(&connection.worker().date());
    answer.extend_from_slice(b"\r\nconnection: close\r\n\r\n");
    if !to_head {
        answer.extend_from_slice(text.as_bytes());
    }
    answer
}

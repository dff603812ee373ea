//! Requests that never became one: hyper refused them, or their head never came. Counted and logged with an empty route.

use crate::{connection::ClientConnection, request::log_unparsed};
use evenkeel_telemetry::{MethodLabel, Reason};

/// Counts and logs what got `status` without having been a request.
pub(crate) fn unparsed(connection: &ClientConnection, status: u16, reason: Reason) {
    let worker = connection.worker();
    let snapshot = worker.snapshot();
    let cells = snapshot.shared().no_route.cell(worker.id);
    cells.requests.inc(connection.listener().part.id, MethodLabel::Other, status);
    cells.local(reason).inc();
    if worker.logs() {
        log_unparsed(connection, status, reason);
    }
}

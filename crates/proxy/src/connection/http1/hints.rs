//! What an endpoint says before its answer (1xx), on its way to the client.

use crate::codec;
use http::{HeaderMap, StatusCode};
use std::cell::{Cell, RefCell};

/// Bytes that are passed on for a request, and what one head more may have: an endpoint may say it for ever.
const HINTS_MAX: usize = 16 * 1024;

/// Heads that are still to be written.
#[derive(Debug, Default)]
pub(in crate::connection) struct Hints {
    bytes: RefCell<Vec<u8>>,
    /// Bytes so far, for the request at hand.
    told: Cell<usize>,
}

impl Hints {
    /// Another request.
    pub(in crate::connection) fn begin(&self) {
        self.told.set(0);
    }

    pub(in crate::connection) fn add(&self, status: StatusCode, fields: &HeaderMap) {
        if self.told.get() > HINTS_MAX {
            return;
        }
        let mut bytes = self.bytes.borrow_mut();
        let before = bytes.len();
        codec::begin_answer(status, false, &mut bytes);
        fields.iter().for_each(|(name, value)| codec::write(name, value, &mut bytes));
        bytes.extend_from_slice(b"\r\n");
        self.told.set(self.told.get() + bytes.len() - before);
    }

    /// Moves them behind these bytes.
    pub(super) fn take(&self, to: &mut Vec<u8>) {
        let mut bytes = self.bytes.borrow_mut();
        if !bytes.is_empty() {
            to.append(&mut bytes);
        }
    }
}

//! The head that a worker has heard last.
//!
//! One for the clients of a worker and one for its endpoints, not one for each connection: a head is judged in the same turn in which
//! its last byte is read, and nothing else is read in that turn. So it costs a copy of at most a kibibyte for each head (10 ns), and
//! no memory that grows. What came in pieces, with others in between, is not kept.

use std::cell::{Cell, RefCell};

/// Bytes of a head that are kept.
pub(super) const HEAD_MAX: usize = 1024;

/// The head that was heard last.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Who said it: a number that only one living connection has.
    from: Cell<usize>,
    /// Bytes of it so far, those that were not kept included.
    total: Cell<u64>,
    bytes: RefCell<Vec<u8>>,
}

impl Heard {
    /// More of a head, of which `before` bytes had been read.
    #[inline]
    pub(crate) fn note(&self, from: usize, before: u64, bytes: &[u8]) {
        let mut kept = self.bytes.borrow_mut();
        if before == 0 {
            self.from.set(from);
            kept.clear();
        } else if self.from.get() != from || self.total.get() != before {
            return;
        }
        self.total.set(before + bytes.len() as u64);
        let room = HEAD_MAX - kept.len();
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The head that `from` has said, if all of its `total` bytes were heard; cut at [`HEAD_MAX`].
    pub(crate) fn head(&self, from: usize, total: u64) -> Option<Vec<u8>> {
        let whole = total > 0 && self.from.get() == from && self.total.get() == total;
        whole.then(|| self.bytes.borrow().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_kept_only_if_nobody_spoke_in_between() {
        let heard = Heard::default();
        heard.note(1, 0, b"GET ");
        heard.note(1, 4, b"/");
        assert_eq!(heard.head(1, 5).unwrap(), b"GET /");
        assert_eq!((heard.head(1, 4), heard.head(2, 5)), (None, None));
        heard.note(2, 0, b"PUT");
        heard.note(1, 5, b" HTTP");
        assert_eq!((heard.head(1, 10), heard.head(2, 3)), (None, Some(b"PUT".to_vec())));
    }

    #[test]
    fn no_more_than_a_kibibyte_is_kept() {
        let heard = Heard::default();
        heard.note(1, 0, &[b'x'; 1000]);
        heard.note(1, 1000, &[b'y'; 1000]);
        assert_eq!(heard.head(1, 2000).map(|head| head.len()), Some(HEAD_MAX));
    }
}

//! A worker's end of the access log.

use super::{
    queue::{Batch, Producer},
    record::Record,
    stamp::Stamp,
};
use std::{mem, sync::atomic::Ordering::Relaxed};

/// Bytes of lines that a worker gathers before it hands them over. One message for about forty requests; the worker
/// flushes what is left when it has nothing else to do.
pub const BATCH: usize = 16 * 1024;

/// Where one worker writes its records. Belongs to that worker alone; never blocks.
#[derive(Debug)]
pub struct LogSender {
    producer: Producer,
    stamp: Stamp,
    batch: Vec<u8>,
    lines: u64,
}

impl LogSender {
    pub(super) fn new(producer: Producer) -> Self {
        Self { producer, stamp: Stamp::new(), batch: Vec::new(), lines: 0 }
    }

    /// Whether there is an access log now. While there is none, no record needs to be made.
    #[inline]
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.producer.shared.enabled.load(Relaxed)
    }

    /// Writes a record into the worker's buffer, and hands the buffer over when it is full. Nothing while the log is off.
    pub fn write(&mut self, record: &Record<'_>) {
        if !self.enabled() {
            return;
        }
        if self.batch.capacity() == 0 {
            self.batch.reserve(BATCH + BATCH / 8);
        }
        record.write(&mut self.batch, &mut self.stamp);
        self.lines += 1;
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// Whether lines wait in the buffer.
    #[must_use]
    pub fn has_unflushed(&self) -> bool {
        self.lines > 0
    }

    /// Hands over what is in the buffer. To be called some times a second and before the worker ends.
    pub fn flush(&mut self) {
        if self.lines > 0 {
            self.producer.lines(Batch { bytes: mem::take(&mut self.batch), lines: mem::take(&mut self.lines) });
        }
    }
}

impl Drop for LogSender {
    fn drop(&mut self) {
        self.flush();
    }
}

//! What passes between the workers and the thread that writes: batches of whole lines, bounded in bytes, and orders.
//!
//! The bound is on bytes and not on batches, because a line may be as long as `limits.uri_max` lets it be. Orders pass in
//! the same queue, so that lines written before a change of file land in the old file.

use std::{
    fs::File,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
};

/// Bytes of finished lines that wait to be written; what comes on top is dropped and counted. 4 MiB are about half a
/// second of 20 000 requests a second, which outlasts the pauses of a busy disk.
pub const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Whole lines, ready to be written.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

/// Where lines go from now on.
#[derive(Debug)]
pub(super) enum Output {
    /// Nowhere: what still comes is dropped and counted.
    Off,
    Stdout,
    File {
        file: File,
        path: PathBuf,
    },
}

#[derive(Debug)]
pub(super) enum Message {
    Lines(Batch),
    Output(Output),
    Reopen,
    Stop,
}

/// What all parts of the access log know.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) enabled: AtomicBool,
    pub(super) dropped: AtomicU64,
    waiting: AtomicUsize,
}

/// The workers' end.
#[derive(Clone, Debug)]
pub(super) struct Producer {
    pub(super) shared: Arc<Shared>,
    // Unbounded in messages; `Shared::waiting` bounds the bytes. Sending never blocks.
    channel: mpsc::Sender<Message>,
}

/// The writing thread's end.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) shared: Arc<Shared>,
    channel: mpsc::Receiver<Message>,
}

pub(super) fn queue() -> (Producer, Consumer) {
    let (send, receive) = mpsc::channel();
    let shared = Arc::new(Shared::default());
    (Producer { shared: Arc::clone(&shared), channel: send }, Consumer { shared, channel: receive })
}

impl Producer {
    /// Hands lines over, or drops and counts them when too many wait or nobody writes any more.
    pub(super) fn lines(&self, batch: Batch) {
        let (bytes, lines) = (batch.bytes.len(), batch.lines);
        // Several workers may pass the bound together, by one batch each at most.
        let full = self.shared.waiting.load(Relaxed) + bytes > QUEUE_BYTES_MAX;
        if !full {
            self.shared.waiting.fetch_add(bytes, Relaxed);
        }
        if full || self.channel.send(Message::Lines(batch)).is_err() {
            self.shared.dropped.fetch_add(lines, Relaxed);
        }
    }

    /// Gives an order. `false` when nobody takes orders any more.
    pub(super) fn order(&self, order: Message) -> bool {
        self.channel.send(order).is_ok()
    }
}

impl Consumer {
    /// The next message, waiting for it. `None` when every producer is gone.
    pub(super) fn wait(&self) -> Option<Message> {
        self.channel.recv().ok()
    }

    /// The next message, if there is one.
    pub(super) fn next(&self) -> Option<Message> {
        self.channel.try_recv().ok()
    }

    /// Says that so many bytes wait no longer.
    pub(super) fn done(&self, bytes: usize) {
        self.shared.waiting.fetch_sub(bytes, Relaxed);
    }
}

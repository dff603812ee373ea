//! Starts, turns, reopens and ends the access log. For the control thread.

use super::{
    queue::{Message, Output, Producer, queue},
    sender::LogSender,
    writer::Writer,
};
use crate::{Exposition, names};
use evenkeel_model as model;
use std::{
    fs::File,
    io,
    path::Path,
    sync::{Mutex, PoisonError, atomic::Ordering::Relaxed, mpsc},
    thread,
    time::Duration,
};

/// The access log and its thread. Off until a [`Prepared`] output is applied.
#[derive(Debug)]
pub struct AccessLog {
    producer: Producer,
    output: Mutex<Option<model::LogOutput>>,
    ended: Mutex<mpsc::Receiver<()>>,
}

/// An output that has been opened and is not yet written to: the part of a change that may fail, done before the change.
#[derive(Debug)]
#[must_use = "nothing changes until it is applied"]
pub struct Prepared {
    wanted: Option<model::LogOutput>,
    /// `None`: what is written to now stays.
    output: Option<Output>,
}

impl AccessLog {
    /// Starts the thread, with the log off.
    ///
    /// # Errors
    /// When the system gives us no thread.
    pub fn start() -> io::Result<Self> {
        let (producer, consumer) = queue();
        let (ending, ended) = mpsc::channel();
        thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            Writer::new(consumer).run();
            // Whoever waits in `stop` is told; nobody may be waiting.
            let _ = ending.send(());
        })?;
        Ok(Self { producer, output: Mutex::new(None), ended: Mutex::new(ended) })
    }

    /// A worker's end. Each worker has its own.
    #[must_use]
    pub fn sender(&self) -> LogSender {
        LogSender::new(self.producer.clone())
    }

    /// Opens what the configuration wants, without writing to it yet. `None` is off. An output that is in use already is
    /// not opened again.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub fn prepare(&self, wanted: Option<&model::AccessLog>) -> io::Result<Prepared> {
        let wanted = wanted.map(|log| log.output.clone());
        let same = *self.current() == wanted;
        let output = match &wanted {
            _ if same => None,
            None => Some(Output::Off),
            Some(model::LogOutput::Stdout) => Some(Output::Stdout),
            Some(model::LogOutput::File(path)) => Some(Output::File { file: open(path)?, path: path.clone() }),
        };
        Ok(Prepared { wanted, output })
    }

    /// Writes to what was prepared from now on. Lines that the workers handed over before go to where they would have gone.
    pub fn apply(&self, prepared: Prepared) {
        let Some(output) = prepared.output else { return };
        let mut current = self.current();
        self.producer.shared.enabled.store(prepared.wanted.is_some(), Relaxed);
        self.producer.order(Message::Output(output));
        *current = prepared.wanted;
    }

    /// Opens the file again by its name, after a rotation has moved it away (USR1). Nothing happens without a file.
    pub fn reopen(&self) {
        self.producer.order(Message::Reopen);
    }

    /// Lines that were lost: the queue was full, the disk failed, or the log was turned off before they were handed over.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.producer.shared.dropped.load(Relaxed)
    }

    /// Writes [`names::ACCESS_LOG_DROPPED`].
    pub fn scrape(&self, page: &mut Exposition) {
        page.family(&names::ACCESS_LOG_DROPPED).sample(&[], self.dropped());
    }

    /// Ends the thread once it has written what was handed over, so drop the workers' ends (or flush them) before.
    /// `false` if that took longer than `patience`: the rest is lost then, because a process that is told to stop stops.
    pub fn stop(&self, patience: Duration) -> bool {
        self.producer.shared.enabled.store(false, Relaxed);
        if !self.producer.order(Message::Stop) {
            return true;
        }
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // Disconnected: the thread has ended and somebody else has heard of it.
        ended.recv_timeout(patience) != Err(mpsc::RecvTimeoutError::Timeout)
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<model::LogOutput>> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For appending, made if it is not there.
pub(super) fn open(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

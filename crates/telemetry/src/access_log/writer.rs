//! The thread that writes the lines.
//!
//! It takes what has gathered in the queue, writes it in one go, and takes orders in between. It may wait for the disk
//! as long as it has to: nobody waits for it.

use super::{
    control::open,
    queue::{Batch, Consumer, Message, Output},
};
use std::{
    io::{self, Write},
    mem,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

/// Bytes written in one go at most, unless a single batch is longer.
const WRITE_MAX: usize = 256 * 1024;
/// A disk that stays broken is mentioned so often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct Writer {
    consumer: Consumer,
    output: Output,
    pending: Batch,
    /// A failed write left part of a line behind: the next one begins with an end of line.
    torn: bool,
    complained: Option<Instant>,
}

impl Writer {
    pub(super) fn new(consumer: Consumer) -> Self {
        let pending = Batch { bytes: Vec::new(), lines: 0 };
        Self { consumer, output: Output::Off, pending, torn: false, complained: None }
    }

    /// Writes until it is told to stop; then everything that was handed over before has been written.
    pub(super) fn run(mut self) {
        while let Some(message) = self.consumer.wait() {
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Lines(batch) => self.gather(batch),
                    Message::Output(output) => self.turn_to(output),
                    Message::Reopen => self.reopen(),
                    Message::Stop => return self.write_pending(),
                }
                next = self.consumer.next();
            }
            self.write_pending();
        }
    }

    fn gather(&mut self, batch: Batch) {
        if self.pending.lines > 0 && self.pending.bytes.len() + batch.bytes.len() > WRITE_MAX {
            self.write_pending();
        }
        if self.pending.lines == 0 {
            self.pending = batch;
        } else {
            self.pending.bytes.extend_from_slice(&batch.bytes);
            self.pending.lines += batch.lines;
        }
    }

    fn turn_to(&mut self, output: Output) {
        self.write_pending();
        (self.output, self.torn) = (output, false);
    }

    /// The file by the same name, which a rotation has moved away. When it cannot be opened, the old one goes on.
    fn reopen(&mut self) {
        let Output::File { path, .. } = &self.output else { return };
        match open(path) {
            Ok(file) => self.turn_to(Output::File { file, path: path.clone() }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the access log cannot be opened again; the old file goes on");
            }
        }
    }

    fn write_pending(&mut self) {
        let batch = Batch { bytes: mem::take(&mut self.pending.bytes), lines: mem::take(&mut self.pending.lines) };
        if batch.lines == 0 {
            return;
        }
        self.consumer.done(batch.bytes.len());
        let result = match &mut self.output {
            Output::Off => Err((0, None)),
            Output::Stdout => write_lines(&mut io::stdout().lock(), &batch.bytes, self.torn),
            Output::File { file, .. } => write_lines(file, &batch.bytes, self.torn),
        };
        match result {
            Ok(()) => self.torn = false,
            Err((written, error)) => {
                let (done, lost) = batch.bytes.split_at(written);
                self.torn = if done.is_empty() { self.torn } else { !done.ends_with(b"\n") };
                let lost = lost.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.consumer.shared.dropped.fetch_add(lost, Relaxed);
                if let Some(error) = error {
                    self.complain(&error, Instant::now());
                }
            }
        }
    }

    fn complain(&mut self, error: &io::Error, now: Instant) {
        if self.complained.is_none_or(|last| now.duration_since(last) >= COMPLAINT_INTERVAL) {
            self.complained = Some(now);
            tracing::warn!(%error, "the access log cannot be written; lines are dropped and counted");
        }
    }
}

/// Writes all bytes, behind an end of line if the line before was torn. An error says how many of them were written.
fn write_lines(out: &mut impl Write, bytes: &[u8], torn: bool) -> Result<(), (usize, Option<io::Error>)> {
    if torn {
        out.write_all(b"\n").map_err(|error| (0, Some(error)))?;
    }
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return Err((written, Some(io::ErrorKind::WriteZero.into()))),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, Some(error))),
        }
    }
    out.flush().map_err(|error| (written, Some(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_log::queue::queue;
    use std::{fs::File, path::PathBuf};

    #[test]
    fn a_torn_line_is_ended_before_the_next_one_begins() {
        /// Takes seven bytes, fails once, then takes all.
        struct Full(Vec<u8>, bool);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let room = if self.1 { bytes.len() } else { (7 - self.0.len().min(7)).min(bytes.len()) };
                self.0.extend_from_slice(&bytes[..room]);
                if room > 0 { Ok(room) } else { Err(io::ErrorKind::StorageFull.into()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut disk = Full(Vec::new(), false);

        let (written, error) = write_lines(&mut disk, b"first\nsecond\n", false).unwrap_err();
        assert_eq!((written, error.unwrap().kind()), (7, io::ErrorKind::StorageFull));
        disk.1 = true;
        write_lines(&mut disk, b"third\n", true).unwrap();

        assert_eq!(disk.0, b"first\ns\nthird\n");
    }

    #[test]
    fn a_full_disk_drops_and_counts_and_complains_once_in_a_while() {
        let (producer, consumer) = queue();
        let mut writer = Writer::new(consumer);
        // /dev/full: every write fails with ENOSPC (full(4)).
        let file = File::options().write(true).open("/dev/full").unwrap();
        writer.turn_to(Output::File { file, path: PathBuf::from("/dev/full") });

        for _ in 0..3 {
            producer.lines(Batch { bytes: b"a\nb\n".to_vec(), lines: 2 });
            let Some(Message::Lines(batch)) = writer.consumer.next() else { panic!("lines were sent") };
            writer.gather(batch);
            writer.write_pending();
        }

        assert_eq!(producer.shared.dropped.load(Relaxed), 6);
        let first = writer.complained.expect("said once");
        writer.complain(&io::ErrorKind::StorageFull.into(), first + COMPLAINT_INTERVAL / 2);
        assert_eq!(writer.complained, Some(first), "not said again so soon");
        writer.complain(&io::ErrorKind::StorageFull.into(), first + COMPLAINT_INTERVAL);
        assert_eq!(writer.complained, Some(first + COMPLAINT_INTERVAL));
    }
}

//! One JSON object a line for each request.
//!
//! A worker formats a [`Record`] into the buffer of its own [`LogSender`] and hands full buffers to one thread that
//! writes them: to standard output or to a file. No worker ever waits for it. When the disk is slower than the requests,
//! lines are dropped and counted; when it fails, that is said once in a while and counted. The [`AccessLog`] starts the
//! thread, turns it to another file, has the file opened again after a rotation, and ends it.

mod control;
mod escape;
mod queue;
mod record;
mod sender;
mod stamp;
mod writer;

pub use control::{AccessLog, Prepared};
pub use queue::QUEUE_BYTES_MAX;
pub use record::{Answer, Phases, Record, Request, Target};
pub use sender::{BATCH, LogSender};

#[cfg(test)]
mod tests;

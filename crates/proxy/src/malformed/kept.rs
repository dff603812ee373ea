//! The last malformed messages of each worker, and how an operator reads them.

use evenkeel_telemetry::{Counter, PerWorker, Reason};
use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Mutex, PoisonError, TryLockError},
    time::SystemTime,
};

/// Bytes of a head that are kept.
const HEAD_MAX: usize = 1024;

/// Messages of each kind that are kept: an attack fills any number, and the first few of it tell as much.
const KEPT_MAX: usize = 32;

/// A message that broke HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// When it was judged.
    pub at: SystemTime,
    /// By which listener its client came, or the client of the request that it answers.
    pub listener: String,
    /// Who that client is.
    pub client: Option<IpAddr>,
    /// The upstream and endpoint that sent it; `None`: it is a request.
    pub sender: Option<(String, String)>,
    /// As in metrics and log.
    pub reason: Reason,
    /// What is wrong.
    pub cause: String,
    /// `None`: a body, or bytes that are gone.
    pub head: Option<Head>,
}

/// The head of a message, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// 1 KiB at most.
    pub bytes: Vec<u8>,
    /// Bytes of the head before these.
    pub skipped: usize,
    /// Of the first byte that is wrong, from the begin of the head; `None`: it is not known.
    pub offset: Option<usize>,
    /// Byte by byte what came; otherwise made of what was understood.
    pub as_received: bool,
}

impl Head {
    /// Of all that is there, the part with the byte that is wrong.
    pub(super) fn around(bytes: &[u8], offset: Option<usize>, as_received: bool) -> Self {
        let skipped = offset.filter(|at| *at >= HEAD_MAX).map_or(0, |at| at - HEAD_MAX / 2);
        let end = bytes.len().min(skipped + HEAD_MAX);
        Self { bytes: bytes[skipped.min(end)..end].to_vec(), skipped, offset, as_received }
    }
}

/// The last malformed messages of all workers, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastErrors {
    /// What clients sent, 32 at most.
    pub requests: Vec<Malformed>,
    /// What endpoints sent, 32 at most.
    pub responses: Vec<Malformed>,
    /// Messages that were not kept because somebody was reading just then.
    pub missed: u64,
}

/// The last malformed messages of one worker. The worker never waits: while an operator reads, it goes without.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    requests: Mutex<VecDeque<Malformed>>,
    responses: Mutex<VecDeque<Malformed>>,
    missed: Counter,
}

impl Kept {
    /// By the worker itself.
    pub(super) fn keep(&self, message: Malformed) {
        let list = if message.sender.is_none() { &self.requests } else { &self.responses };
        let mut list = match list.try_lock() {
            Ok(list) => list,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return self.missed.inc(),
        };
        if list.len() == KEPT_MAX {
            list.pop_front();
        }
        list.push_back(message);
    }

    /// What all workers have kept. Not for a worker's thread: it waits for those who write.
    pub(crate) fn of_all(workers: &PerWorker<Self>) -> LastErrors {
        let last = |list: fn(&Self) -> &Mutex<VecDeque<Malformed>>| {
            let lists = workers.iter().map(|kept| list(kept).lock().unwrap_or_else(PoisonError::into_inner).clone());
            let mut all: Vec<Malformed> = lists.flatten().collect();
            all.sort_by_key(|message| std::cmp::Reverse(message.at));
            all.truncate(KEPT_MAX);
            all
        };
        LastErrors {
            requests: last(|kept| &kept.requests),
            responses: last(|kept| &kept.responses),
            missed: workers.iter().map(|kept| kept.missed.get()).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn message(second: u64) -> Malformed {
        Malformed {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
            listener: "web".into(),
            client: None,
            sender: None,
            reason: Reason::MalformedRequest,
            cause: second.to_string(),
            head: None,
        }
    }

    #[test]
    fn the_last_ones_of_all_workers_are_kept_newest_first() {
        let workers: PerWorker<Kept> = PerWorker::new(2);
        for second in 0..100 {
            workers.cell(usize::try_from(second % 2).unwrap()).keep(message(second));
        }
        let last = Kept::of_all(&workers);
        let causes: Vec<u64> = last.requests.iter().map(|message| message.cause.parse().unwrap()).collect();
        assert_eq!(causes, (68..100).rev().collect::<Vec<u64>>());
        assert_eq!((last.responses, last.missed), (vec![], 0));
    }

    #[test]
    fn a_worker_does_not_wait_for_a_reader() {
        let kept = Kept::default();
        let reading = kept.requests.lock().unwrap();
        kept.keep(message(1));
        drop(reading);
        assert_eq!((kept.missed.get(), kept.requests.lock().unwrap().len()), (1, 0));
    }

    #[test]
    fn of_a_long_head_the_part_with_the_fault_is_shown() {
        let bytes = [b'x'; 5000];
        for (offset, skipped, length) in [
            (None, 0, 1024),
            (Some(1023), 0, 1024),
            (Some(1024), 512, 1024),
            (Some(4999), 4487, 513),
            (Some(9000), 8488, 0),
        ] {
            let head = Head::around(&bytes, offset, true);
            assert_eq!((head.skipped, head.bytes.len()), (skipped, length), "{offset:?}");
        }
    }
}

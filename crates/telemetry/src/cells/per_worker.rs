//! One cell for each worker, made when its worker first writes.

use std::sync::OnceLock;

/// Keeps a cell alone on its cache lines. 128 bytes, because x86-64 fetches lines in pairs (Intel 64 and IA-32
/// Architectures Optimization Reference Manual, "spatial prefetcher") and some arm64 cores have lines of 128.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

/// One `T` for each worker. A `T` is made when its worker first asks for it, so that ten thousand routes cost next to
/// nothing until they are used.
#[derive(Debug)]
pub struct PerWorker<T>(Box<[OnceLock<Box<Padded<T>>>]>);

impl<T: Default> PerWorker<T> {
    /// For workers 0 to `workers - 1`.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| OnceLock::new()).collect())
    }

    /// The cell of this worker. Only the worker itself calls it: it is the one who writes.
    ///
    /// # Panics
    /// When there is no such worker.
    #[inline]
    #[must_use]
    pub fn cell(&self, worker: usize) -> &T {
        &self.0[worker].get_or_init(Box::default).0
    }

    /// The cell of this worker, if it has been made; for readers.
    #[must_use]
    pub fn get(&self, worker: usize) -> Option<&T> {
        self.0.get(worker)?.get().map(|padded| &padded.0)
    }

    /// All cells that have been made; for readers.
    pub fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.0.iter().filter_map(|cell| cell.get().map(|padded| &padded.0))
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counter;

    #[test]
    fn a_cell_is_made_when_its_worker_first_writes() {
        let cells: PerWorker<Counter> = PerWorker::new(3);
        assert_eq!(cells.iter().count(), 0);

        cells.cell(1).add(5);
        cells.cell(1).inc();

        assert_eq!(cells.iter().map(Counter::get).collect::<Vec<_>>(), [6]);
        assert!(cells.get(0).is_none());
        assert_eq!(cells.get(1).map(Counter::get), Some(6));
        assert_eq!(cells.workers(), 3);
    }

    #[test]
    fn two_workers_never_share_a_cache_line() {
        assert_eq!(align_of::<Padded<Counter>>(), 128);
        assert_eq!(size_of::<Padded<Counter>>(), 128);
    }
}

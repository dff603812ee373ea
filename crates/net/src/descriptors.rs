//! File descriptors: as many as we may have, and one kept in reserve.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;

/// Raises the soft limit of descriptors to the hard one and tells what it is now.
#[must_use]
pub fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let now = getrlimit(Resource::Nofile).current;
    now.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// One descriptor kept in reserve. When the process has none left, a waiting client can still be taken off the queue and
/// closed, so that it learns at once instead of waiting for its own timeout.
#[derive(Debug)]
pub struct Spare(Option<File>);

impl Spare {
    /// Takes the reserve.
    #[must_use]
    pub fn take() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Frees the reserve while `work` runs, then takes it again.
    pub fn lend<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.0 = None;
        let done = work();
        self.0 = File::open("/dev/null").ok();
        done
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let now = super::raise_limit();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!(now > 0);
    }
}

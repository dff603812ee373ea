//! Tells when the configuration file has another content.
//!
//! Events of the file system are only hints: after one the file is read, and only another content hash counts, once it has been quiet for
//! a moment. A slow poll covers what gives no events (NFS, bind mounts). What is done about a change is decided above.

mod debounce;
mod follow;
mod steps;

use crate::{ContentHash, load};
use debounce::Debounce;
use follow::Follower;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

/// How often the file is read although nothing was heard of it.
const POLL: Duration = Duration::from_secs(10);

/// A watch over one file and every link on the way to it.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    seen: Content,
    hints: Arc<Notify>,
    follower: Arc<Mutex<Follower>>,
}

/// What reading the file gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Bytes(ContentHash),
    Unreadable,
}

impl Watch {
    /// Watches the file from now on; what it contains now counts as seen. Start before loading, or tell [`Watch::seen`] what was loaded,
    /// so that no change falls in between. Reads the file once, blocking.
    ///
    /// Never fails: where watching is impossible a warning is logged, and the file is read every 10 seconds instead.
    #[must_use]
    pub fn start(path: &Path) -> Self {
        let hints = Arc::new(Notify::new());
        let follower = Follower::new(path, Arc::clone(&hints));
        Self::with(path, hints, follower)
    }

    fn with(path: &Path, hints: Arc<Notify>, mut follower: Follower) -> Self {
        follower.follow();
        let seen = Content::of(path);
        Self { path: path.to_owned(), seen, hints, follower: Arc::new(Mutex::new(follower)) }
    }

    /// This content is known: it has been loaded otherwise (at start, by signal, by the admin API).
    pub fn seen(&mut self, hash: ContentHash) {
        self.seen = Content::Bytes(hash);
    }

    /// Waits until the file's content differs from what was last seen, and has been quiet for 50 ms (or changing for 500 ms). A file that
    /// is gone is waited for until those 500 ms are over; then that counts as a change, and loading it will say what is wrong.
    ///
    /// May be dropped and called again at any point without missing a change.
    pub async fn changed(&mut self) {
        loop {
            if self.look().await == self.seen {
                // Woken or not: the next look decides.
                let _ = timeout(POLL, self.hints.notified()).await;
                continue;
            }
            let content = self.settle().await;
            if content != self.seen {
                self.seen = content;
                return;
            }
        }
    }

    /// The content once it has come to rest.
    async fn settle(&self) -> Content {
        let mut debounce = Debounce::begin(Instant::now());
        loop {
            let hinted = timeout_at(debounce.deadline(), self.hints.notified()).await.is_ok();
            let now = Instant::now();
            if hinted && debounce.hint(now) {
                continue;
            }
            let content = self.look().await;
            if content != Content::Unreadable || debounce.is_over(now) {
                return content;
            }
            debounce.wait_to_the_end();
        }
    }

    /// What the file contains now. Reads in a blocking task: on a dead network mount, probes and metrics go on.
    async fn look(&self) -> Content {
        let (path, follower) = (self.path.clone(), Arc::clone(&self.follower));
        let read = tokio::task::spawn_blocking(move || {
            // First the watch, then the reading: a change in between is read or heard of.
            follower.lock().unwrap_or_else(PoisonError::into_inner).follow();
            Content::of(&path)
        });
        // The task ends early only when the runtime does.
        read.await.unwrap_or(self.seen)
    }
}

impl Content {
    fn of(path: &Path) -> Self {
        load::read(path).map_or(Self::Unreadable, |bytes| Self::Bytes(ContentHash::of(&bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test(start_paused = true)]
    async fn where_watching_is_impossible_the_file_is_read_every_ten_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evenkeel.toml");
        fs::write(&path, "a").unwrap();
        let mut watch = Watch::with(&path, Arc::default(), Follower::deaf(&path));
        let begun = Instant::now();
        assert!(timeout(Duration::from_secs(60), watch.changed()).await.is_err());

        fs::write(&path, "b").unwrap();
        watch.changed().await;

        assert!(begun.elapsed() <= Duration::from_secs(71), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_content_that_was_loaded_otherwise_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evenkeel.toml");
        fs::write(&path, "a").unwrap();
        let mut watch = Watch::with(&path, Arc::default(), Follower::deaf(&path));

        fs::write(&path, "b").unwrap();
        watch.seen(ContentHash::of(b"b"));

        assert!(timeout(Duration::from_secs(60), watch.changed()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_stays_away_is_reported_once_after_the_debounce_maximum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evenkeel.toml");
        fs::write(&path, "a").unwrap();
        let mut watch = Watch::with(&path, Arc::default(), Follower::deaf(&path));
        let begun = Instant::now();

        fs::remove_file(&path).unwrap();
        watch.changed().await;

        assert!(begun.elapsed() >= debounce::LONGEST, "{:?}", begun.elapsed());
        assert!(timeout(Duration::from_secs(60), watch.changed()).await.is_err());
    }
}

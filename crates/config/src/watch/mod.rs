//! Tells when the configuration file, or a file that it names, has another content.
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
    collections::HashMap,
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

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The configuration file.
    Configuration,
    /// A file that it names, and not the configuration itself.
    Named,
}

/// A watch over the configuration file, the files that it names, and every link on the way to them.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    named: Vec<PathBuf>,
    seen: Content,
    named_seen: Vec<Content>,
    hints: Arc<Notify>,
    follower: Arc<Mutex<Follower>>,
}

/// What reading all files gave: the configuration, then those that it names, in their order.
type Seen = (Content, Vec<Content>);

/// What reading one file gave.
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
        let (named, named_seen) = (Vec::new(), Vec::new());
        Self { path: path.to_owned(), named, seen, named_seen, hints, follower: Arc::new(Mutex::new(follower)) }
    }

    /// This content is known: it has been loaded otherwise (at start, by signal, by the admin API).
    pub fn seen(&mut self, hash: ContentHash) {
        self.seen = Content::Bytes(hash);
    }

    /// Watches these files as well, and of those named before only the ones that are among them. What new ones contain now counts as
    /// seen; name them before they are loaded, so that no change falls in between. Reads them once, blocking.
    pub fn named(&mut self, files: Vec<PathBuf>) {
        if files == self.named {
            return;
        }
        let known: HashMap<&PathBuf, Content> = self.named.iter().zip(self.named_seen.iter().copied()).collect();
        let seen = files.iter().map(|path| known.get(path).copied());
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        follower.watch_also(&files);
        follower.follow();
        drop(follower);
        let seen = seen.zip(&files).map(|(known, path)| known.unwrap_or_else(|| Content::of(path))).collect();
        (self.named, self.named_seen) = (files, seen);
    }

    /// Waits until the content of a file differs from what was last seen, and has been quiet for 50 ms (or changing for 500 ms). A file that
    /// is gone is waited for until those 500 ms are over; then that counts as a change, and loading it will say what is wrong.
    ///
    /// May be dropped and called again at any point without missing a change.
    pub async fn changed(&mut self) -> Change {
        loop {
            if self.look().await == self.all_seen() {
                // Woken or not: the next look decides.
                let _ = timeout(POLL, self.hints.notified()).await;
                continue;
            }
            let (content, named) = self.settle().await;
            if content != self.seen {
                // Of the others is told next: this one may be refused.
                self.seen = content;
                return Change::Configuration;
            }
            if named != self.named_seen {
                self.named_seen = named;
                return Change::Named;
            }
        }
    }

    /// The content once it has come to rest.
    async fn settle(&self) -> Seen {
        let mut debounce = Debounce::begin(Instant::now());
        loop {
            let hinted = timeout_at(debounce.deadline(), self.hints.notified()).await.is_ok();
            let now = Instant::now();
            if hinted && debounce.hint(now) {
                continue;
            }
            let content = self.look().await;
            let (configuration, named) = &content;
            let all = *configuration != Content::Unreadable && !named.contains(&Content::Unreadable);
            if all || debounce.is_over(now) {
                return content;
            }
            debounce.wait_to_the_end();
        }
    }

    fn all_seen(&self) -> Seen {
        (self.seen, self.named_seen.clone())
    }

    /// What the files contain now. Reads in a blocking task: on a dead network mount, probes and metrics go on.
    async fn look(&self) -> Seen {
        let (path, named, follower) = (self.path.clone(), self.named.clone(), Arc::clone(&self.follower));
        let read = tokio::task::spawn_blocking(move || {
            // First the watch, then the reading: a change in between is read or heard of.
            follower.lock().unwrap_or_else(PoisonError::into_inner).follow();
            (Content::of(&path), named.iter().map(|path| Content::of(path)).collect())
        });
        // The task ends early only when the runtime does.
        read.await.unwrap_or_else(|_| self.all_seen())
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

//! Watches the folders on the way to some files, wherever the ways lead now.

use super::steps::steps;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tokio::sync::Notify;

/// The paths of which an event is a hint.
type Relevant = Arc<Mutex<BTreeSet<PathBuf>>>;

/// Device, inode and birth: a folder that was taken away and made anew has the same path, but is watched no longer. An inode number may be
/// given out again, hence the birth, where the file system knows it.
type Identity = (u64, u64, Option<SystemTime>);

pub(super) struct Follower {
    paths: Vec<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    relevant: Relevant,
    watched: BTreeMap<PathBuf, Identity>,
    /// A folder that cannot be watched is told once, not at every look.
    complained: BTreeSet<PathBuf>,
}

impl Follower {
    /// Watches nothing yet; hints go where they are told.
    pub(super) fn new(path: &Path, hints: Arc<Notify>) -> Self {
        let relevant = Relevant::default();
        let filter = Arc::clone(&relevant);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.map_or(true, |event| is_hint(&event, &filter)) {
                hints.notify_one();
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "changes of the configuration are found by reading it every 10 s: the system gives no watch");
        }
        Self { watcher: watcher.ok(), relevant, ..Self::deaf(path) }
    }

    /// Hears nothing.
    pub(super) fn deaf(path: &Path) -> Self {
        Self {
            paths: vec![path.to_owned()],
            watcher: None,
            relevant: Relevant::default(),
            watched: BTreeMap::new(),
            complained: BTreeSet::new(),
        }
    }

    /// From now on also these, beside the first one.
    pub(super) fn watch_also(&mut self, files: &[PathBuf]) {
        self.paths.truncate(1);
        self.paths.extend_from_slice(files);
    }

    /// Watches the folders that lead to the files now, and no others. Watches folders and not files, since a file that is renamed over
    /// takes its watch away with it.
    pub(super) fn follow(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let steps: BTreeSet<PathBuf> = self.paths.iter().flat_map(|path| steps(path)).collect();
        let folders: BTreeMap<PathBuf, Identity> = steps.iter().filter_map(|step| identified(step.parent()?)).collect();
        *self.relevant.lock().unwrap_or_else(PoisonError::into_inner) = steps;
        if folders == self.watched {
            return;
        }
        for gone in self.watched.iter().filter(|(folder, identity)| folders.get(*folder) != Some(identity)) {
            // It fails when the folder is no more, and its watch with it: that is what is wanted.
            let _ = watcher.unwatch(gone.0);
        }
        let mut watched = BTreeMap::new();
        for (folder, identity) in folders {
            let kept = self.watched.get(&folder) == Some(&identity);
            match if kept { Ok(()) } else { watcher.watch(&folder, RecursiveMode::NonRecursive) } {
                Ok(()) => {
                    watched.insert(folder, identity);
                }
                Err(error) if self.complained.insert(folder.clone()) => {
                    let folder = folder.display();
                    tracing::warn!(%folder, %error, "changes of the configuration are found by reading it every 10 s");
                }
                Err(_) => {}
            }
        }
        self.watched = watched;
    }
}

fn identified(folder: &Path) -> Option<(PathBuf, Identity)> {
    let metadata = fs::metadata(folder).ok()?;
    Some((folder.to_owned(), (metadata.dev(), metadata.ino(), metadata.created().ok())))
}

/// Whether an event may mean another content. Opening and reading do not: we do that ourselves, and would never come to rest.
fn is_hint(event: &Event, relevant: &Relevant) -> bool {
    if let EventKind::Access(access) = event.kind
        && access != AccessKind::Close(AccessMode::Write)
    {
        return false;
    }
    let relevant = relevant.lock().unwrap_or_else(PoisonError::into_inner);
    event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(|path| relevant.contains(path))
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("paths", &self.paths).field("watched", &self.watched).finish_non_exhaustive()
    }
}

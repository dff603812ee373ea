//! The configuration file and the ways in which it is changed in real life.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// How a file is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A new file beside it, then a rename over it: most editors and configuration management.
    RenameOver,
    /// Truncated, then written in two parts: `>` in a shell, and an editor that keeps the inode.
    TruncateAndWrite,
    /// Removed, then made anew: some editors, some copies.
    DeleteAndCreate,
    /// A new folder, and the link `..data` renamed to point to it: a Kubernetes volume of a `ConfigMap`.
    SwapData,
}

/// The configuration file.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    edits: AtomicUsize,
}

impl ConfigFile {
    /// Writes it into this folder.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn plain(folder: &Path, text: &str) -> Self {
        let path = folder.join("evenkeel.toml");
        fs::write(&path, text).expect("a file in our folder");
        Self { path, edits: AtomicUsize::new(0) }
    }

    /// Writes it into this folder the way Kubernetes mounts a `ConfigMap`: `evenkeel.toml -> ..data/evenkeel.toml`,
    /// `..data -> ..0`.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn as_in_kubernetes(folder: &Path, text: &str) -> Self {
        fs::create_dir(folder.join("..0")).expect("a folder in our folder");
        fs::write(folder.join("..0/evenkeel.toml"), text).expect("a file in our folder");
        symlink("..0", folder.join("..data")).expect("a link in our folder");
        let path = folder.join("evenkeel.toml");
        symlink("..data/evenkeel.toml", &path).expect("a link in our folder");
        Self { path, edits: AtomicUsize::new(0) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says now.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn text(&self) -> String {
        fs::read_to_string(&self.path).expect("the configuration file is there")
    }

    /// Changes it.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn change(&self, edit: Edit, text: &str) {
        let number = self.edits.fetch_add(1, Ordering::Relaxed) + 1;
        match edit {
            Edit::RenameOver => {
                let beside = self.path.with_extension("toml.new");
                fs::write(&beside, text).expect("a file in our folder");
                fs::rename(&beside, &self.path).expect("a rename in our folder");
            }
            Edit::TruncateAndWrite => {
                use std::io::Write;
                let mut file = fs::File::create(&self.path).expect("our file");
                let (first, second) = text.as_bytes().split_at(text.len() / 2);
                file.write_all(first).expect("room on the disk");
                file.flush().expect("room on the disk");
                file.write_all(second).expect("room on the disk");
            }
            Edit::DeleteAndCreate => {
                fs::remove_file(&self.path).expect("our file");
                fs::write(&self.path, text).expect("a file in our folder");
            }
            Edit::SwapData => self.swap_data(number, text),
        }
    }

    fn swap_data(&self, number: usize, text: &str) {
        let folder = self.path.parent().expect("a file is in a folder");
        let (data, beside) = (folder.join("..data"), folder.join("..data_tmp"));
        let old = folder.join(fs::read_link(&data).expect("the file was made as in Kubernetes"));
        let new = format!("..{number}");
        fs::create_dir(folder.join(&new)).expect("a folder in our folder");
        fs::write(folder.join(&new).join("evenkeel.toml"), text).expect("a file in our folder");
        symlink(&new, &beside).expect("a link in our folder");
        fs::rename(&beside, &data).expect("a rename in our folder");
        fs::remove_dir_all(old).expect("the old folder is ours");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_every_edit_the_file_says_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = ConfigFile::plain(folder.path(), "a");
        for edit in [Edit::RenameOver, Edit::TruncateAndWrite, Edit::DeleteAndCreate] {
            file.change(edit, &format!("{edit:?}"));
            assert_eq!(file.text(), format!("{edit:?}"));
        }
    }

    #[test]
    fn the_data_link_of_kubernetes_can_be_swapped_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = ConfigFile::as_in_kubernetes(folder.path(), "a");
        for text in ["b", "c", "d"] {
            file.change(Edit::SwapData, text);
            assert_eq!(file.text(), text);
        }
    }
}

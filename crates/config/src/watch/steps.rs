//! The way to a file: every link on it, and the file itself.

use std::{
    collections::{BTreeSet, VecDeque},
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// Links followed at most, as by the kernel (path_resolution(7), `MAXSYMLINKS`): beyond it the file cannot be opened anyway.
const LINKS_MAX: usize = 40;

/// Each path on the way whose replacement would put another file in place: links (a file's own, Kubernetes' `..data`, those of
/// folders above) and the file at the end. The folders on the way are free of links, as notify will name them.
pub(super) fn steps(path: &Path) -> BTreeSet<PathBuf> {
    let mut steps = BTreeSet::new();
    let mut here = PathBuf::from("/");
    let mut ahead = parts(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        if part == ".." {
            here.pop();
            continue;
        }
        here.push(part);
        let Some(target) = fs::read_link(&here).ok().filter(|_| links < LINKS_MAX) else { continue };
        links += 1;
        steps.insert(here.clone());
        if target.is_absolute() {
            here = PathBuf::from("/");
        } else {
            here.pop();
        }
        let mut way = parts(&target);
        way.append(&mut ahead);
        ahead = way;
    }
    steps.insert(here);
    steps
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_way_through_a_kubernetes_volume_has_the_link_the_data_link_and_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("..2026")).unwrap();
        fs::write(root.join("..2026/evenkeel.toml"), "").unwrap();
        symlink("..2026", root.join("..data")).unwrap();
        symlink("..data/evenkeel.toml", root.join("evenkeel.toml")).unwrap();

        let found = steps(&root.join("evenkeel.toml"));

        assert_eq!(found, ["evenkeel.toml", "..data", "..2026/evenkeel.toml"].map(|p| root.join(p)).into());
    }

    #[test]
    fn a_circle_of_links_ends() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();

        assert!(steps(&folder.path().join("a")).len() >= 2);
    }
}

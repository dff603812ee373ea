//! Changes of real files are noticed, however they are made.

use evenkeel_config::{Change, ContentHash, Watch, load};
use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};
use tempfile::TempDir;
use tokio::time::timeout;

/// Far above the debounce, far below the slow poll: what is noticed within it was noticed by watching.
const SOON: Duration = Duration::from_secs(5);

fn config(port: usize) -> String {
    format!("[listeners.web]\nlisten = \"127.0.0.1:{port}\"\n[[routes]]\nfilters = [{{ fixed_response = {{}} }}]\n")
}

fn port(path: &Path) -> Option<u16> {
    load(path).unwrap().config.listeners[0].listen.port()
}

fn folder_with(source: &str) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evenkeel.toml");
    fs::write(&path, source).unwrap();
    (folder, path)
}

async fn noticed(watch: &mut Watch) {
    timeout(SOON, watch.changed()).await.expect("the change is noticed");
}

async fn quiet(watch: &mut Watch) {
    let heard = timeout(Duration::from_millis(300), watch.changed()).await;
    assert!(heard.is_err(), "nothing has changed");
}

#[tokio::test]
async fn a_file_written_in_place_is_noticed_again_and_again() {
    let (_folder, path) = folder_with(&config(1));
    let mut watch = Watch::start(&path);

    for n in 2..6 {
        fs::write(&path, config(n)).unwrap();
        noticed(&mut watch).await;
        assert_eq!(port(&path).map(usize::from), Some(n));
    }
    quiet(&mut watch).await;
}

#[tokio::test]
async fn a_file_renamed_over_the_old_one_is_noticed_again_and_again() {
    let (folder, path) = folder_with(&config(1));
    let mut watch = Watch::start(&path);

    for n in 2..6 {
        let new = folder.path().join(".evenkeel.toml.swp");
        fs::write(&new, config(n)).unwrap();
        fs::rename(&new, &path).unwrap();
        noticed(&mut watch).await;
        assert_eq!(port(&path).map(usize::from), Some(n));
    }
}

#[tokio::test]
async fn a_file_deleted_and_made_anew_is_noticed_once_and_never_as_missing() {
    let (_folder, path) = folder_with(&config(1));
    let mut watch = Watch::start(&path);

    for n in 2..6 {
        fs::remove_file(&path).unwrap();
        let late = path.clone();
        let again = tokio::task::spawn_blocking(move || fs::write(late, config(n)).unwrap());
        noticed(&mut watch).await;
        again.await.unwrap();
        assert_eq!(port(&path).map(usize::from), Some(n));
    }
    quiet(&mut watch).await;
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_and_so_is_its_return() {
    let (_folder, path) = folder_with(&config(1));
    let mut watch = Watch::start(&path);

    fs::remove_file(&path).unwrap();
    noticed(&mut watch).await;
    assert!(load(&path).is_err());

    fs::write(&path, config(1)).unwrap();
    noticed(&mut watch).await;
    assert_eq!(port(&path), Some(1));
}

#[tokio::test]
async fn each_of_fifty_kubernetes_swaps_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let publish = |n: usize| {
        let data = root.join(format!("..{n}"));
        fs::create_dir(&data).unwrap();
        fs::write(data.join("evenkeel.toml"), config(n)).unwrap();
        symlink(format!("..{n}"), root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    publish(1);
    let path = root.join("evenkeel.toml");
    symlink("..data/evenkeel.toml", &path).unwrap();
    let mut watch = Watch::start(&path);

    for n in 2..52 {
        publish(n);
        fs::remove_dir_all(root.join(format!("..{}", n - 1))).unwrap();
        noticed(&mut watch).await;
        assert_eq!(port(&path).map(usize::from), Some(n));
    }
    quiet(&mut watch).await;
}

#[tokio::test]
async fn a_file_behind_a_link_is_noticed_where_it_really_is() {
    let (real, target) = folder_with(&config(1));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evenkeel.toml");
    symlink(&target, &path).unwrap();
    let mut watch = Watch::start(&path);

    fs::write(&target, config(2)).unwrap();
    noticed(&mut watch).await;

    // The link now leads elsewhere, and there the file is watched as well.
    let other = real.path().join("other.toml");
    fs::write(&other, config(3)).unwrap();
    symlink(&other, folder.path().join("new")).unwrap();
    fs::rename(folder.path().join("new"), &path).unwrap();
    noticed(&mut watch).await;
    fs::write(&other, config(4)).unwrap();
    noticed(&mut watch).await;
    assert_eq!(port(&path), Some(4));
}

#[tokio::test]
async fn a_folder_replaced_as_a_whole_is_followed() {
    let top = tempfile::tempdir().unwrap();
    let live = top.path().join("live");
    fs::create_dir(&live).unwrap();
    let path = live.join("evenkeel.toml");
    fs::write(&path, config(1)).unwrap();
    let mut watch = Watch::start(&path);

    fs::remove_dir_all(&live).unwrap();
    noticed(&mut watch).await;
    fs::create_dir(&live).unwrap();
    fs::write(&path, config(2)).unwrap();
    noticed(&mut watch).await;

    // It is the new folder that is watched now.
    fs::write(&path, config(3)).unwrap();
    noticed(&mut watch).await;
}

#[tokio::test]
async fn reading_or_touching_the_file_is_no_change() {
    let (folder, path) = folder_with(&config(1));
    let mut watch = Watch::start(&path);

    fs::read(&path).unwrap();
    fs::write(&path, config(1)).unwrap();
    fs::write(folder.path().join("neighbour.toml"), "x").unwrap();

    quiet(&mut watch).await;
}

#[tokio::test]
async fn many_writes_in_a_row_are_one_change() {
    let (_folder, path) = folder_with(&config(1));
    let mut watch = Watch::start(&path);

    for n in 2..50 {
        fs::write(&path, config(n)).unwrap();
    }

    noticed(&mut watch).await;
    assert_eq!(port(&path), Some(49));
    quiet(&mut watch).await;
}

#[tokio::test]
async fn a_change_while_nobody_waited_is_told_to_the_next_who_asks() {
    let (_folder, path) = folder_with(&config(1));
    let mut watch = Watch::start(&path);

    fs::write(&path, config(2)).unwrap();
    // Whoever waits may be dropped in the middle, as in a select.
    assert!(timeout(Duration::from_millis(20), watch.changed()).await.is_err());

    noticed(&mut watch).await;
}

#[tokio::test]
async fn what_was_loaded_by_another_way_is_not_told_again() {
    let (_folder, path) = folder_with(&config(1));
    let mut watch = Watch::start(&path);

    fs::write(&path, config(2)).unwrap();
    watch.seen(ContentHash::of(config(2).as_bytes()));

    quiet(&mut watch).await;
}

#[tokio::test]
async fn a_watch_over_a_file_that_is_not_there_yet_tells_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evenkeel.toml");
    let mut watch = Watch::start(&path);
    quiet(&mut watch).await;

    fs::write(&path, config(1)).unwrap();

    noticed(&mut watch).await;
}

#[tokio::test]
async fn a_file_that_the_configuration_names_is_watched_as_well_and_told_apart() {
    let (folder, path) = folder_with(&config(1));
    let named = folder.path().join("site.pem");
    fs::write(&named, "a").unwrap();
    let mut watch = Watch::start(&path);
    watch.named(vec![named.clone()]);
    quiet(&mut watch).await;

    fs::write(&named, "b").unwrap();
    assert_eq!(timeout(SOON, watch.changed()).await.unwrap(), Change::Named);
    let beside = folder.path().join("site.new");
    fs::write(&beside, "c").unwrap();
    fs::rename(&beside, &named).unwrap();
    assert_eq!(timeout(SOON, watch.changed()).await.unwrap(), Change::Named);

    // Both at once: neither is lost, also when the list of files is made anew in between.
    fs::write(&path, config(2)).unwrap();
    fs::write(&named, "d").unwrap();
    assert_eq!(timeout(SOON, watch.changed()).await.unwrap(), Change::Configuration);
    watch.named(vec![named.clone(), path.clone()]);
    watch.named(vec![named.clone()]);
    assert_eq!(timeout(SOON, watch.changed()).await.unwrap(), Change::Named);
    quiet(&mut watch).await;

    watch.named(Vec::new());
    fs::write(&named, "e").unwrap();
    quiet(&mut watch).await;
}

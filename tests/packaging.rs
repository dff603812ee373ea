//! What comes with the program says what is true: the image, the deployment examples, the README and the handbook.
//!
//! `.ci/run` builds the image where there is a Docker engine; everywhere else these tests check the parts that it names.

use evenkeel_telemetry::names;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn toml(path: &str) -> toml::Table {
    text(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn evenkeel<S: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenkeel")).args(words).output().expect("the binary starts")
}

/// `evenkeel check` of this text; what it says when it refuses.
fn check(source: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("evenkeel.toml");
    fs::write(&file, source).expect("the folder is ours");
    let output = evenkeel(["check".as_ref(), "--config".as_ref(), file.as_os_str()]);
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stdout).into_owned()) }
}

/// The instructions of the Dockerfile, continued lines joined: (`COPY`, `--from=build ..`).
fn dockerfile() -> Vec<(String, String)> {
    let text = text("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').expect("an instruction and its words"))
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect()
}

/// The instructions of this kind, in order.
fn instructions(word: &str) -> Vec<String> {
    dockerfile().into_iter().filter(|(found, _)| found == word).map(|(_, rest)| rest).collect()
}

fn the(word: &str) -> String {
    let [one] = instructions(word).try_into().unwrap_or_else(|found| panic!("one {word}: {found:?}"));
    one
}

/// The words of an instruction in its exec form, `["a", "b"]`.
fn words(exec: &str) -> Vec<String> {
    let exec = &exec[exec.find('[').expect("the exec form: a small image has no shell")..];
    serde_json::from_str(exec).expect("a list of words")
}

#[test]
fn the_image_starts_and_asks_the_binary_that_was_built() {
    let build = &instructions("RUN")[0];
    assert!(build.contains("cargo build --locked --release --bin evenkeel"), "{build}");
    let built = build.rsplit_once("cp target/release/evenkeel ").expect("the binary leaves the cache").1;
    let copied = instructions("COPY").into_iter().find(|copy| copy.starts_with("--from=build")).unwrap();
    let [_, from, to] = copied.split(' ').collect::<Vec<_>>().try_into().unwrap();

    assert_eq!(from, built);
    assert_eq!(words(&the("ENTRYPOINT")), [to]);
    assert_eq!(words(&the("HEALTHCHECK"))[0], to);
}

#[test]
fn the_image_runs_as_a_user_that_kubernetes_can_see_is_not_root() {
    let user = the("USER");
    let numbers: Vec<u32> = user.split(':').map(|number| number.parse().unwrap()).collect();
    assert!(numbers.len() == 2 && numbers.iter().all(|number| *number > 0), "{user}");
}

#[test]
fn the_image_is_stopped_with_the_signal_that_drains() {
    assert_eq!(the("STOPSIGNAL"), "SIGTERM");
}

#[test]
fn the_image_asks_for_readiness_by_the_file_that_it_runs() {
    let (run, ready) = (words(&the("CMD")), words(&the("HEALTHCHECK")));
    assert_eq!(run[0], "run");
    assert_eq!(ready[1], "ready");
    assert_eq!(run[1..], ready[2..]);
    // Relative paths of the file begin in its folder, and people expect them to begin where the process does.
    assert_eq!(Path::new(&run[2]).parent(), instructions("WORKDIR").last().map(Path::new));
}

#[test]
fn the_binary_understands_the_words_of_the_image_and_of_the_unit() {
    let unit = text("examples/deploy/evenkeel.service");
    let exec = unit.lines().filter_map(|line| line.strip_prefix("ExecStart").and_then(|line| line.split_once('=')));
    let unit_words = exec.map(|(_, command)| command.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>());
    let image_words = [words(&the("CMD")), words(&the("HEALTHCHECK"))[1..].to_vec()];
    for words in unit_words.chain(image_words) {
        let words = words.iter().map(|word| word.replace("/etc/evenkeel/evenkeel.toml", "/nowhere/evenkeel.toml"));
        let words: Vec<_> = words.collect();
        let output = evenkeel(&words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        // It got as far as the file, which is not here.
        assert!(!output.status.success() && said.contains("/nowhere/evenkeel.toml"), "{words:?}: {said}");
        assert!(!said.contains("Usage:"), "{words:?}: {said}");
    }
}

#[test]
fn the_image_is_compiled_by_the_pinned_toolchain() {
    let toolchain = toml("rust-toolchain.toml");
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let oldest = toml("Cargo.toml")["workspace"]["package"]["rust-version"].as_str().unwrap().to_owned();
    let from = instructions("FROM");
    assert!(from[0].starts_with(&format!("rust:{channel}-")), "{from:?}");
    assert!(channel.starts_with(&oldest), "{channel} is not {oldest}");
    // The file itself would make rustup fetch what the image has not.
    assert!(!text(".dockerignore").contains("!rust-toolchain"));
}

#[test]
fn the_image_needs_nothing_but_two_base_images_and_the_crate_registry() {
    let from = instructions("FROM");
    assert_eq!(from.len(), 2, "{from:?}");
    // The C library of the compiler's Debian must not be newer than that of the final stage.
    assert!(from[0].contains("bookworm") && from[1].contains("debian12"), "{from:?}");
    let [run] = instructions("RUN").try_into().unwrap_or_else(|found| panic!("one RUN: {found:?}"));
    for command in ["apt", "apk", "curl", "wget", "git", "rustup", "cargo install", "http"] {
        assert!(!run.split_whitespace().any(|word| word.starts_with(command)), "{command} in {run}");
    }
    assert!(instructions("ADD").is_empty(), "ADD can fetch");
}

#[test]
fn the_context_of_the_image_has_what_the_manifest_names() {
    let ignore = text(".dockerignore");
    let allowed: BTreeSet<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let manifest = toml("Cargo.toml");
    let members = manifest["workspace"]["members"].as_array().unwrap().iter().map(|member| member.as_str().unwrap());
    let targets = ["bin", "test", "bench", "example"].into_iter().filter_map(|kind| manifest.get(kind)?.as_array());
    let paths = targets.flatten().filter_map(|target| target.get("path")?.as_str());
    for path in members.chain(paths).chain(["Cargo.toml", "Cargo.lock", "build.rs"]) {
        let first = path.split('/').next().unwrap();
        assert!(allowed.contains(first), "{path} is not in the image's context");
    }
}

#[test]
fn every_configuration_of_the_readme_and_the_handbook_is_good() {
    let pages = fs::read_dir(root().join("docs/handbook")).unwrap().map(|entry| entry.unwrap().path());
    let mut seen = 0;
    for page in pages.chain([root().join("README.md")]) {
        let page_text = fs::read_to_string(&page).unwrap();
        for block in page_text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            // A part of a file needs a listener to be a whole one.
            let listener =
                if block.contains("[listeners.") { "" } else { "\n[listeners.web]\nlisten = \"127.0.0.1:0\"\n" };
            if let Err(said) = check(&format!("{block}{listener}")) {
                panic!("{}:\n{block}\n{said}", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 8, "only {seen} configurations were found");
}

#[test]
fn every_configuration_of_the_deployment_examples_is_good() {
    check(&text("examples/deploy/evenkeel.toml")).unwrap();
    // The block behind `evenkeel.toml: |`, as far as it is indented.
    let manifest = text("examples/deploy/kubernetes.yaml");
    let block = manifest.split_once("evenkeel.toml: |\n").unwrap().1;
    let lines = block.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    check(&lines.map(str::trim_start).collect::<Vec<_>>().join("\n")).unwrap();
}

#[test]
fn whoever_stops_us_waits_longer_than_a_drain_takes() {
    let drain = evenkeel_model::Drain::default();
    let whole = (drain.grace + drain.deadline).as_secs();
    for (file, key) in [
        ("examples/deploy/docker-compose.yml", "stop_grace_period: "),
        ("examples/deploy/evenkeel.service", "TimeoutStopSec="),
        ("examples/deploy/kubernetes.yaml", "terminationGracePeriodSeconds: "),
    ] {
        let text = text(file);
        let value = text.split_once(key).unwrap_or_else(|| panic!("{file}: {key}")).1;
        let seconds: String = value.chars().take_while(char::is_ascii_digit).collect();
        assert!(seconds.parse::<u64>().unwrap() > whole, "{file}: {seconds} s, and a drain takes {whole} s");
    }
}

#[test]
fn the_handbook_lists_every_metric_and_no_other() {
    let page = text("docs/handbook/metrics.md");
    let named = |text: &str| -> BTreeSet<String> {
        let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        text.split(word).filter(|name| name.starts_with("evenkeel_")).map(str::to_owned).collect()
    };
    let exported: BTreeSet<String> = names::ALL.iter().map(|family| family.name.to_owned()).collect();
    let listed = named(&page);
    assert_eq!(listed, exported);
    for other in ["README.md", "docs/handbook/health.md", "docs/handbook/balancing.md", "docs/handbook/reload.md"] {
        let unknown: Vec<_> = named(&text(other)).difference(&exported).cloned().collect();
        assert!(unknown.is_empty(), "{other} names {unknown:?}");
    }
}

#[test]
fn no_page_links_to_what_is_not_there() {
    let handbook = fs::read_dir(root().join("docs/handbook")).unwrap().map(|entry| entry.unwrap().path());
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    for page in handbook.chain(top).filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            let elsewhere = file.contains("://") || file.is_empty();
            assert!(elsewhere || page.parent().unwrap().join(file).exists(), "{}: {link}", page.display());
        }
    }
}

/// `cargo fetch --locked` refuses a lock that is not, and `.ci/run` then takes the targets for something that cannot be had.
#[test]
fn the_fuzz_targets_have_a_lock_that_knows_what_the_crates_need() {
    let lock = toml("fuzz/Cargo.lock");
    let mut seen = 0;
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(folder) = name.strip_prefix("evenkeel-").filter(|name| *name != "fuzz") else { continue };
        let known = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
        let known: BTreeSet<_> = known.map(|known| known.as_str().unwrap().split(' ').next().unwrap()).collect();
        let manifest = toml(&format!("crates/{folder}/Cargo.toml"));
        for (needed, how) in manifest["dependencies"].as_table().unwrap() {
            let optional = how.get("optional").and_then(toml::Value::as_bool).unwrap_or(false);
            assert!(
                optional || known.contains(&**needed),
                "{name} needs {needed}: cargo update --workspace --manifest-path fuzz/Cargo.toml"
            );
        }
        seen += 1;
    }
    assert!(seen > 5, "only {seen} of our crates are in it");
}

//! The house as data: read once, from `cargo metadata` and the source files. Knows no rule.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// What the rules are held against.
#[derive(Clone, Debug)]
pub(super) struct House {
    pub(super) rooms: Vec<Room>,
    pub(super) files: Vec<File>,
}

/// One of our packages.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) name: String,
    /// Packages in its manifest, for the program or its build script.
    pub(super) uses: Vec<String>,
    /// Packages in its manifest, for its tests, examples and benches.
    pub(super) tests_use: Vec<String>,
}

/// A source file.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// From the top of the repository, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl House {
    pub(super) fn room(&mut self, name: &str) -> &mut Room {
        self.rooms.iter_mut().find(|room| room.name == name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    pub(super) fn add_file(&mut self, path: &str, text: &str) {
        self.files.push(File { path: path.to_owned(), text: text.to_owned() });
    }
}

/// The top of the repository.
pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The house as it stands.
pub(super) static HOUSE: LazyLock<House> = LazyLock::new(read);

fn read() -> House {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Without dependencies of dependencies: nothing has to be resolved or fetched.
    let words = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(cargo).args(words).current_dir(root()).output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo says JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let mut files = Vec::new();
    for folder in ["crates", "tests", "examples", "benches"] {
        read_sources(&root().join(folder), &mut files);
    }
    House { rooms: packages.iter().map(room).collect(), files }
}

fn room(package: &serde_json::Value) -> Room {
    let name = package["name"].as_str().expect("a name");
    let name = room_of(name).unwrap_or_else(|| panic!("{name} is no name of ours")).to_owned();
    let dependencies = package["dependencies"].as_array().expect("a list of dependencies");
    let of = |dev: bool| {
        let wanted = dependencies.iter().filter(|dependency| (dependency["kind"] == "dev") == dev);
        wanted.map(|dependency| dependency["name"].as_str().expect("a name").to_owned()).collect()
    };
    Room { name, uses: of(false), tests_use: of(true) }
}

fn read_sources(folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry of a folder").path();
        if path.is_dir() {
            read_sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let path = path.strip_prefix(root()).expect("it is below the root");
            files.push(File { path: path.to_string_lossy().replace('\\', "/"), text });
        }
    }
}

/// The room that a package is, if it is one of ours.
pub(super) fn room_of(package: &str) -> Option<&str> {
    if package == "evenkeel" { Some("server") } else { package.strip_prefix("evenkeel-") }
}

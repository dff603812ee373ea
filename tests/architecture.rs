//! The floors and doors that ARCHITECTURE.md draws, held against what is built.
//!
//! A crate uses only what it is drawn to use (an arrow), and an outside crate is used only where it has a door. What is looked at is
//! plain data, from `cargo metadata` and the source files, so that a test can plant what must not be and see it found.

mod house;
mod words;

use house::{HOUSE, House, Room, room_of, root};
use std::{collections::BTreeSet, fs, sync::LazyLock};
use words::{code, flatten_imports, has_word, program};

/// The floors from the ground up, and which rooms each one uses. An arrow that is not drawn here is new, and one that is drawn and
/// not built is a lie; whoever changes this changes ARCHITECTURE.md with it.
const ARROWS: [(&str, usize, &[&str]); 12] = [
    ("model", 0, &[]),
    ("config", 1, &["model"]),
    ("balance", 1, &["model"]),
    ("guard", 1, &["model"]),
    ("net", 1, &["model"]),
    ("telemetry", 1, &["model"]),
    ("health", 2, &["balance", "model", "net", "telemetry"]),
    ("proxy", 3, &["balance", "config", "guard", "model", "net", "telemetry"]),
    // It asks the binary through a trait, so it needs to see nobody.
    ("admin", 4, &["model"]),
    // An outsider: of the house it knows addresses and the names of metrics.
    ("demo", 4, &["model", "telemetry"]),
    ("server", 5, &["admin", "balance", "config", "demo", "health", "model", "net", "proxy", "telemetry"]),
    ("testkit", 0, &[]),
];

/// Servers, clients and waits for tests: a dev-dependency of anybody, and exempt from doors.
const TESTKIT: &str = "testkit";

/// Outside crates, with those that are the same thing under other names, and the rooms that may use them. A name that ends in `*`
/// stands for all that begin so.
const DOORS: [(&[&str], &[&str]); 12] = [
    (&["serde", "serde_derive"], &["admin", "config"]),
    (&["notify*"], &["config"]),
    (&["toml", "toml_*"], &["config"]),
    (&["arc-swap"], &["config", "net"]),
    (&["rustls*", "tokio-rustls", "aws-lc-rs", "ring"], &["net"]),
    (&["socket2"], &["net"]),
    (&["metrics*", "prometheus*"], &["telemetry"]),
    (&["tracing-subscriber"], &["telemetry"]),
    (&["h2", "hyper", "hyper-*"], &["admin", "demo", "health", "proxy"]),
    (&["httparse"], &["proxy"]),
    (&["tower", "tower-*"], &["proxy"]),
    (&["kube", "kube-*"], &["discovery"]),
];

/// Rooms without I/O, and all that they may use from outside. A list of what is allowed: nobody can name every crate that does I/O.
const PURE: [(&str, &[&str]); 3] = [
    ("model", &["bytesize", "http", "humantime", "ipnet", "thiserror"]),
    ("balance", &["xxhash-rust"]),
    ("guard", &[]),
];

/// What the standard library has that a pure room must not touch: I/O, threads, and time or chance that is not passed in.
const IMPURE: [&str; 17] = [
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "std::env",
    "std::os",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "ToSocketAddrs",
    "RandomState",
];

/// Lines of a file that is read in one go; above this it is a defect (HOUSE, "Top level").
const LINES_MAX: usize = 600;

/// Everything that is not as drawn, one sentence each.
fn faults(house: &House) -> Vec<String> {
    [arrows(house), doors(house), purity(house), unsafe_code(house), sizes(house)].concat()
}

fn arrows(house: &House) -> Vec<String> {
    let mut faults = Vec::new();
    for room in &house.rooms {
        let name = &room.name;
        let Some((_, _, drawn)) = ARROWS.iter().find(|(drawn, ..)| drawn == name) else {
            faults.push(format!("{name} is on no floor"));
            continue;
        };
        let built: BTreeSet<&str> = room.uses.iter().filter_map(|package| room_of(package)).collect();
        let new = built.iter().filter(|used| !drawn.contains(used));
        faults.extend(new.map(|used| format!("{name} uses {used}: this arrow is new")));
        let gone = drawn.iter().filter(|used| !built.contains(*used));
        faults.extend(gone.map(|used| format!("{name} does not use {used}, but is drawn to")));
        let for_tests = room.tests_use.iter().filter_map(|package| room_of(package));
        let new = for_tests.filter(|used| *used != TESTKIT && !drawn.contains(used));
        faults.extend(new.map(|used| format!("the tests of {name} use {used}: this arrow is new")));
    }
    faults
}

fn doors(house: &House) -> Vec<String> {
    let mut faults = Vec::new();
    for room in house.rooms.iter().filter(|room| room.name != TESTKIT) {
        let name = room.name.as_str();
        for package in &room.uses {
            let door = DOORS.iter().find(|(packages, _)| packages.iter().any(|pattern| is(package, pattern)));
            if door.is_some_and(|(_, rooms)| !rooms.contains(&name)) {
                faults.push(format!("{name} uses {package}: it has no door there"));
            }
            let pure = PURE.iter().find(|(pure, _)| *pure == name);
            if pure.is_some_and(|(_, allowed)| !allowed.contains(&package.as_str()) && room_of(package).is_none()) {
                faults.push(format!("{name} uses {package}: it is pure, and this is new"));
            }
        }
    }
    faults
}

fn is(package: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(package == pattern, |start| package.starts_with(start))
}

fn purity(house: &House) -> Vec<String> {
    let pure = |file: &&house::File| PURE.iter().any(|(room, _)| file.path.starts_with(&format!("crates/{room}/src/")));
    let mut faults = Vec::new();
    for file in house.files.iter().filter(pure).filter(|file| !file.path.ends_with("/tests.rs")) {
        let code = program(&file.text);
        // `use std::{fs, thread}` names them as well.
        let flat = flatten_imports(&code);
        let found = IMPURE.iter().filter(|word| has_word(&flat, word));
        faults.extend(found.map(|word| format!("{}: '{word}' in a pure crate", file.path)));
    }
    faults
}

fn unsafe_code(house: &House) -> Vec<String> {
    let exempt = |path: &str| {
        // Counting allocations means being the allocator.
        ["crates/net/", "crates/testkit/"].iter().any(|home| path.starts_with(home))
            || path.ends_with("/tests/allocation.rs")
    };
    let possible = house.files.iter().filter(|file| !exempt(&file.path) && file.text.contains("unsafe"));
    let found = possible.filter(|file| has_word(&code(&file.text), "unsafe"));
    found.map(|file| format!("{}: 'unsafe' outside of net", file.path)).collect()
}

fn sizes(house: &House) -> Vec<String> {
    let lines = |file: &house::File| file.text.lines().count();
    let large = house.files.iter().filter(|file| lines(file) >= LINES_MAX);
    large.map(|file| format!("{}: {} lines, where {LINES_MAX} are a defect", file.path, lines(file))).collect()
}

/// What is wrong with the house after `change`, and was not before.
fn faults_of(change: impl FnOnce(&mut House)) -> Vec<String> {
    static BEFORE: LazyLock<Vec<String>> = LazyLock::new(|| faults(&HOUSE));
    let mut house = HOUSE.clone();
    change(&mut house);
    let mut after = faults(&house);
    after.retain(|fault| !BEFORE.contains(fault));
    after
}

#[test]
fn the_house_stands_as_it_is_drawn() {
    let faults = faults(&HOUSE);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_arrow_that_is_drawn_goes_down() {
    for (name, floor, uses) in ARROWS {
        for used in uses {
            let (_, below, _) = ARROWS.iter().find(|(name, ..)| name == used).unwrap();
            assert!(*below < floor && *used != TESTKIT, "{name} uses {used}");
        }
    }
}

#[test]
fn every_room_that_is_drawn_is_there_and_has_its_sources() {
    for (name, ..) in ARROWS {
        assert!(HOUSE.rooms.iter().any(|room| room.name == name), "there is no package for {name}");
        assert!(HOUSE.files.iter().any(|file| file.path.starts_with(&format!("crates/{name}/"))), "crates/{name}");
    }
}

#[test]
fn a_planted_edge_is_found() {
    for (from, to) in
        [("balance", "net"), ("proxy", "health"), ("model", "config"), ("health", "proxy"), ("admin", "proxy")]
    {
        let found = faults_of(|house| house.room(from).uses.push(format!("evenkeel-{to}")));
        assert!(found.contains(&format!("{from} uses {to}: this arrow is new")), "{from} -> {to}: {found:?}");
    }
    let found = faults_of(|house| house.room("guard").tests_use.push("evenkeel-proxy".to_owned()));
    assert_eq!(found, ["the tests of guard use proxy: this arrow is new"]);
    let found = faults_of(|house| house.room("health").uses.push("evenkeel".to_owned()));
    assert_eq!(found, ["health uses server: this arrow is new"]);
}

#[test]
fn a_drawn_edge_that_is_gone_is_found() {
    let found = faults_of(|house| house.room("health").uses.retain(|package| package != "evenkeel-net"));
    assert_eq!(found, ["health does not use net, but is drawn to"]);
}

#[test]
fn testkit_is_found_in_a_program_and_not_in_tests() {
    let found = faults_of(|house| house.room("proxy").uses.push("evenkeel-testkit".to_owned()));
    assert_eq!(found, ["proxy uses testkit: this arrow is new"]);
    assert_eq!(faults_of(|house| house.room("guard").tests_use.push("evenkeel-testkit".to_owned())), [""; 0]);
}

#[test]
fn a_planted_door_is_found() {
    for (room, package) in [
        ("proxy", "serde"),
        ("health", "arc-swap"),
        ("proxy", "rustls"),
        ("proxy", "socket2"),
        ("proxy", "metrics"),
        ("server", "metrics-exporter-prometheus"),
        ("server", "tracing-subscriber"),
        ("server", "hyper-util"),
        ("telemetry", "hyper"),
        ("admin", "tower"),
        ("server", "notify"),
    ] {
        let found = faults_of(|house| house.room(room).uses.push(package.to_owned()));
        assert_eq!(found, [format!("{room} uses {package}: it has no door there")]);
    }
}

#[test]
fn a_room_that_nobody_has_drawn_is_found() {
    let attic = Room { name: "attic".to_owned(), uses: Vec::new(), tests_use: Vec::new() };
    assert_eq!(faults_of(|house| house.rooms.push(attic)), ["attic is on no floor"]);
}

#[test]
fn anything_new_in_a_pure_crate_is_found() {
    for room in ["model", "balance", "guard"] {
        let found = faults_of(|house| house.room(room).uses.push("tokio".to_owned()));
        assert_eq!(found, [format!("{room} uses tokio: it is pure, and this is new")]);
    }
}

#[test]
fn io_threads_and_clocks_in_a_pure_crate_are_found_however_they_are_imported() {
    let path = "crates/balance/src/planted.rs";
    for (text, word) in [
        ("fn f() { std::fs::read(\"x\"); }", "std::fs"),
        ("use std::{\n    collections::HashMap,\n    thread,\n};", "std::thread"),
        ("use std::{net::{IpAddr, TcpStream}, rc::Rc};", "TcpStream"),
        ("use std::time::{Duration, Instant};", "std::time::Instant"),
        ("let now = SystemTime::now();", "SystemTime"),
    ] {
        let found = faults_of(|house| house.add_file(path, text));
        assert_eq!(found, [format!("{path}: '{word}' in a pure crate")]);
    }
    for text in [
        "// std::fs is for others",
        "let word = \"std::fs\";",
        "use std::{net::IpAddr, time::Duration};",
        "fn f() {}\n#[cfg(test)]\nmod tests { use std::thread; }",
    ] {
        assert_eq!(faults_of(|house| house.add_file(path, text)), [""; 0], "{text}");
    }
}

#[test]
fn unsafe_code_is_found_where_it_has_no_home() {
    let text = "fn f() { unsafe { g() } }";
    for path in ["crates/proxy/src/planted.rs", "crates/server/planted.rs", "tests/planted.rs", "examples/planted.rs"] {
        assert_eq!(faults_of(|house| house.add_file(path, text)), [format!("{path}: 'unsafe' outside of net")]);
    }
    for path in ["crates/net/src/planted.rs", "crates/testkit/src/planted.rs", "crates/balance/tests/allocation.rs"] {
        assert_eq!(faults_of(|house| house.add_file(path, text)), [""; 0], "{path}");
    }
    for text in ["// unsafe", "#![expect(unsafe_code, reason = \"unsafe\")]"] {
        assert_eq!(faults_of(|house| house.add_file("tests/planted.rs", text)), [""; 0], "{text}");
    }
}

#[test]
fn a_file_that_is_too_long_is_found() {
    let found = faults_of(|house| house.add_file("crates/proxy/src/long.rs", &"\n".repeat(LINES_MAX)));
    assert_eq!(found, ["crates/proxy/src/long.rs: 600 lines, where 600 are a defect"]);
}

/// The words of one section of ARCHITECTURE.md.
fn section(text: &str, title: &str) -> String {
    let start = format!("## {title}\n");
    let (_, rest) = text.split_once(&start).unwrap_or_else(|| panic!("ARCHITECTURE.md has no section '{title}'"));
    rest.split("\n## ").next().unwrap_or_default().to_owned()
}

#[test]
fn architecture_md_draws_every_room_and_says_what_is_absent_in_it() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let (floors, absent) = (section(&text, "Floors"), section(&text, "What is absent"));
    for room in &HOUSE.rooms {
        assert!(has_word(&floors, &room.name), "{} is not under Floors", room.name);
        assert!(room.name == TESTKIT || absent.contains(&format!("**{}**", room.name)), "{} is not absent", room.name);
    }
}

#[test]
fn every_crate_keeps_the_lints_of_the_workspace() {
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml");
        // crates/server has none: it is the root package.
        let manifest = if manifest.exists() { manifest } else { root().join("Cargo.toml") };
        let text = fs::read_to_string(&manifest).unwrap();
        assert!(text.contains("[lints]\nworkspace = true"), "{}", manifest.display());
    }
}

//! Tells the program the revision that it was built from.

use std::{path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=EVENKEEL_REVISION");
    // Grows with each commit and each checkout. What is not there must not be named, or every build would run this again.
    if Path::new(".git/logs/HEAD").exists() {
        println!("cargo::rerun-if-changed=.git/logs/HEAD");
    } else {
        println!("cargo::rerun-if-changed=build.rs");
    }
    let given = std::env::var("EVENKEEL_REVISION").ok();
    let asked = || {
        let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let revision = given.or_else(asked).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=EVENKEEL_REVISION={revision}");
}

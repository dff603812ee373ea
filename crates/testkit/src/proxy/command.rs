//! Where the binary is, and its subcommands that end by themselves.

use crate::eventually::in_time;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The binary under test: what cargo says in `CARGO_BIN_EXE_evenkeel`, else the file `evenkeel` beside the folder of the
/// test binary, where cargo puts it (for a test binary started by hand).
///
/// # Panics
/// When there is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CARGO_BIN_EXE_evenkeel") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test binary knows its path");
    let folder = test.parent().and_then(Path::parent).expect("a test binary is in target/PROFILE/deps");
    let binary = folder.join("evenkeel");
    assert!(binary.exists(), "no binary at {}: run the tests through cargo", binary.display());
    binary
}

/// How a subcommand ended.
#[derive(Clone, Debug)]
pub struct CommandEnd {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a subcommand to its end.
///
/// # Panics
/// When it does not end in time.
pub async fn run_command(arguments: &[&str]) -> CommandEnd {
    let mut command = Command::new(binary());
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
    let running = tokio::task::spawn_blocking(move || command.output());
    let output = in_time(&format!("evenkeel {arguments:?} ends"), running).await;
    let output = output.expect("waiting does not panic").expect("the binary can be started");
    CommandEnd {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

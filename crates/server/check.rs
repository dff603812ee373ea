//! The commands that look and do not serve.

use crate::certificates;
use evenkeel_config::{load, schema as configuration_schema};
use evenkeel_model::Address;
use std::{
    io::{IsTerminal, stderr, stdout},
    path::Path,
    process::ExitCode,
};

/// The exit status of what could not begin.
pub(crate) const REFUSED: u8 = 2;

/// `evenkeel check`.
pub(crate) fn check(path: &Path) -> ExitCode {
    let (good, problems) = match load(path) {
        Ok(loaded) => {
            let wrong = certificates::check(&loaded.config);
            match wrong.is_empty() {
                true => (true, loaded.warnings),
                false => (false, certificates::placed(path, &loaded.source, &wrong)),
            }
        }
        Err(problems) => (false, problems),
    };
    // Problems are what was asked for, so they go to standard output.
    print!("{}", problems.render(stdout().is_terminal()));
    if good {
        println!("{}: good ({})", path.display(), problems.summary());
        ExitCode::SUCCESS
    } else {
        println!("{}: refused ({})", path.display(), problems.summary());
        ExitCode::from(REFUSED)
    }
}

/// `evenkeel schema`.
pub(crate) fn schema() -> ExitCode {
    println!("{:#}", configuration_schema());
    ExitCode::SUCCESS
}

/// `evenkeel ready`.
pub(crate) fn ready(path: &Path, admin: Option<&Address>) -> ExitCode {
    let address = match admin {
        Some(address) => address.clone(),
        None => match load(path) {
            Ok(loaded) => match loaded.config.admin {
                Some(admin) => admin.listen,
                None => return not_ready(&format!("{} has no [admin] section to ask", path.display())),
            },
            Err(problems) => {
                eprint!("{}", problems.render(stderr().is_terminal()));
                return ExitCode::FAILURE;
            }
        },
    };
    match evenkeel_admin::ask_ready(&address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => not_ready(&why),
    }
}

fn not_ready(why: &str) -> ExitCode {
    eprintln!("not ready: {why}");
    ExitCode::FAILURE
}

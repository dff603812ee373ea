//! The command `evenkeel`. The only room from which all others are seen: it starts, reloads and stops, and does nothing itself.

mod admin;
mod certificates;
mod check;
mod control;
mod demo;
mod options;
mod reload;
mod start;
mod state;
mod stop;

use options::Command;
use std::process::ExitCode;

/// Small requests are made and freed at a high rate, each on its own worker.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The version and revision of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const REVISION: &str = env!("EVENKEEL_REVISION");

fn main() -> ExitCode {
    match options::parse() {
        Command::Run { config } => start::run(&config),
        Command::Check { config } => check::check(&config),
        Command::Demo(options) => demo::run(&options),
        Command::Schema => check::schema(),
        Command::Ready { config, admin } => check::ready(&config, admin.as_ref()),
    }
}

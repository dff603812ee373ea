//! What can be written behind `evenkeel`.

use clap::{Args, Parser, Subcommand};
use evenkeel_model::{Address, parse_duration};
use std::{path::PathBuf, time::Duration};

#[derive(Parser)]
#[command(
    name = "evenkeel",
    about = "A reverse-proxy load balancer: one file, swapped atomically while traffic flows.",
    version = VERSION,
    disable_help_subcommand = true,
    after_help = "First look:  evenkeel demo\nThen:        evenkeel check --config evenkeel.toml && evenkeel run --config evenkeel.toml"
)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("EVENKEEL_REVISION"), ")");

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve what the file says, and what it says after each change.
    ///
    /// Prints one line of JSON on standard output when it serves, and its log on standard error. Signals: TERM and INT drain and stop
    /// (a second one stops at once), HUP reads the file again, USR1 opens the access log again. Exit status: 0 after a drain, 2 if it
    /// could not start.
    Run {
        /// The configuration file.
        #[arg(long, short, default_value = "evenkeel.toml", value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a file without serving it: exit status 0, or 2 with every problem, its place and a hint.
    Check {
        /// The configuration file.
        #[arg(long, short, default_value = "evenkeel.toml", value_name = "FILE")]
        config: PathBuf,
    },
    /// Three built-in endpoints behind a listener, a gentle load, and a live picture. Needs nothing else.
    Demo(Demo),
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
    /// Ask the admin listener whether new traffic is welcome: exit status 0 or 1. For HEALTHCHECK and scripts.
    Ready {
        /// The configuration file, which names the admin listener.
        #[arg(long, short, default_value = "evenkeel.toml", value_name = "FILE")]
        config: PathBuf,
        /// Ask there instead of where the file says.
        #[arg(long, value_name = "ADDRESS")]
        admin: Option<Address>,
    },
}

#[derive(Args)]
pub(crate) struct Demo {
    /// End after this time, such as 5s.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) time: Option<Duration>,
    /// Where to listen for requests: 127.0.0.1:8080, or any free port.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<Address>,
    /// Where to listen for an operator: 127.0.0.1:9901, or any free port.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<Address>,
}

/// Ends the process with a page of help when the words do not fit.
pub(crate) fn parse() -> Command {
    Options::parse().command
}

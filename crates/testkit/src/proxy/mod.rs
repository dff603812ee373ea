//! The real binary with a configuration file of its own.
//!
//! `Builder` writes the file and starts the process, `Proxy` is the running process, `ConfigFile` the ways in which a file
//! is changed in real life, `Metrics` a scrape taken apart, `command` the other subcommands.

mod builder;
mod command;
mod file;
mod metrics;
mod process;
mod running;

pub use builder::Builder;
pub use command::{CommandEnd, binary, run_command};
pub use file::{ConfigFile, Edit};
pub use metrics::{Metrics, Sample};
pub use process::{Exit, Signal};
pub use running::Proxy;

//! `evenkeel demo`.

use crate::options::Demo;
use std::process::ExitCode;

pub(crate) fn run(_options: &Demo) -> ExitCode {
    ExitCode::SUCCESS
}

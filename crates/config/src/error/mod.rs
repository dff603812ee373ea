//! What is wrong with a file, and how it is shown.
//!
//! `report` collects while the file is walked; `problem` is what the caller gets, in the order of the file; `render` draws it.

mod lines;
mod problem;
mod render;
mod report;

pub(crate) use lines::Lines;
pub use problem::{Problem, Problems, Severity};
pub(crate) use report::{Finding, Place, Report};

//! What the crate promises, seen from outside: files in, problems and configurations out.

#![expect(clippy::unwrap_used, reason = "a step that fails ends its test")]

mod documents;
mod problems;
mod reading;
mod robustness;
mod routes;
mod watching;

//! From a file to the model, and again whenever the file changes.
//!
//! [`load`] reads a TOML file, finds every problem in it at once (each with its place, the line itself and a hint) and gives a
//! checked `evenkeel_model::Config`. [`Watch`] tells when the file has another content. [`Live`] holds what is built from it.
//! Above: the server, which builds a snapshot from the model and swaps it in. This crate never opens a socket, never decides whether a
//! configuration replaces another, and never gives out half of one.
//!
//! What may stand in the file is said once, in the tables of `file`: the walker, the JSON Schema and the tests of
//! `config/full.toml` all read them.

mod error;
mod file;
mod hash;
mod live;
mod load;
mod misfit;
mod nearest;
mod resolve;
mod schema;
mod shape;
mod syntax;
mod walk;
mod watch;

pub use error::{Problem, Problems, Severity};
pub use hash::ContentHash;
pub use live::Live;
pub use load::{FILE_MAX, Loaded, load, parse};
pub use misfit::{Misfit, misfits};
pub use schema::schema;
pub use watch::{Change, Watch};

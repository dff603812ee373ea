//! What may stand in the file, and how each section is read.
//!
//! Each section has two things side by side: its table of keys (the reference manual, which `walk` and `schema` use too) and the
//! function that reads it. What comes out is a [`Draft`]: checked on its own, every reference still a name with its place. `resolve`
//! comes after and makes a `Config` of it.

mod field;
mod filter;
mod health;
mod listener;
mod process;
mod root;
mod route;
mod tls;
mod upstream;
mod upstream_tls;

pub(crate) use listener::ListenerDraft;
pub(crate) use root::{Draft, ROOT, read};
pub(crate) use route::RouteDraft;
pub(crate) use upstream::UpstreamDraft;

use crate::error::Place;

/// A value that remembers where it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

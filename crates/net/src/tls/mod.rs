//! TLS: certificates as they are read and chosen, and the server's side of a handshake.
//!
//! [`ServerTls`] belongs to a listener and lives as long as its name. [`ServerTls::prepare`] reads and checks files on the control
//! thread; [`Ready::install`] swaps them in, which no open connection notices; a worker calls [`ServerTls::accept`]. rustls does the
//! cryptography, with aws-lc-rs; everything above speaks of a [`Stream`](crate::Stream). Nothing here knows HTTP.

mod certificates;
mod facts;
mod failure;
mod files;
mod peer;
mod server;

pub use certificates::Names;
pub use failure::Failure;
pub use files::TlsProblem;
pub use peer::{Opening, opening};
pub use server::{Handshake, Ready, Reloaded, ServerTls, Session};

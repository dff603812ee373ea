//! TLS: certificates as they are read and chosen, and both sides of a handshake.
//!
//! [`ServerTls`] belongs to a listener and lives as long as its name. [`ServerTls::prepare`] reads and checks files on the control
//! thread; [`Ready::install`] swaps them in, which no open connection notices; a worker calls [`ServerTls::accept`]. [`ClientTls`] is the
//! same for an upstream, with [`ClientTls::connect`] and with [`Identity`] to tell connections of other settings apart. rustls does the
//! cryptography, with aws-lc-rs; everything above speaks of a [`Stream`](crate::Stream). Nothing here knows HTTP.

mod certificates;
mod client;
mod facts;
mod failure;
mod files;
mod peer;
mod refusal;
mod resuming;
mod server;
mod trust;

pub use certificates::Names;
pub use client::{ClientReady, ClientTls, Connected, Identity, Inside};
pub use failure::{Failure, Fault};
pub use files::{Ends, TlsProblem};
pub use peer::{Opening, opening};
pub use refusal::{Refusal, refused_later};
pub use server::{Handshake, Ready, Reloaded, ServerTls, Session};

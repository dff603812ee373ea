//! One client connection.

mod client;
mod http1;
mod io;

pub(crate) use client::ClientConnection;
pub(crate) use http1::serve;

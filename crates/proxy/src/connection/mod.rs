//! One client connection.

mod client;
mod http1;
mod io;
mod tunnel;
mod turn;

pub(crate) use client::ClientConnection;
pub(crate) use http1::serve;
pub(crate) use tunnel::Tunnel;
pub(crate) use turn::Turn;

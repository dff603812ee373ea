//! One client connection.

mod client;
mod frames;
mod http1;
mod http2;
mod io;
mod serve;
mod streams;
mod tunnel;
mod turn;

pub(crate) use client::ClientConnection;
pub(crate) use serve::serve;
pub(crate) use tunnel::Tunnel;
pub(crate) use turn::Turn;

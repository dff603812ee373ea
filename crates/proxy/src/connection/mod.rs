//! One client connection.

mod client;
mod http1;
mod io;
mod open;
mod tls;
mod tunnel;
mod turn;

pub(crate) use client::ClientConnection;
pub(crate) use open::open;
pub(crate) use tunnel::Tunnel;
pub(crate) use turn::Turn;

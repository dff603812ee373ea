//! One client connection.

mod client;
mod first_bytes;
mod frames;
mod http1;
mod http2;
mod introduction;
mod io;
mod leaving;
mod leftover;
mod open;
mod owned;
mod room;
mod session;
mod stream_tunnel;
mod streams;
mod tcp;
mod tls;
mod tunnel;
mod turn;
mod uptake;

pub(crate) use client::ClientConnection;
pub(crate) use http1::ClientBody;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use http1::{HeadLimits, read_request_head};
pub(crate) use open::open;
pub(crate) use owned::OwnerId;
pub(crate) use session::Session;
pub(crate) use tunnel::Tunnel;
pub(crate) use turn::Turn;

//! One thread with its own runtime, sockets and pools.

mod accept;
mod age;
pub(crate) mod faults;
mod handshakes;
mod pace;
mod places;
mod reconcile;
mod seldom;
mod thread;
mod timers;
#[expect(clippy::module_inception, reason = "the room is named after its owner")]
mod worker;

pub(crate) use pace::Pace;
pub(crate) use reconcile::{
    ListenerTls, LocalEndpoint, LocalListener, LocalRoute, LocalSnapshot, LocalTcp, LocalUpstream,
};
pub(crate) use seldom::Seldom;
pub(crate) use thread::{Order, Seat, SocketKey};
pub(crate) use timers::Timer;
pub(crate) use worker::{CustomFilters, Worker};

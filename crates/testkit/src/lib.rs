//! Servers, clients and waits for tests; dev-dependency only.
//!
//! A test reads as given, when, then: it starts what it needs (`Origin`, `RawOrigin`, `Proxy`, the real binary), asks
//! (`Client`, `Wire`, `Load`) and looks at what both ends saw. Every value owns its sockets, tasks and processes and ends
//! them when dropped. All sockets are on port 0 or in a temporary directory; every wait has a bound and says, when it
//! fails, what it waited for. Nothing here sleeps to let something happen: it waits for a condition.
//!
//! A mistake of the harness or of the test is a panic with a sentence, never an error value; only what the peer does is
//! a value to be looked at.

mod certificates;
mod chance;
mod client;
mod eventually;
pub mod hostile;
mod load;
mod origin;
mod place;
mod proxy;
mod tls;
mod tls_server;
mod wire;

#[cfg(test)]
mod tests;

pub use certificates::{Authority, Issued, Order};
pub use chance::Chance;
pub use client::{Ask, Client, Failure, Repeat, Response};
pub use eventually::{BOUND, eventually, eventually_within, in_time, until, until_within};
pub use load::{Load, Report, Running};
pub use origin::{Answer, DeadEndpoint, Origin, OriginBuilder, Seen};
pub use place::{Door, Place, Socket, unused_port};
pub use proxy::{Builder, CommandEnd, ConfigFile, Edit, Exit, Metrics, Proxy, Sample, Signal, binary, run_command};
pub use tls::{Secured, TlsClient, no_sessions};
pub use tls_server::{Greeted, TlsServer};
pub use wire::{Ending, Frame, FrameWire, RawOrigin, RawResponse, Script, Wire, block};

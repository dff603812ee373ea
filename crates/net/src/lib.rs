//! Bytes: where to connect, how to listen, and the sockets themselves.
//!
//! Everything above speaks of a [`Target`] and a [`Stream`] and does not know whether there is TCP or a unix socket
//! beneath. Nothing here knows HTTP.

pub mod client_hello;
mod connect;
mod descriptors;
mod listen;
pub mod proxy_protocol;
mod relay;
mod stream;
mod target;
pub mod tls;

pub use connect::{ConnectError, connect, connect_port};
pub use descriptors::{Spare, raise_limit};
pub use listen::{BindError, Listener, Listening, bind};
pub use relay::{Carried, Relay, RelayEnd};
pub use stream::{Peer, Stream};
pub use target::Target;

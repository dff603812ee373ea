//! Raw bytes on both ends: what no HTTP library would send, and exactly what arrived.
//!
//! `Wire` is a client on a bare socket, `RawOrigin` a server that plays a `Script` on each connection. Both parse only as
//! much HTTP as they need to know where a message ends, and forgive nothing silently: what they could not read is there as
//! bytes. `FrameWire` is the same for HTTP/2: single frames.

mod buffered;
mod client;
mod http2;
mod message;
mod origin;
mod script;

pub use buffered::Ending;
pub use client::Wire;
pub use http2::{Frame, FrameWire, block};
pub use message::RawResponse;
pub use origin::RawOrigin;
pub use script::Script;

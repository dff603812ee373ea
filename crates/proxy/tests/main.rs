//! Promises made to programs that embed the proxy, one module each: real sockets, real workers, in this process.
//!
//! What an operator is promised is tested with the real binary, in the folder `tests` of the workspace.

mod changing;
mod holding;
mod layers;
mod oneshot;
mod panics;
mod support;

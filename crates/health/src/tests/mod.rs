//! The parts of this crate together: probers and resolvers on a paused clock, the checker over real sockets.

mod checker;
mod prober;
mod resolver;
mod support;

//! A well-behaved HTTP/1.1 endpoint that counts, remembers and echoes, and one that is not there.
//!
//! Runs in the test's own runtime. For misbehaviour see `wire` and `hostile`.

mod answer;
mod builder;
mod dead;
mod serve;
mod server;

pub use answer::Answer;
pub use builder::OriginBuilder;
pub use dead::DeadEndpoint;
pub use server::{Origin, Seen};

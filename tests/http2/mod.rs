//! HTTP/2 from clients and to endpoints: streams that do not wait for each other, and one meaning in whatever version a message travels.
//!
//! Clients are the crate `h2`, and single frames where no library would send them.

mod announced;
mod authentication;
mod choosing;
mod crumbs;
mod drain;
mod early_answers;
mod either;
mod endpoints;
mod faults;
mod floods;
mod grpc;
mod heads;
mod hoarders;
mod hostile_endpoints;
mod left_out;
mod life;
mod malformed;
mod memory;
mod neighbours;
mod origin;
mod pings;
mod resets;
mod secured;
mod sharing;
mod site;
mod socket;
mod stuck;
mod talk;
mod tls;
mod translation;
mod turns;
mod websocket;

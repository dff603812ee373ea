//! HTTP/2 from clients: streams that do not wait for each other, and one meaning for endpoints that speak HTTP/1.1.
//!
//! Clients are the crate `h2`, and single frames where no library would send them.

mod floods;
mod grpc;
mod life;
mod talk;
mod tls;
mod translation;

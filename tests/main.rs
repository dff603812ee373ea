//! Promises made to users, one module each, kept by the real binary: real sockets, files and signals.
//!
//! Nothing here looks inside the process: what it promises can be seen from outside, by its clients, its endpoints and its
//! operator.

mod access_log;
mod admin;
mod architecture;
mod balancing;
mod cases;
mod check;
mod connections;
mod dead_ends;
mod demo;
mod draining;
mod examples;
mod failures;
mod filters;
mod forwarded;
mod fuzz;
mod grpc;
mod guarding;
mod health;
mod http1;
mod http2;
mod last_errors;
mod life;
mod limits;
mod metrics;
mod packaging;
mod places;
mod proxy_protocol;
mod proxy_status;
mod rates;
mod real_peers;
mod redirects;
mod reload;
mod reload_under_load;
mod routing;
mod slow_clients;
mod tcp;
mod timeouts;
mod tls;
mod turns;
mod unix;
mod upgrades;

//! The way of a request. Start reading at `handle`.

pub(crate) mod alike;
mod chain;
mod connection_auth;
mod detach;
mod exchange;
mod forwarded;
mod grpc;
mod handle;
mod proxy_status;
mod record;
mod respond;
mod service;
mod target;
mod upgrade;
mod websocket;

pub(crate) use chain::Asked;
#[cfg(feature = "fuzzing")]
pub(crate) use chain::client as client_behind_proxies;
pub(crate) use detach::detach;
pub(crate) use exchange::{End, Exchange};
pub(crate) use forwarded::{CHUNKED, lists, plain_length, prepare_interim, prepare_response};
pub(crate) use proxy_status::of as proxy_status;
pub(crate) use record::log_unparsed;
pub use service::ProxyService;
pub(crate) use websocket::agree as agree_on_websocket;

//! What sets the connections to one endpoint apart: how they were made, and for whom.
//!
//! A pooled connection is used only for a request that would make the same one now; so what was made before a setting or a file of TLS
//! changed serves nobody any more, and one that speaks for a client serves no other.

use super::announcement::Announcement;
use crate::{request::Exchange, worker::LocalUpstream};
use evenkeel_net::tls;

/// How a connection is made, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Boxed, so that the futures of all other requests do not carry it.
    pub(super) announcement: Option<Box<Announcement>>,
    pub(super) tls: Option<tls::Identity>,
}

impl Identity {
    /// Of a connection that could be made now for this request.
    pub(super) fn wanted(upstream: &LocalUpstream, exchange: &Exchange) -> Self {
        let version = upstream.part.settings.proxy_protocol;
        Self {
            announcement: version.map(|version| Box::new(Announcement::of(exchange, version))),
            tls: upstream.part.tls.as_ref().map(|tls| tls.identity()),
        }
    }
}

//! The connections to endpoints that belong to one client connection: by them it has authenticated itself (`request::connection_auth`).
//!
//! They wait in the pools of their endpoints, where time and the end of an endpoint find them; here is known where.

use crate::worker::LocalEndpoint;
use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

/// Endpoints with a connection of one client's own. A client authenticates itself to one site, or to a few behind one name; each costs as much as
/// a pooled connection does.
const ENDPOINTS_MAX: usize = 4;

/// By what a pool finds the connections of a client again; no two clients at a time have the same.
pub(crate) type OwnerId = usize;

/// Where one client's own connections are.
#[derive(Default)]
pub(super) struct Owned {
    any: Cell<bool>,
    endpoints: RefCell<Vec<Weak<LocalEndpoint>>>,
}

impl Owned {
    /// Whether there may be one.
    pub(super) fn any(&self) -> bool {
        self.any.get()
    }

    /// There is one to this endpoint. Above the limit the oldest one is closed.
    pub(super) fn add(&self, endpoint: &Rc<LocalEndpoint>, owner: OwnerId) {
        self.any.set(true);
        let mut endpoints = self.endpoints.borrow_mut();
        if endpoints.iter().any(|known| known.as_ptr() == Rc::as_ptr(endpoint)) {
            return;
        }
        if endpoints.len() >= ENDPOINTS_MAX {
            forget(&endpoints.remove(0), owner);
        }
        endpoints.push(Rc::downgrade(endpoint));
    }

    /// Closes them all.
    pub(super) fn end(&self, owner: OwnerId) {
        for endpoint in self.endpoints.take() {
            forget(&endpoint, owner);
        }
    }
}

/// An endpoint that is gone has closed its connections.
fn forget(endpoint: &Weak<LocalEndpoint>, owner: OwnerId) {
    if let Some(endpoint) = endpoint.upgrade() {
        endpoint.pool.forget_owned(owner);
    }
}

//! The conditions of a route beyond host and path: method, header fields, listener.

use crate::snapshot::ListenerNumber;
use evenkeel_model::{HeaderMatch, Route};
use http::{HeaderMap, Method};

/// The conditions of one route that cannot be looked up, only asked.
#[derive(Clone, Debug)]
pub(crate) struct Predicate {
    methods: Box<[Method]>,
    headers: Box<[HeaderMatch]>,
    /// Empty: all, and requests that came by none.
    listeners: Box<[ListenerNumber]>,
}

impl Predicate {
    pub(crate) fn new(route: &Route, listeners: Box<[ListenerNumber]>) -> Self {
        Self { methods: route.methods.clone().into(), headers: route.headers.clone().into(), listeners }
    }

    /// More specific first: a method before none, then more header conditions (Gateway API, `HTTPRouteRule`).
    pub(crate) fn specificity(&self) -> (bool, usize) {
        (!self.methods.is_empty(), self.headers.len())
    }

    pub(crate) fn holds(&self, method: &Method, headers: &HeaderMap, listener: Option<ListenerNumber>) -> bool {
        (self.methods.is_empty() || self.methods.contains(method))
            && (self.listeners.is_empty() || listener.is_some_and(|listener| self.listeners.contains(&listener)))
            && self.headers.iter().all(|wanted| match &wanted.value {
                Some(value) => headers.get_all(&wanted.name).iter().any(|found| found == value),
                None => headers.contains_key(&wanted.name),
            })
    }
}

//! How an origin is described before it starts.

use super::{
    answer::Answer,
    server::{Origin, Shared, State},
};
use crate::{place::Place, tls_server::TlsServer};
use std::{collections::HashMap, path::Path};

/// How an origin is described before it starts.
#[derive(Clone, Debug)]
pub struct OriginBuilder {
    name: String,
    place: Place,
    closes_after_each_response: bool,
    tls: Option<TlsServer>,
    otherwise: Answer,
    answers: HashMap<String, Answer>,
}

impl OriginBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: "origin".to_owned(),
            place: Place::loopback(),
            closes_after_each_response: false,
            tls: None,
            otherwise: Answer::echo(),
            answers: HashMap::new(),
        }
    }

    /// The name that it writes into the field `x-origin` of each response.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// On this unix socket instead of a TCP port.
    #[must_use]
    pub fn on_unix(mut self, path: impl AsRef<Path>) -> Self {
        self.place = Place::Unix(path.as_ref().to_owned());
        self
    }

    /// Closes each connection after one response, without having said so.
    #[must_use]
    pub fn closes_after_each_response(mut self) -> Self {
        self.closes_after_each_response = true;
        self
    }

    /// Within TLS.
    #[must_use]
    pub fn tls(mut self, tls: &TlsServer) -> Self {
        self.tls = Some(tls.clone());
        self
    }

    /// Answers so wherever nothing else is said.
    #[must_use]
    pub fn answers(mut self, answer: Answer) -> Self {
        self.otherwise = answer;
        self
    }

    /// Answers so to this path.
    #[must_use]
    pub fn at(mut self, path: &str, answer: Answer) -> Self {
        self.answers.insert(path.to_owned(), answer);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When its address is taken.
    #[expect(clippy::unused_async, reason = "must be called on a runtime, and reads like the other servers")]
    pub async fn start(self) -> Origin {
        let state = State { otherwise: self.otherwise, answers: self.answers, ..State::default() };
        Origin::open(&self.place, Shared::new(self.name, self.closes_after_each_response, self.tls, state))
    }
}

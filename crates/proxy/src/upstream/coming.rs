//! Connections of HTTP/2 to one endpoint that are just being made, and the requests that wait for a stream of one.
//!
//! As many are being made as the waiting requests will fill, and no more: each takes as many requests as its endpoint takes streams, as far as
//! that is known. When it is there, or a stream of another connection is free before, the requests get their streams, the oldest first and before
//! any that comes now: so one that was left out by an endpoint that serves few on a connection is among the first there on the next. When it cannot be made they fail with it, as the pending streams of Envoy do
//! (`ConnPoolImplBase::purgePendingStreams`): each would have made the same connection at the same time. When it is given up for a reason
//! that is not the endpoint's, the first of them makes another one.

use super::{
    http2::{STREAMS_MAX, Stream},
    identity::Identity,
};
use crate::error::ProxyError;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Instant,
};
use tokio::sync::oneshot;

/// What comes of waiting. Without a word: to be tried again.
pub(super) enum Came {
    /// A stream on the new connection.
    Stream(Stream),
    /// There is no connection.
    Failed(ProxyError),
}

/// What is being made to one endpoint.
pub(super) struct Coming {
    making: RefCell<Vec<Rc<Making>>>,
    /// How many streams the endpoint took at a time when it was last heard.
    takes: Cell<usize>,
}

/// One connection that is being made.
pub(super) struct Making {
    identity: Identity,
    /// By their age, the oldest first. Some may have given up.
    waiting: RefCell<VecDeque<Waits>>,
}

/// A request that waits.
struct Waits {
    /// When it came from its client.
    since: Instant,
    sender: oneshot::Sender<Came>,
}

impl Default for Coming {
    fn default() -> Self {
        Self { making: RefCell::default(), takes: Cell::new(STREAMS_MAX as usize) }
    }
}

impl Coming {
    /// Whether none is being made.
    pub(super) fn is_empty(&self) -> bool {
        self.making.borrow().is_empty()
    }

    /// A request makes a connection, for which others may wait.
    pub(super) fn begins(&self, identity: &Identity) -> Rc<Making> {
        let making = Rc::new(Making { identity: identity.clone(), waiting: RefCell::default() });
        self.making.borrow_mut().push(Rc::clone(&making));
        making
    }

    /// It is made, or will not be: no other request waits for it.
    pub(super) fn ends(&self, making: &Rc<Making>) {
        self.making.borrow_mut().retain(|other| !Rc::ptr_eq(other, making));
    }

    /// The endpoint takes so many streams on one connection.
    pub(super) fn learn(&self, takes: usize) {
        self.takes.set(takes.clamp(1, STREAMS_MAX as usize));
    }

    /// The request that has waited longest for a connection like this, if any does.
    pub(super) fn next(&self, identity: &Identity) -> Option<oneshot::Sender<Came>> {
        let making = self.making.borrow();
        making.iter().filter(|making| making.identity == *identity).find_map(|making| making.next())
    }

    /// A place among the requests that wait for a connection, if one is being made that will have room for another stream, for one that came
    /// then.
    pub(super) fn join(&self, identity: &Identity, since: Instant) -> Option<oneshot::Receiver<Came>> {
        // One stream is its maker's.
        let room = self.takes.get() - 1;
        let making = self.making.borrow();
        making.iter().filter(|making| making.identity == *identity).find_map(|making| making.join(room, since))
    }
}

impl Making {
    /// How it was to be made, and for which client.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    fn join(&self, room: usize, since: Instant) -> Option<oneshot::Receiver<Came>> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= room {
            waiting.retain(|waits| !waits.sender.is_closed());
        }
        if waiting.len() >= room {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        // Mostly it is the newest.
        let older = waiting.iter().rposition(|waits| waits.since <= since);
        waiting.insert(older.map_or(0, |older| older + 1), Waits { since, sender });
        Some(receiver)
    }

    fn next(&self) -> Option<oneshot::Sender<Came>> {
        let mut waiting = self.waiting.borrow_mut();
        loop {
            let Waits { sender, .. } = waiting.pop_front()?;
            if !sender.is_closed() {
                return Some(sender);
            }
        }
    }

    /// Gives each waiting request what it gets, the first one first; the others are to try again.
    pub(super) fn tell(&self, mut came: impl FnMut() -> Option<Came>) {
        for Waits { sender, .. } in self.waiting.take() {
            if sender.is_closed() {
                continue;
            }
            let Some(came) = came() else { break };
            // A request that is gone at this moment has dropped it, which gives it back.
            let _ = sender.send(came);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { announcement: None, tls: None }
    }

    fn join(coming: &Coming) -> Option<oneshot::Receiver<Came>> {
        coming.join(&identity(), Instant::now())
    }

    #[test]
    fn a_connection_is_waited_for_by_as_many_as_it_will_carry() {
        let coming = Coming::default();
        assert!(join(&coming).is_none(), "there is none");
        let making = coming.begins(&identity());
        let waiting: Vec<_> = (0..STREAMS_MAX).map_while(|_| join(&coming)).collect();
        assert_eq!(waiting.len(), 99, "and its maker");

        let second = coming.begins(&identity());
        assert!(join(&coming).is_some(), "the next ones wait for the second");

        coming.ends(&making);
        coming.ends(&second);
        assert!(join(&coming).is_none());
    }

    #[test]
    fn a_request_that_is_gone_leaves_its_place_to_another() {
        let coming = Coming::default();
        let _making = coming.begins(&identity());
        coming.learn(2);
        let first = join(&coming);
        assert!(first.is_some() && join(&coming).is_none());
        drop(first);
        assert!(join(&coming).is_some());
    }

    #[test]
    fn a_free_stream_goes_to_the_request_that_has_waited_longest_and_is_still_there() {
        let coming = Coming::default();
        let _making = coming.begins(&identity());
        let [mut gone, mut first, mut second] = [(); 3].map(|()| join(&coming).unwrap());
        gone.close();

        assert!(coming.next(&identity()).unwrap().send(Came::Failed(ProxyError::NoRoute)).is_ok());

        assert!(first.try_recv().is_ok() && second.try_recv().is_err());
        assert!(coming.next(&identity()).is_some() && coming.next(&identity()).is_none());
    }

    #[test]
    fn an_older_request_that_comes_later_is_served_before_younger_ones() {
        let coming = Coming::default();
        let _making = coming.begins(&identity());
        let old = Instant::now();
        let at = |seconds| coming.join(&identity(), old + std::time::Duration::from_secs(seconds)).unwrap();
        let (mut second, mut third, mut first, mut last) = (at(2), at(3), at(1), at(3));

        for waits in [&mut first, &mut second, &mut third, &mut last] {
            coming.next(&identity()).unwrap().send(Came::Failed(ProxyError::NoRoute)).ok();
            assert!(waits.try_recv().is_ok());
        }
    }

    #[test]
    fn waiting_requests_are_told_in_their_order_and_the_rest_tries_again() {
        let coming = Coming::default();
        let making = coming.begins(&identity());
        let mut waiting = [(); 4].map(|()| join(&coming).unwrap());
        waiting[0].close();

        let mut places = 2;
        making.tell(|| {
            places -= 1;
            (places >= 0).then(|| Came::Failed(ProxyError::NoRoute))
        });

        let told = waiting.map(|mut waits| waits.try_recv().is_ok());
        assert_eq!(told, [false, true, true, false]);
    }
}

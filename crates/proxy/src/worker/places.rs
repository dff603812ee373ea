//! The client connections of one worker: which of them gives up its place when all are taken (`limits.connections_max`) and another client comes.
//!
//! It is the one that has waited longest for its next request. Nothing is kept in order for that, so a request costs nothing: whoever
//! wants a place looks at all connections, and remembers those that have waited longest. Only between two requests does one give way.

use crate::connection::ClientConnection;
use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

/// How many are remembered from one look: for the next ones that want a place. So a storm of clients costs each a part of a look.
const REMEMBERED: usize = 64;

/// All client connections of one worker.
#[derive(Default)]
pub(crate) struct Places {
    seats: RefCell<Vec<Weak<ClientConnection>>>,
    /// Seats that are empty.
    free: RefCell<Vec<usize>>,
    /// Since when they were idle as we looked; the longest last.
    idle: RefCell<Vec<(u64, Weak<ClientConnection>)>>,
}

impl Places {
    /// A connection that was accepted. Gives its seat.
    pub(crate) fn sit(&self, connection: &Weak<ClientConnection>) -> usize {
        let mut seats = self.seats.borrow_mut();
        let seat = self.free.borrow_mut().pop().unwrap_or_else(|| {
            seats.push(Weak::new());
            seats.len() - 1
        });
        seats[seat] = Weak::clone(connection);
        seat
    }

    /// It has ended.
    pub(crate) fn leave(&self, seat: usize) {
        let gone = std::mem::take(&mut self.seats.borrow_mut()[seat]);
        self.free.borrow_mut().push(seat);
        drop(gone);
    }

    /// Ends the connection that has been idle for longest. `false`: none is idle.
    pub(crate) fn free_one(&self) -> bool {
        self.free_remembered() || {
            self.look();
            self.free_remembered()
        }
    }

    fn free_remembered(&self) -> bool {
        let next = || self.idle.borrow_mut().pop();
        std::iter::from_fn(next).any(|(since, connection)| {
            // Whatever has happened to it since then, it is none of those any more.
            let still = connection.upgrade().filter(|connection| connection.idle_since() == Some(since));
            still.inspect(|connection| connection.give_way()).is_some()
        })
    }

    fn look(&self) {
        let seats = self.seats.borrow();
        let connections = seats.iter().filter_map(Weak::upgrade);
        let idle = connections.filter_map(|connection| Some((connection.idle_since()?, Rc::downgrade(&connection))));
        let mut idle: Vec<_> = idle.collect();
        if idle.len() > REMEMBERED {
            idle.select_nth_unstable_by_key(REMEMBERED, |(since, _)| *since);
            idle.truncate(REMEMBERED);
        }
        idle.sort_unstable_by_key(|(since, _)| std::cmp::Reverse(*since));
        self.idle.replace(idle);
    }
}

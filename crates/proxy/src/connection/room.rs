//! What we hold of the answers of one HTTP/2 client because it has not taken them, and the bound of that.
//!
//! `h2` bounds what waits of one stream; a client may have 128 of them, and nothing would bound them together. So a body is asked for its next
//! part only while its connection holds less than its share (`body::Body`): else the part stays with its endpoint, as it does when a stream
//! alone is full. Held is what was offered and not written since the client's socket was full, or what waits for windows; both end
//! by `timeouts.body_stall` at the latest, so a stream that is not asked is never forgotten.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Bytes that one connection may hold: 64 answers of which each waits for its window with what one read of an endpoint brings.
const CONNECTION_MAX: usize = 2 << 20;
/// And what it may hold however much others do, so that all go on.
const CONNECTION_LEAST: usize = 64 << 10;
/// Bytes that all connections of a worker hold together, but for the least that each may. A connection may take a quarter of what is free, so
/// that a few cannot take it from all others (dynamic thresholds: Choudhury and Hahne, 1998).
const WORKER_MAX: usize = 128 << 20;

/// What one connection holds.
pub(super) struct Room {
    /// What all connections of the worker hold together.
    all: Rc<Cell<usize>>,
    /// Offered since all was written that could be, and not written.
    unwritten: Cell<usize>,
    /// Offered to streams that have not asked for more.
    waiting: Cell<usize>,
    /// The larger of both, as it is counted in `all`.
    held: Cell<usize>,
    /// Streams that would ask for more.
    asking: RefCell<Vec<Waker>>,
}

impl Room {
    pub(super) fn new(all: &Rc<Cell<usize>>) -> Self {
        Self {
            all: Rc::clone(all),
            unwritten: Cell::new(0),
            waiting: Cell::new(0),
            held: Cell::new(0),
            asking: RefCell::default(),
        }
    }

    /// A part of an answer, of so many bytes, is handed over.
    pub(super) fn offered(&self, bytes: usize) {
        self.unwritten.set(self.unwritten.get() + bytes);
        self.waiting.set(self.waiting.get() + bytes);
        self.changed();
    }

    /// The stream to which they were offered asks for more, or has ended.
    pub(super) fn taken(&self, bytes: usize) {
        debug_assert!(bytes <= self.waiting.get(), "what is taken was offered");
        self.waiting.set(self.waiting.get().saturating_sub(bytes));
        self.changed();
    }

    /// So many bytes have gone to the client's socket.
    pub(super) fn wrote(&self, bytes: usize) {
        self.unwritten.set(self.unwritten.get().saturating_sub(bytes));
        self.changed();
    }

    /// All that could be written has been: what is left waits for windows, or was dropped with its stream.
    pub(super) fn drained(&self) {
        self.unwritten.set(0);
        self.changed();
    }

    /// Waits until the connection may hold more.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.held.get() < self.limit() {
            return Poll::Ready(());
        }
        let mut asking = self.asking.borrow_mut();
        if !asking.iter().any(|waker| waker.will_wake(cx.waker())) {
            asking.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn limit(&self) -> usize {
        let free = WORKER_MAX.saturating_sub(self.all.get());
        (free / 4).clamp(CONNECTION_LEAST, CONNECTION_MAX)
    }

    fn changed(&self) {
        let held = self.unwritten.get().max(self.waiting.get());
        let before = self.held.replace(held);
        self.all.set(self.all.get() + held - before);
        if held < before && !self.asking.borrow().is_empty() && held < self.limit() {
            self.asking.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.held.get());
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("held", &self.held).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(room: &Room) -> bool {
        room.poll(&Context::from_waker(Waker::noop())).is_ready()
    }

    /// Offers parts to streams that take none, as long as that may be.
    fn fills(room: &Room, part: usize) {
        while asks(room) {
            room.offered(part);
        }
    }

    #[test]
    fn a_connection_holds_no_more_than_its_share_and_one_part() {
        let room = Room::new(&Rc::default());
        fills(&room, 32 << 10);
        assert!((CONNECTION_MAX..CONNECTION_MAX + (32 << 10)).contains(&room.held.get()));

        room.taken(64 << 10);
        assert!(!asks(&room), "they are not written");
        room.wrote(64 << 10);
        assert!(asks(&room));
    }

    #[test]
    fn what_was_dropped_with_its_stream_is_not_held_for_ever() {
        let room = Room::new(&Rc::default());
        fills(&room, 32 << 10);
        room.taken(room.waiting.get());
        assert!(!asks(&room));
        room.drained();
        assert_eq!((asks(&room), room.held.get()), (true, 0));
    }

    #[test]
    fn many_connections_hold_no_more_together_than_a_worker_may_and_each_goes_on() {
        let all = Rc::<Cell<usize>>::default();
        let rooms: Vec<_> = (0..1000).map(|_| Room::new(&all)).collect();
        for room in &rooms {
            fills(room, 16 << 10);
            assert!(room.held.get() >= CONNECTION_LEAST);
        }
        let bound = WORKER_MAX + rooms.len() * (CONNECTION_LEAST + (16 << 10));
        assert!(all.get() < bound, "{} above {bound}", all.get());

        drop(rooms);
        assert_eq!(all.get(), 0);
    }
}

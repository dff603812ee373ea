//! Turns for TLS handshakes, so that a storm of them does not starve ordinary traffic.
//!
//! A step of a handshake takes some hundred microseconds, most of it a signature; a thousand of them one after the other would stop
//! every other connection of the worker for a tenth of a second. So a worker takes one step, then looks at its sockets and runs
//! everything that is ready, then takes the next. Whoever waits stands in a queue; nobody is turned away but by the timeout.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll, Waker},
};
use tokio::{sync::Notify, task::yield_now};

/// Steps between two looks at everything else. One: a look costs a hundredth of a step.
const STEPS_IN_A_TURN: usize = 1;

/// The turns of one worker.
#[derive(Debug)]
pub(crate) struct Handshakes {
    /// Steps that may still be made in this turn.
    left: Cell<usize>,
    /// Who waits, in the order of their numbers; the first has the number `admitted`.
    waiting: RefCell<VecDeque<Waker>>,
    admitted: Cell<u64>,
    /// A step was made or is waited for, so that another turn has to come.
    wanted: Notify,
}

impl Handshakes {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            left: Cell::new(STEPS_IN_A_TURN),
            waiting: RefCell::default(),
            admitted: Cell::new(0),
            wanted: Notify::new(),
        })
    }

    /// Gives turns for as long as the worker lives.
    pub(super) async fn run(self: Rc<Self>) {
        loop {
            self.wanted.notified().await;
            // The runtime comes back to us when it has looked at its sockets and run what was ready (tokio 1.54, `task::yield_now`).
            yield_now().await;
            self.next_turn();
        }
    }

    fn next_turn(&self) {
        let mut waiting = self.waiting.borrow_mut();
        let admitted: Vec<Waker> = {
            let count = waiting.len().min(STEPS_IN_A_TURN);
            waiting.drain(..count).collect()
        };
        self.left.set(STEPS_IN_A_TURN - admitted.len());
        self.admitted.set(self.admitted.get() + admitted.len() as u64);
        if !admitted.is_empty() {
            self.wanted.notify_one();
        }
        drop(waiting);
        admitted.into_iter().for_each(Waker::wake);
    }

    /// A place in the queue, not taken yet.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { handshakes: self, number: None }
    }
}

/// Where one handshake stands.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    handshakes: &'a Handshakes,
    number: Option<u64>,
}

impl Place<'_> {
    /// Ready when one step may be made now. To be asked before each step, by the same task.
    pub(crate) fn poll_step(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Handshakes { left, waiting, admitted, wanted } = self.handshakes;
        match self.number {
            Some(number) if number < admitted.get() => {
                self.number = None;
                Poll::Ready(())
            }
            Some(_) => Poll::Pending,
            None if left.get() > 0 => {
                left.set(left.get() - 1);
                wanted.notify_one();
                Poll::Ready(())
            }
            None => {
                let mut waiting = waiting.borrow_mut();
                self.number = Some(admitted.get() + waiting.len() as u64);
                waiting.push_back(cx.waker().clone());
                wanted.notify_one();
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::{
        runtime::{Builder, LocalOptions},
        task::spawn_local,
    };

    #[test]
    fn between_two_steps_everything_else_that_is_ready_has_its_turn() {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).unwrap();
        let seen = runtime.block_on(async {
            let handshakes = Handshakes::new();
            spawn_local(Rc::clone(&handshakes).run());
            let (steps, seen) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
            for _ in 0..100 {
                let (handshakes, steps) = (Rc::clone(&handshakes), Rc::clone(&steps));
                spawn_local(async move {
                    let mut place = handshakes.place();
                    for _ in 0..2 {
                        poll_fn(|cx| place.poll_step(cx)).await;
                        steps.set(steps.get() + 1);
                    }
                });
            }
            while steps.get() < 200 {
                seen.borrow_mut().push(steps.get());
                yield_now().await;
            }
            seen.take()
        });
        for pair in seen.windows(2) {
            assert!(pair[1] - pair[0] <= 2 * STEPS_IN_A_TURN, "{seen:?}");
        }
        assert!(seen.len() >= 100, "{}", seen.len());
    }

    #[test]
    fn one_that_gives_up_waiting_holds_nobody_up() {
        let handshakes = Handshakes::new();
        let cx = Context::from_waker(Waker::noop());
        let (mut first, mut last) = (handshakes.place(), handshakes.place());
        assert!(first.poll_step(&cx).is_ready());
        // It stands in the queue, and nobody asks for it again.
        assert!(handshakes.place().poll_step(&cx).is_pending());
        assert!(last.poll_step(&cx).is_pending());

        handshakes.next_turn();
        assert!(last.poll_step(&cx).is_pending());
        handshakes.next_turn();

        assert!(last.poll_step(&cx).is_ready());
    }
}

//! Timeouts of one worker, checked by one coarse tick instead of one timer for each request.
//!
//! Setting and clearing a timeout is a store into a slot; nothing is allocated or sorted. Each tick looks at every slot in
//! use and wakes the tasks whose time has come; walking over ten thousand takes some five microseconds.
//! A timeout is never early and at most two ticks late.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// How often timeouts are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;

#[derive(Debug)]
struct Slot {
    /// Milliseconds since `Timers::begun`.
    due: u64,
    waker: Option<Waker>,
}

/// All timeouts of one worker.
#[derive(Debug)]
pub(crate) struct Timers {
    begun: Instant,
    /// The time of the last tick, in milliseconds since `begun`.
    now: Cell<u64>,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
}

impl Timers {
    pub(crate) fn new(begun: Instant) -> Rc<Self> {
        Rc::new(Self { begun, now: Cell::new(0), slots: RefCell::default(), free: RefCell::default() })
    }

    /// When the worker began.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// Milliseconds since the worker began, at the last tick.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// A timeout that is not set.
    pub(crate) fn timer(self: &Rc<Self>) -> Timer {
        let reused = self.free.borrow_mut().pop();
        let slot = reused.unwrap_or_else(|| {
            let mut slots = self.slots.borrow_mut();
            slots.push(Slot { due: NEVER, waker: None });
            u32::try_from(slots.len() - 1).expect("fewer than four billion connections")
        });
        Timer { timers: Rc::clone(self), slot }
    }

    /// Looks at every slot and wakes whose time has come.
    pub(crate) fn tick(&self, now: Instant) {
        let now = u64::try_from(now.duration_since(self.begun).as_millis()).unwrap_or(NEVER - 1);
        self.now.set(now);
        self.wake(|slot| slot.due <= now);
    }

    /// Wakes every task that waits on a timeout, so that it looks around.
    pub(crate) fn wake_all(&self) {
        self.wake(|_| true);
    }

    fn wake(&self, which: impl Fn(&Slot) -> bool) {
        // A waker may run code that sets a timeout: collect first.
        let mut woken = Vec::new();
        for slot in self.slots.borrow_mut().iter_mut().filter(|slot| which(slot)) {
            woken.extend(slot.waker.take());
        }
        woken.into_iter().for_each(Waker::wake);
    }
}

/// One timeout. Dropping it gives its slot back.
#[derive(Debug)]
pub(crate) struct Timer {
    timers: Rc<Timers>,
    slot: u32,
}

impl Timer {
    /// Runs out after `time`, counted from now.
    pub(crate) fn set(&self, time: Duration) {
        // `now` may be a tick old; one tick more, so that it is never early.
        self.set_since(self.timers.now(), time);
    }

    /// Runs out after `time`, counted from `since`, a moment of [`Timers::now`].
    pub(crate) fn set_since(&self, since: u64, time: Duration) {
        let time = u64::try_from((time + TICK).as_millis()).unwrap_or(NEVER);
        self.timers.slots.borrow_mut()[self.slot as usize].due = since.saturating_add(time).min(NEVER - 1);
    }

    /// When it runs out, in milliseconds of the worker's clock.
    pub(crate) fn due(&self) -> u64 {
        self.timers.slots.borrow()[self.slot as usize].due
    }

    /// Wakes the task that waits on it, so that it looks around.
    pub(crate) fn wake(&self) {
        let waker = self.timers.slots.borrow_mut()[self.slot as usize].waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whether it may run out.
    pub(crate) fn is_set(&self) -> bool {
        self.timers.slots.borrow()[self.slot as usize].due != NEVER
    }

    /// Whether it has run out.
    pub(crate) fn is_due(&self) -> bool {
        self.timers.slots.borrow()[self.slot as usize].due <= self.timers.now.get()
    }

    /// Does not run out.
    pub(crate) fn clear(&self) {
        self.timers.slots.borrow_mut()[self.slot as usize].due = NEVER;
    }

    /// Ready once the timeout has run out; else the task is woken when it does.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut slots = self.timers.slots.borrow_mut();
        let slot = &mut slots[self.slot as usize];
        if slot.due <= self.timers.now.get() {
            return Poll::Ready(());
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let unused = Slot { due: NEVER, waker: None };
        let used = std::mem::replace(&mut self.timers.slots.borrow_mut()[self.slot as usize], unused);
        self.timers.free.borrow_mut().push(self.slot);
        // Last, and with nothing borrowed: the last waker of a task frees the task, and whatever timers it still held.
        drop(used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, atomic::AtomicU32, atomic::Ordering::SeqCst};
    use std::task::Wake;

    struct Count(AtomicU32);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_timeout_is_never_early_and_wakes_its_task_once() {
        let begun = Instant::now();
        let timers = Timers::new(begun);
        let count = Arc::new(Count(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let timer = timers.timer();
        assert!(timer.poll(&cx).is_pending());
        timer.set(Duration::from_millis(300));
        timers.tick(begun + Duration::from_millis(300));
        assert!(timer.poll(&cx).is_pending());
        timers.tick(begun + Duration::from_millis(400));
        timers.tick(begun + Duration::from_millis(500));
        assert_eq!(count.0.load(SeqCst), 1);
        assert!(timer.poll(&cx).is_ready());
        timer.clear();
        assert!(timer.poll(&cx).is_pending());
    }

    #[test]
    fn a_timeout_counts_from_the_moment_that_is_given() {
        let begun = Instant::now();
        let timers = Timers::new(begun);
        let timer = timers.timer();
        timers.tick(begun + Duration::from_millis(300));
        timer.set_since(200, Duration::from_millis(300));
        timers.tick(begun + Duration::from_millis(500));
        assert!(!timer.is_due(), "the moment may have been a tick before the first of its tick");
        timers.tick(begun + Duration::from_millis(600));
        assert!(timer.is_due());
    }

    #[test]
    fn a_slot_is_used_again() {
        let timers = Timers::new(Instant::now());
        let first = timers.timer();
        first.set(Duration::ZERO);
        drop(first);
        let second = timers.timer();
        timers.tick(Instant::now() + Duration::from_secs(5));
        let cx = Context::from_waker(Waker::noop());
        assert!(second.poll(&cx).is_pending(), "it does not inherit its predecessor's time");
        assert_eq!(timers.slots.borrow().len(), 1);
    }
}

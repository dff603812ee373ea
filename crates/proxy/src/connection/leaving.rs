//! When a connection must end although its client has not asked for it: what it waits for decides whether that is now.
//!
//! Part of `client`. What has not begun is not idle: its first bytes may be on their way, and have a moment to arrive.

use crate::worker::Timer;
use std::{
    cell::{Cell, OnceCell},
    task::{Context, Poll},
    time::Duration,
};

/// What a client has for its first bytes when its connection must end: a way there and back, and once more if a segment is lost.
const LAST_CALL: Duration = Duration::from_secs(1);

/// What is known of the end of one connection.
#[derive(Default)]
pub(super) struct Leaving {
    /// Its place is wanted.
    gives_way: Cell<bool>,
    /// Something has come of what is waited for before HTTP: a ClientHello, say.
    heard: Cell<bool>,
    /// For a client that must say something soon. There are few: it is made when it is wanted.
    last_call: OnceCell<Timer>,
}

impl Leaving {
    pub(super) fn gives_way(&self) -> bool {
        self.gives_way.get()
    }

    pub(super) fn give_way(&self) {
        self.gives_way.set(true);
    }

    pub(super) fn is_heard(&self) -> bool {
        self.heard.get()
    }

    pub(super) fn hears(&self) {
        self.heard.set(true);
    }

    /// What was heard is over, and something else is waited for.
    pub(super) fn begins_anew(&self) {
        self.heard.set(false);
        if let Some(timer) = self.last_call.get() {
            timer.set(LAST_CALL);
        }
    }

    /// Ready when a client that has said nothing has had its time.
    pub(super) fn poll_last_call(&self, timer: impl FnOnce() -> Timer, cx: &Context<'_>) -> Poll<()> {
        let fresh = || {
            let timer = timer();
            timer.set(LAST_CALL);
            timer
        };
        self.last_call.get_or_init(fresh).poll(cx)
    }
}

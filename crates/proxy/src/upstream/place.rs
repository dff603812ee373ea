//! A connection to an endpoint as it is counted: one of those in use, or one that waits.

use evenkeel_telemetry::{Gauge, PerWorker, UpstreamCells};
use std::sync::Arc;

/// Where connections are counted.
#[derive(Clone)]
pub(super) struct Counted {
    pub(super) cells: Arc<PerWorker<UpstreamCells>>,
    pub(super) worker: usize,
}

/// A connection's place among those that are counted.
pub(crate) struct Place {
    counted: Counted,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Active,
    Idle,
}

impl Counted {
    fn cell(&self) -> &UpstreamCells {
        self.cells.cell(self.worker)
    }

    fn gauge(&self, state: State) -> &Gauge {
        match state {
            State::Active => &self.cell().connections_active,
            State::Idle => &self.cell().connections_idle,
        }
    }
}

impl Place {
    pub(super) fn new(counted: Counted, state: State) -> Self {
        counted.gauge(state).add(1);
        Self { counted, state }
    }

    pub(super) fn enter(&mut self, state: State) {
        self.counted.gauge(self.state).add(-1);
        self.counted.gauge(state).add(1);
        self.state = state;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counted.gauge(self.state).add(-1);
    }
}

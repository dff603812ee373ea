//! What a worker owns. Everything in it stays on its thread: nothing is `Send`, nothing is locked.

use super::{age, handshakes::Handshakes, places::Places, reconcile::LocalSnapshot, seldom::Seldom, timers::Timers};
use crate::{codec::READ_MAX, error::ProxyError, filter::CustomFilter};
use bytes::BytesMut;
use evenkeel_balance::Rng;
use evenkeel_telemetry::{PerWorker, WorkerCells, access_log::LogSender};
use http::HeaderMap;
use std::{
    cell::{Cell, RefCell, RefMut},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Ticks between two looks at idle connections: half a second, so that one whose time is over is closed before its endpoint, which keeps it
/// for a second longer, closes it.
const SWEEP_EVERY: u32 = 4;

/// Milliseconds from one line in the log about what clients do wrong to the next of its kind.
const TOLD_EVERY: u64 = 10_000;

/// Buffers for heads that are kept for later: as many as requests usually run at a time.
const SPARE_HEADS_MAX: usize = 256;

/// Bytes of such a buffer. That of a larger head is not worth keeping.
const SPARE_HEAD_SIZE: usize = 4096;

/// Fields that such a map has room for.
const SPARE_FIELDS_SIZE: usize = 64;

/// A time, written; and when it was, in milliseconds of the worker's clock.
#[derive(Clone, Copy)]
struct Date {
    at: u64,
    text: [u8; 29],
}

impl Date {
    fn at(now: u64) -> Self {
        let mut text = [b' '; 29];
        let written = httpdate::fmt_http_date(SystemTime::now());
        text.copy_from_slice(written.as_bytes());
        Self { at: now, text }
    }
}

/// Filters of the embedding program, by name.
pub(crate) type CustomFilters = HashMap<Arc<str>, Rc<dyn CustomFilter>>;

/// How near a worker is to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// Answers carry `Connection: close`; new connections are still taken.
    Announcing,
    /// Idle connections are closed, the others after their request.
    Ending,
    /// What still runs is dropped.
    Stopping,
}

/// What a worker owns.
pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) timers: Rc<Timers>,
    snapshot: RefCell<Rc<LocalSnapshot>>,
    rng: RefCell<Rng>,
    log: RefCell<LogSender>,
    cells: Arc<PerWorker<WorkerCells>>,
    phase: Cell<Phase>,
    custom: CustomFilters,
    /// Ticks until idle connections to endpoints are looked at again.
    until_sweep: Cell<u32>,
    /// Empty buffers, for the heads of the next requests to be remembered in.
    spare_heads: RefCell<Vec<Vec<u8>>>,
    /// What peers send is read into this.
    read_buffer: RefCell<BytesMut>,
    /// And no more of it at once.
    read_max: Cell<usize>,
    /// Empty maps with room, for the fields of the next requests.
    spare_fields: RefCell<Vec<HeaderMap>>,
    date: Cell<Date>,
    pub(crate) handshakes: Rc<Handshakes>,
    /// Bytes of answers that its clients of HTTP/2 have not taken.
    pub(crate) answers_held: Rc<Cell<usize>>,
    pub(crate) places: Places,
    /// Handshakes that failed.
    pub(crate) handshakes_told: Seldom<TOLD_EVERY>,
    /// And about what clients do to TLS later.
    pub(crate) tls_faults_told: Seldom<TOLD_EVERY>,
    /// And about bad PROXY headers.
    pub(crate) headers_told: Seldom<TOLD_EVERY>,
}

impl Worker {
    pub(crate) fn new(
        id: usize,
        snapshot: Rc<LocalSnapshot>,
        timers: Rc<Timers>,
        seed: u64,
        log: LogSender,
        cells: Arc<PerWorker<WorkerCells>>,
        custom: CustomFilters,
    ) -> Rc<Self> {
        Rc::new(Self {
            id,
            handshakes: Handshakes::new(),
            answers_held: Rc::default(),
            places: Places::default(),
            handshakes_told: Seldom::default(),
            tls_faults_told: Seldom::default(),
            headers_told: Seldom::default(),
            timers,
            snapshot: RefCell::new(snapshot),
            rng: RefCell::new(Rng::from_seed(seed)),
            log: RefCell::new(log),
            cells,
            phase: Cell::new(Phase::Serving),
            custom,
            until_sweep: Cell::new(0),
            spare_heads: RefCell::default(),
            read_buffer: RefCell::default(),
            read_max: Cell::new(READ_MAX),
            spare_fields: RefCell::default(),
            date: Cell::new(Date { at: u64::MAX, text: [0; 29] }),
        })
    }

    /// The snapshot of now. Take it once for each request.
    pub(crate) fn snapshot(&self) -> Rc<LocalSnapshot> {
        Rc::clone(&self.snapshot.borrow())
    }

    pub(super) fn publish(&self, snapshot: Rc<LocalSnapshot>) {
        let old = self.snapshot.replace(snapshot);
        drop(old);
    }

    pub(crate) fn random(&self) -> RefMut<'_, Rng> {
        self.rng.borrow_mut()
    }

    /// When what begins now is about this old, in milliseconds of this worker's clock.
    pub(crate) fn expiry(&self, age: Duration) -> u64 {
        let age = age::about(age, &mut self.random());
        self.timers.now().saturating_add(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }

    /// For one read, and empty before and after it.
    pub(crate) fn read_buffer(&self) -> RefMut<'_, BytesMut> {
        self.read_buffer.borrow_mut()
    }

    /// Bytes of one read.
    pub(crate) fn read_max(&self) -> usize {
        self.read_max.get()
    }

    /// Does something in which no more than so many bytes are read at once: whoever wants them has no room for more.
    pub(crate) fn reading_at_most<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> T {
        let before = self.read_max.replace(bytes);
        let done = work();
        self.read_max.set(before);
        done
    }

    /// An empty buffer, with room if there was one before.
    pub(crate) fn spare_head(&self) -> Vec<u8> {
        self.spare_heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a buffer's memory for the next request.
    pub(crate) fn take_back_head(&self, mut head: Vec<u8>) {
        head.clear();
        let mut spare = self.spare_heads.borrow_mut();
        if spare.len() < SPARE_HEADS_MAX && head.capacity() <= SPARE_HEAD_SIZE {
            spare.push(head);
        }
    }

    /// An empty map, with room if there was one before.
    pub(crate) fn spare_fields(&self) -> HeaderMap {
        self.spare_fields.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a map's memory for the next request.
    pub(crate) fn take_back_fields(&self, mut fields: HeaderMap) {
        let mut spare = self.spare_fields.borrow_mut();
        if spare.len() < SPARE_HEADS_MAX && (1..=SPARE_FIELDS_SIZE).contains(&fields.capacity()) {
            fields.clear();
            spare.push(fields);
        }
    }

    /// Now, as `Date` has it (RFC 9110, section 6.6.1); a tick old at most.
    pub(crate) fn date(&self) -> [u8; 29] {
        let mut date = self.date.get();
        if date.at != self.timers.now() {
            date = Date::at(self.timers.now());
            self.date.set(date);
        }
        date.text
    }

    /// Whether requests are logged.
    pub(crate) fn logs(&self) -> bool {
        self.log.borrow().enabled()
    }

    pub(crate) fn log(&self) -> RefMut<'_, LogSender> {
        self.log.borrow_mut()
    }

    pub(crate) fn custom(&self, name: &str) -> Result<&Rc<dyn CustomFilter>, ProxyError> {
        let missing = || ProxyError::Filter(format!("no filter '{name}' was given to the proxy's builder"));
        self.custom.get(name).ok_or_else(missing)
    }

    /// Whether some endpoint is told for which client its connections are.
    pub(crate) fn announces_clients(&self) -> bool {
        self.snapshot.borrow().announces_clients()
    }

    pub(crate) fn announces_end(&self) -> bool {
        self.phase.get() >= Phase::Announcing
    }

    pub(crate) fn ends(&self) -> bool {
        self.phase.get() >= Phase::Ending
    }

    /// Whether what ends now ends because we do.
    pub(crate) fn stops(&self) -> bool {
        self.phase.get() == Phase::Stopping
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.timers.wake_all();
    }

    /// Every tick: timeouts; every half second: idle connections; `late` is how long the tick had to wait for its turn.
    pub(super) fn tick(&self, now: Instant, late: Duration) {
        self.cells.cell(self.id).loop_lag_nanos.set(i64::try_from(late.as_nanos()).unwrap_or(i64::MAX));
        self.timers.tick(now);
        self.log.borrow_mut().flush();
        match self.until_sweep.get() {
            0 => {
                self.until_sweep.set(SWEEP_EVERY);
                self.snapshot().sweep(self);
            }
            n => self.until_sweep.set(n - 1),
        }
    }
}

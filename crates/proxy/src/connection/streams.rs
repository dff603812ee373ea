//! What HTTP/2 adds to a client connection: many requests at a time.
//!
//! A stream counts from its head until everything that was done for it is over, whoever ended it. `h2` counts a stream that was reset
//! as gone at once, though it may still occupy an endpoint (CVE-2023-44487, CVE-2025-8671), so its own limit is not enough.

use super::{frames::Frames, room::Room, stream_tunnel::Sending};
use crate::{body::Upload, http2::Breach, worker::Worker};
use evenkeel_telemetry::Http2Fault;
use hyper::upgrade::OnUpgrade;
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct Streams {
    open: Cell<u32>,
    frames: RefCell<Frames>,
    flood: Cell<Option<Http2Fault>>,
    breach: Cell<Option<Breach>>,
    /// Of the stream that has just begun, for the task that will serve it.
    newest: RefCell<Option<Rc<Offer>>>,
    /// What is held of its answers.
    room: Room,
    /// Of the stream that becomes a tunnel in this moment.
    switching: RefCell<Option<Rc<Sending>>>,
}

/// What a stream's client has been offered of its answer, in bytes, and how much of it it has taken.
#[derive(Default)]
pub(crate) struct Offer {
    offered: Cell<u64>,
    taken: Cell<u64>,
    /// Of an extended CONNECT.
    stream: RefCell<Option<OnUpgrade>>,
    /// The body of its request, for what is left of it behind the answer.
    upload: RefCell<Option<Upload>>,
}

impl Offer {
    /// More is asked for: the client has taken what was offered before. How many bytes that were.
    fn is_taken(&self) -> u64 {
        self.offered.get() - self.taken.replace(self.offered.get())
    }

    pub(super) fn may_switch(&self, stream: OnUpgrade) {
        self.stream.replace(Some(stream));
    }

    pub(super) fn switches(&self) -> Option<OnUpgrade> {
        self.stream.take()
    }

    pub(super) fn uploads(&self, upload: Upload) {
        self.upload.replace(Some(upload));
    }

    pub(super) fn take_upload(&self) -> Option<Upload> {
        self.upload.take()
    }

    /// Bytes so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Whether there is something that the client has not taken.
    pub(super) fn waits(&self) -> bool {
        self.taken.get() < self.offered.get()
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer").field("offered", &self.offered).field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Streams {
    /// None yet.
    pub(super) fn new(worker: &Rc<Worker>) -> Self {
        Self {
            open: Cell::new(0),
            frames: RefCell::new(Frames::new(worker.timers.now())),
            room: Room::new(&worker.answers_held),
            flood: Cell::new(None),
            breach: Cell::new(None),
            newest: RefCell::default(),
            switching: RefCell::default(),
        }
    }

    pub(super) fn open(&self) -> u32 {
        self.open.get()
    }

    pub(super) fn begins(&self) -> Rc<Offer> {
        self.open.set(self.open.get() + 1);
        let offer = Rc::<Offer>::default();
        self.newest.replace(Some(Rc::clone(&offer)));
        offer
    }

    /// Whether it was the last one.
    pub(super) fn ends(&self) -> bool {
        debug_assert!(self.open.get() > 0, "what ends has begun");
        self.open.set(self.open.get() - 1);
        self.open.get() == 0
    }

    pub(super) fn newest(&self) -> Option<Rc<Offer>> {
        self.newest.take()
    }

    /// hyper is about to write the success that makes a tunnel of a stream, and to give what sends the rest.
    pub(super) fn will_switch(&self) -> Rc<Sending> {
        let sending = Rc::<Sending>::default();
        self.switching.replace(Some(Rc::clone(&sending)));
        sending
    }

    /// Where what sends the rest goes, if this is the moment.
    pub(super) fn switches(&self) -> Option<Rc<Sending>> {
        self.switching.take()
    }

    /// A part of an answer, of so many bytes, is handed over.
    pub(super) fn offers(&self, offer: &Offer, bytes: usize) {
        offer.offered.set(offer.offered.get() + bytes as u64);
        self.room.offered(bytes);
        self.moved(bytes);
    }

    /// A stream asks for more of its answer, or has ended.
    pub(super) fn asks(&self, offer: &Offer) {
        let taken = offer.is_taken();
        if taken > 0 {
            self.room.taken(usize::try_from(taken).unwrap_or(usize::MAX));
        }
    }

    /// So many bytes go to the client, which will answer with frames.
    pub(super) fn moved(&self, bytes: usize) {
        self.frames.borrow_mut().moved(bytes);
    }

    /// What is held of the answers.
    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// Takes what the client sends; whether it has said that it speaks HTTP/2.
    pub(super) fn read(&self, bytes: &[u8], now: u64) -> bool {
        let mut frames = self.frames.borrow_mut();
        // What follows a flood is lost to it, and so is where the next frame begins.
        if self.flood.get().is_none() {
            self.flood.set(frames.read(bytes, now).err());
        }
        frames.begun()
    }

    /// Which head has begun and not ended.
    pub(super) fn open_head(&self) -> Option<u64> {
        self.frames.borrow().open_head()
    }

    /// What a flood that `h2` has noticed was made of.
    pub(super) fn likely_flood(&self) -> Http2Fault {
        self.frames.borrow().likely_flood()
    }

    /// GOAWAY with the code for what the client has done, or ENHANCE_YOUR_CALM (RFC 9113, sections 6.8 and 10.5).
    pub(super) fn goaway(&self) -> [u8; 17] {
        let code = self.breach.get().map_or(11, Breach::code);
        let mut frame = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, code];
        frame[9..13].copy_from_slice(&self.frames.borrow().last_stream().to_be_bytes());
        frame
    }

    /// The client has sent what no connection can go on behind.
    pub(super) fn breaches(&self, breach: Breach) {
        self.breach.set(Some(breach));
    }

    /// For what the connection must be ended.
    pub(super) fn fault(&self) -> Option<Http2Fault> {
        self.breach.get().map(|_| Http2Fault::Protocol).or(self.flood.get())
    }
}

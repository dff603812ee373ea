//! Accepts connections from one socket of one worker.

use super::{
    reconcile::{LocalListener, LocalTcp},
    worker::Worker,
};
use crate::{body::Body, connection, connection::ClientConnection};
use evenkeel_guard::{ConcurrencyLimit, Permit};
use evenkeel_net::{Listener, Peer, Spare, Stream};
use http::{Request, Response};
use std::{
    cell::RefCell,
    collections::VecDeque,
    convert::Infallible,
    io,
    rc::Rc,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};
use tokio::sync::{Notify, mpsc};
use tower::Service;

/// How long accepting rests when there is no descriptor, no memory, or no free place.
const BACK_OFF: Duration = Duration::from_millis(10);

/// One listening socket of one worker. After a reload it may belong to another listener.
pub(super) struct Acceptor {
    pub(super) listener: RefCell<Rc<LocalListener>>,
    /// Where its connections go as they are, if they do. Here and not with the listener, which its sessions hold for as long as they
    /// live: it holds a snapshot.
    pub(super) tcp: RefCell<Option<LocalTcp>>,
    pub(super) stop: Notify,
}

/// How often it is looked whether there is a place, every [`BACK_OFF`], before another connection has to give way.
const LOOKS_BETWEEN: usize = 10;

/// How often a queue that is about to be closed is looked at, every [`BACK_OFF`]: a tenth of a second, in which connections that are half open
/// come to their end.
const LAST_LOOKS: usize = 10;

/// Connections of such a queue that have a descriptor and no place yet. The rest stays in the queue: endpoints need descriptors too.
const WAITING_MAX: usize = 100;

/// Held by all acceptors of a worker. What stands in it is dropped when the last of them has emptied its queue.
pub(super) type Open = Rc<RefCell<Option<mpsc::Sender<Infallible>>>>;

/// Accepts until told to stop, then takes what still waits in the queue: closing a socket resets what is in it.
pub(super) async fn run<S>(
    worker: Rc<Worker>,
    acceptor: Rc<Acceptor>,
    socket: Listener,
    limit: Arc<ConcurrencyLimit>,
    service: S,
    _open: Open,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    let mut spare = Spare::take();
    let admit = |(stream, peer): (Stream, Peer), permit: Permit| {
        let listener = Rc::clone(&acceptor.listener.borrow());
        let connection = ClientConnection::new(&worker, &listener, peer, permit);
        let tcp = acceptor.tcp.borrow().clone();
        tokio::task::spawn_local(connection::open(service.clone(), stream, connection, tcp));
    };
    let mut waiting = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = acceptor.stop.notified() => break,
        };
        match accepted {
            Ok(accepted) => tokio::select! {
                biased;
                permit = place(&worker, &acceptor, &limit) => admit(accepted, permit),
                // Whoever comes now must not wait in a queue that is closed when a place is free.
                () = acceptor.stop.notified() => {
                    waiting.push_back(accepted);
                    break;
                }
            },
            Err(error) => back_off(&worker, &acceptor, &socket, &mut spare, &error).await,
        }
    }
    drop(spare);
    // A listener that was removed may come back: its address must be free at once.
    let looks = if worker.ends() { LAST_LOOKS } else { 1 };
    empty(socket, looks, &limit, &mut waiting, &admit).await;
    for accepted in waiting {
        admit(accepted, place(&worker, &acceptor, &limit).await);
    }
}

/// Takes all that stands in a queue, and closes it: from then on who comes is refused. Those that had come have a socket, and are admitted when
/// there is a place.
async fn empty(
    socket: Listener,
    mut looks: usize,
    limit: &Arc<ConcurrencyLimit>,
    waiting: &mut VecDeque<(Stream, Peer)>,
    admit: &impl Fn((Stream, Peer), Permit),
) {
    socket.shut_the_door();
    loop {
        if waiting.len() < WAITING_MAX {
            match socket.take() {
                Ok(accepted) => {
                    waiting.push_back(accepted);
                    continue;
                }
                Err(error) if has_gone(&error) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => looks -= 1,
                // No descriptors. The rest stays in the queue until there are some.
                Err(_) => {}
            }
        }
        if looks == 0 {
            return;
        }
        while !waiting.is_empty()
            && let Some(permit) = limit.try_admit()
            && let Some(accepted) = waiting.pop_front()
        {
            admit(accepted, permit);
        }
        tokio::time::sleep(BACK_OFF).await;
    }
}

/// A connection that was reset while it waited, or a signal: the next one may be good.
fn has_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Waits for a free place, and makes one if there is an idle connection, on this worker or on another one (nginx does so when it has no
/// connections left). Meanwhile the kernel holds who comes; nobody is turned away (as HAProxy does at `maxconn`).
async fn place(worker: &Worker, acceptor: &Acceptor, limit: &Arc<ConcurrencyLimit>) -> Permit {
    if let Some(permit) = limit.try_admit() {
        return permit;
    }
    acceptor.listener.borrow().part.cells.cell(worker.id).connections_queued.inc();
    loop {
        if !worker.places.free_one() {
            limit.wish();
        }
        // One that speaks HTTP/1 has gone after this; another may need a moment to say goodbye.
        tokio::task::yield_now().await;
        for _ in 0..LOOKS_BETWEEN {
            if let Some(permit) = limit.try_admit() {
                return permit;
            }
            tokio::time::sleep(BACK_OFF).await;
        }
    }
}

/// accept(2): a connection that was reset while it waited is no trouble; without descriptors, the one at the head of the queue is
/// taken with the spare one and closed, so that it learns at once.
async fn back_off(worker: &Worker, acceptor: &Acceptor, socket: &Listener, spare: &mut Spare, error: &io::Error) {
    if has_gone(error) {
        return;
    }
    let listener = Rc::clone(&acceptor.listener.borrow());
    let errors = &listener.part.cells.cell(worker.id).accept_errors;
    errors.inc();
    // Once in a thousand: at a rate of a hundred a second this is one line in ten seconds.
    if errors.get() % 1000 == 1 {
        tracing::error!(listener = %listener.part.name, "cannot accept a connection: {error}; trying again every {BACK_OFF:?}");
    }
    spare.lend(|| {
        let refused = socket.poll_accept(&mut Context::from_waker(Waker::noop()));
        drop(refused);
    });
    tokio::time::sleep(BACK_OFF).await;
}

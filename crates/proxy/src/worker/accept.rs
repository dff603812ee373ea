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
    convert::Infallible,
    io,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::Notify;
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

/// Accepts until told to stop, then takes what still waits in the queue: closing a socket of a group resets what is in it.
pub(super) async fn run<S>(
    worker: Rc<Worker>,
    acceptor: Rc<Acceptor>,
    socket: Listener,
    limit: Arc<ConcurrencyLimit>,
    service: S,
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
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok(accepted) => admit(accepted, place(&worker, &acceptor, &limit).await),
                Err(error) => back_off(&worker, &acceptor, &socket, &mut spare, &error).await,
            },
            () = acceptor.stop.notified() => break,
        }
    }
    while let Poll::Ready(Ok(accepted)) = socket.poll_accept(&mut Context::from_waker(Waker::noop())) {
        admit(accepted, place(&worker, &acceptor, &limit).await);
    }
}

/// Waits for a free place. Meanwhile the kernel holds who comes; nobody is turned away (as HAProxy does at `maxconn`).
async fn place(worker: &Worker, acceptor: &Acceptor, limit: &Arc<ConcurrencyLimit>) -> Permit {
    let mut counted = false;
    loop {
        if let Some(permit) = limit.try_admit() {
            return permit;
        }
        if !std::mem::replace(&mut counted, true) {
            acceptor.listener.borrow().part.cells.cell(worker.id).connections_queued.inc();
        }
        tokio::time::sleep(BACK_OFF).await;
    }
}

/// accept(2): a connection that was reset while it waited is no trouble; without descriptors, the one at the head of the queue is
/// taken with the spare one and closed, so that it learns at once.
async fn back_off(worker: &Worker, acceptor: &Acceptor, socket: &Listener, spare: &mut Spare, error: &io::Error) {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) {
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

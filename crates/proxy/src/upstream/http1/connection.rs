//! A connection to an endpoint: a request goes out, an answer comes in, and nothing of either is kept.
//!
//! It holds what was read and not yet understood, which between two requests is nothing, and what is still to be written. Bytes are read
//! into a buffer that belongs to the worker; what is small is copied out of it, so that a thousand waiting connections have no buffers.

use super::{
    head::{self, HeadFault},
    idle::Noticed,
    request,
};
use crate::{
    body::Body,
    codec::{BodyFault, Decoder, Input, Output, Part, Seen},
    connection::ClientConnection,
    request::prepare_interim,
    worker::Worker,
};
use bytes::Bytes;
use evenkeel_net::Stream;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};
use tokio::sync::watch;

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The endpoint has closed the connection.
    #[error("closed too early")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Head(#[from] HeadFault),
    #[error("{0}")]
    Body(#[from] BodyFault),
    /// The body of the request ended early.
    #[error("the request's body ended early")]
    Request,
}

/// A connection to an endpoint.
pub(crate) struct Connection {
    stream: RefCell<Stream>,
    input: Input,
    output: RefCell<Output>,
    /// Bytes of the request at hand that were written, and whether any of its answer was read.
    written: Cell<u64>,
    heard: Cell<bool>,
    /// The request at hand is written, or what is missing of it never will be.
    sent: Cell<bool>,
    /// It cannot serve another request.
    spent: Cell<bool>,
    /// The request was cut, so its answer is as well.
    cut: Cell<bool>,
    noticed: Arc<Noticed>,
    waker: Waker,
}

/// A request on its way, and who waits for its `100 Continue`.
pub(crate) struct Asked {
    to_head: bool,
    agreed: Option<watch::Sender<bool>>,
    /// Who hears what comes before the answer.
    client: Option<Rc<ClientConnection>>,
    seen: Seen,
}

impl Asked {
    /// Whether the endpoint wants the body: it has said so, or was not asked.
    pub(in crate::upstream) fn is_agreed(&self) -> bool {
        self.agreed.as_ref().is_none_or(|agreed| *agreed.borrow())
    }
}

impl Connection {
    pub(in crate::upstream) fn new(stream: Stream, worker: &Worker) -> Rc<Self> {
        let (noticed, waker) = Noticed::new(worker.timers.begun());
        Rc::new(Self {
            stream: RefCell::new(stream),
            input: Input::default(),
            output: RefCell::default(),
            written: Cell::default(),
            heard: Cell::default(),
            sent: Cell::new(true),
            spent: Cell::default(),
            cut: Cell::default(),
            noticed,
            waker,
        })
    }

    /// Begins a request, whose body it takes. Nothing is written yet.
    pub(in crate::upstream) fn begin(
        &self,
        request: &mut Request<Body>,
        agreed: Option<watch::Sender<bool>>,
        client: Option<Rc<ClientConnection>>,
        worker: &Worker,
    ) -> Asked {
        let to_head = *request.method() == Method::HEAD;
        self.output.replace(request::output(request, worker.spare_head()));
        self.written.set(0);
        self.heard.set(false);
        self.sent.set(false);
        Asked { to_head, agreed, client, seen: Seen::default() }
    }

    /// Writes the request and waits for the head of its answer, whose fields it puts into `fields`.
    pub(in crate::upstream) fn poll_answer(
        &self,
        asked: &mut Asked,
        fields: &mut HeaderMap,
        cx: &mut Context<'_>,
        worker: &Worker,
    ) -> Poll<Result<Response<Decoder>, Broken>> {
        if let Poll::Ready(Err(broken)) = self.poll_send(cx, worker) {
            return Poll::Ready(Err(broken));
        }
        loop {
            if let Some(response) = self.take_head(asked, fields)? {
                return Poll::Ready(Ok(response));
            }
            if ready!(self.poll_read(cx, worker))? == 0 {
                return Poll::Ready(Err(Broken::Closed));
            }
        }
    }

    /// The head of the final answer, if all of it is there.
    fn take_head(&self, asked: &mut Asked, fields: &mut HeaderMap) -> Result<Option<Response<Decoder>>, HeadFault> {
        let mut input = self.input.bytes();
        loop {
            if !asked.seen.may_end(&input) {
                asked.seen = Seen::all(&input);
                return if input.len() > head::HEAD_MAX { Err(HeadFault::TooLong) } else { Ok(None) };
            }
            let Some(head) = head::read(&mut input, asked.to_head, fields)? else {
                asked.seen = Seen::all(&input);
                return Ok(None);
            };
            asked.seen = Seen::default();
            if head.status == StatusCode::CONTINUE {
                asked.agreed.iter().for_each(|agreed| {
                    agreed.send_replace(true);
                });
            }
            if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
                if let (Some(client), true) = (&asked.client, head.status != StatusCode::CONTINUE) {
                    prepare_interim(fields);
                    client.hint(head.status, fields);
                }
                continue;
            }
            if head.closes {
                self.spent.set(true);
            }
            let mut response = Response::new(head.body);
            *response.status_mut() = head.status;
            *response.version_mut() = head.version;
            *response.headers_mut() = std::mem::take(fields);
            return Ok(Some(response));
        }
    }

    /// The next part of the answer's body.
    pub(in crate::upstream) fn poll_body(
        &self,
        body: &mut Decoder,
        cx: &mut Context<'_>,
        worker: &Worker,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            let part = body.next(&mut self.input.bytes());
            match part {
                Err(fault) => return Poll::Ready(Some(Err(fault.into()))),
                Ok(Part::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Part::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Part::End) => return Poll::Ready(None),
                Ok(Part::Unknown) => {}
            }
            match ready!(self.poll_read(cx, worker)) {
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
                Ok(0) if self.cut.get() || !body.closed() => return Poll::Ready(Some(Err(Broken::Closed))),
                Ok(_) => {}
            }
        }
    }

    /// Writes what there is of the request. Ready: all of it is out, or nothing more of it ever will be.
    pub(in crate::upstream) fn poll_send(&self, cx: &mut Context<'_>, worker: &Worker) -> Poll<Result<(), Broken>> {
        if self.sent.get() {
            return Poll::Ready(Ok(()));
        }
        let mut output = self.output.borrow_mut();
        loop {
            let body = match output.poll_body(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Request)),
                body => body,
            };
            let wrote = |bytes| self.written.set(self.written.get() + bytes as u64);
            match ready!(output.poll_write(&mut *self.stream.borrow_mut(), cx, wrote)) {
                Ok(()) => {}
                // An endpoint that answers early and closes (413, 401) makes our writing fail while its answer is here to be
                // read. If there is none, reading will fail as well.
                Err(_) if self.written.get() > 0 => {
                    self.spent.set(true);
                    break;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            ready!(body).ok();
            if output.is_whole() && !output.waits() {
                break;
            }
        }
        output.end(worker);
        self.sent.set(true);
        Poll::Ready(Ok(()))
    }

    /// Reads more; 0: the endpoint has closed the connection.
    fn poll_read(&self, cx: &mut Context<'_>, worker: &Worker) -> Poll<io::Result<usize>> {
        let result = self.input.poll_read(&mut *self.stream.borrow_mut(), cx, worker);
        match result {
            Poll::Ready(Ok(0) | Err(_)) => self.spent.set(true),
            Poll::Ready(Ok(_)) => self.heard.set(true),
            Poll::Pending => {}
        }
        result
    }

    /// Bytes of the request at hand that were written.
    pub(in crate::upstream) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Whether anything was read since the request at hand was begun.
    pub(in crate::upstream) fn has_heard(&self) -> bool {
        self.heard.get()
    }

    /// Whether there is more of the request to write.
    pub(in crate::upstream) fn is_sending(&self) -> bool {
        !self.sent.get()
    }

    /// The request is cut: its answer must not look whole.
    pub(in crate::upstream) fn cut(&self) {
        self.cut.set(true);
        self.spent.set(true);
        self.stream.borrow().shut_down();
    }

    /// What was read and not understood.
    pub(in crate::upstream) fn unread(&self) -> Bytes {
        self.input.bytes().clone()
    }

    /// The answer is read to its end. Whether another request may follow; then it waits for that, and notices what happens meanwhile.
    pub(in crate::upstream) fn rests(&self, worker: &Worker) -> bool {
        if self.spent.get() || self.is_sending() || !self.input.is_empty() {
            return false;
        }
        // What was read may be held by nobody but this.
        self.input.take();
        self.poll_read(&mut Context::from_waker(&self.waker), worker).is_pending()
    }

    /// Whether one that rests is still open, as far as is known; and since when it is not, in milliseconds of the worker's clock.
    pub(in crate::upstream) fn is_open(&self, worker: &Worker) -> Result<(), Option<u64>> {
        let Some(at) = self.noticed.take() else { return if self.spent.get() { Err(None) } else { Ok(()) } };
        if self.rests(worker) {
            return Ok(());
        }
        self.spent.set(true);
        Err(Some(at))
    }

    /// The same, asked of the kernel, which costs a system call.
    pub(in crate::upstream) fn is_quiet(&self) -> bool {
        self.stream.borrow().is_quiet()
    }

    /// The socket, which from now on carries something else, and what was read of that.
    pub(in crate::upstream) fn into_parts(self) -> (Stream, Bytes) {
        (self.stream.into_inner(), self.input.take())
    }
}

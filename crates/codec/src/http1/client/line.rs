//! One connection to an upstream, shared by the sender, who reads the body of the response at hand, and the watcher.
//! An exchange is over when its request was written and its response was read; whoever finds that says so here.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use http::Response;

use crate::http1::buffered::BufferedIo;
use crate::http1::framing::{BodyDecoder, BodyPiece};
use crate::http1::output::Output;
use crate::http1::parse::{Framing, ResponseHead};
use crate::http1::recv::{BodySource, Http1Body, poll_piece};
use crate::http1::write::BodyEncoder;
use crate::{Body, BodyError, BoxIo};

/// The connection as all see it.
pub(super) struct ClientLine(pub(super) RefCell<ClientLineState>);

pub(super) struct ClientLineState {
    pub(super) wire: BufferedIo,
    pub(super) stage: ClientStage,
    /// What the response at hand still has.
    incoming: Option<BodyDecoder>,
    /// The rest of a request whose response has begun: the watcher sends it.
    pub(super) upload: Option<Upload>,
    /// The head of the response at hand was read.
    has_response: bool,
    /// The request was not written to its end yet.
    is_uploading: bool,
    /// Both sides want to go on with the connection.
    keeps_alive: bool,
    /// The response broke off: how much of it was left is not known any more.
    is_cut: bool,
    /// What the stream said when the upstream took nothing any more.
    deafness: Option<io::ErrorKind>,
    /// Who waits for more of the response.
    reader: Option<Waker>,
    /// Nobody can send another request.
    is_abandoned: bool,
    /// The task of the watcher.
    watcher: Option<Waker>,
    /// Who waits until another request may be sent.
    waiting: Option<Waker>,
}

/// What the connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientStage {
    /// The next request.
    Idle,
    /// The exchange at hand.
    Busy,
    /// Bytes of another protocol, which are the caller's.
    Tunnel,
    /// Nothing.
    Closed,
}

/// The rest of a request.
pub(super) struct Upload {
    pub(super) body: Body,
    pub(super) encoder: BodyEncoder,
}

impl ClientLine {
    pub(super) fn new(io: BoxIo) -> Rc<Self> {
        Rc::new(ClientLine(RefCell::new(ClientLineState {
            wire: BufferedIo::new(io),
            stage: ClientStage::Idle,
            incoming: None,
            upload: None,
            has_response: false,
            is_uploading: false,
            keeps_alive: true,
            is_cut: false,
            deafness: None,
            reader: None,
            is_abandoned: false,
            watcher: None,
            waiting: None,
        })))
    }

    /// No exchange can use it any more; the watcher ends the stream.
    pub(super) fn close(&self) {
        let upload = self.0.borrow_mut().close();
        // Whoever looks at that body may look at this connection.
        drop(upload);
    }

    /// The response to the head that was read, which is behind its head in the input. What of its body has come as a
    /// whole is in hand.
    pub(super) fn response(self: &Rc<Self>, head: ResponseHead, framing: Framing) -> Response<Body> {
        let mut state = self.0.borrow_mut();
        let mut decoder = BodyDecoder::new(framing);
        let body = match framing {
            Framing::Empty => Body::empty(),
            Framing::Sized(length) if length <= state.wire.input.len() as u64 => {
                decoder = BodyDecoder::new(Framing::Empty);
                Body::full(state.wire.input.split_to(length as usize).freeze())
            }
            _ => Body::http1(Http1Body::new(Rc::clone(self) as Rc<dyn BodySource>)),
        };
        state.keeps_alive &= head.keeps_alive && framing != Framing::UntilClose;
        state.has_response = true;
        state.incoming = (!decoder.is_ended()).then_some(decoder);
        state.end_exchange();
        drop(state);
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.version_mut() = head.version;
        *response.headers_mut() = head.headers;
        if let Some(reason) = head.reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

impl ClientLineState {
    /// Remembers the watcher.
    pub(super) fn set_watcher(&mut self, waker: &Waker) {
        match &mut self.watcher {
            Some(watcher) => watcher.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Remembers who is to be woken once another request may be sent, or none ever.
    pub(super) fn set_waiting(&mut self, waker: &Waker) {
        self.waiting = Some(waker.clone());
    }

    /// Has the watcher do what there is for it to do.
    pub(super) fn wake_watcher(&self) {
        if let Some(watcher) = &self.watcher {
            watcher.wake_by_ref();
        }
    }

    /// A request is written.
    pub(super) fn begin(&mut self, keeps_alive: bool) {
        self.stage = ClientStage::Busy;
        self.is_uploading = true;
        self.has_response = false;
        self.is_cut = false;
        self.keeps_alive = keeps_alive;
    }

    /// The request was written to its end.
    pub(super) fn end_upload(&mut self) {
        self.is_uploading = false;
        self.end_exchange();
    }

    /// The upstream takes nothing any more: its answer may be there nevertheless.
    pub(super) fn fall_deaf(&mut self, error: &io::Error) {
        self.deafness = Some(error.kind());
        self.wire.output = Output::default();
        self.keeps_alive = false;
        self.end_upload();
    }

    /// Why the stream ended before a response: the kernel tells only once that it gave the peer up.
    pub(super) fn end_cause(&self) -> io::Error {
        self.deafness.unwrap_or(io::ErrorKind::UnexpectedEof).into()
    }

    /// Nobody will send another request.
    pub(super) fn abandon(&mut self) {
        self.is_abandoned = true;
        if self.stage == ClientStage::Idle {
            self.stage = ClientStage::Closed;
        }
        self.wake_watcher();
    }

    /// The stream of a connection that has ended.
    pub(super) fn take_closed(&mut self) -> Option<BoxIo> {
        if self.stage == ClientStage::Closed { self.wire.take().map(|(_, io)| io) } else { None }
    }

    /// Once the request was written, and the response read, to its end.
    fn end_exchange(&mut self) {
        let is_read = self.has_response && self.incoming.is_none();
        if self.stage != ClientStage::Busy || !is_read || (self.is_uploading && self.keeps_alive) {
            return;
        }
        // Bytes that nobody asked for would be taken for the next response.
        if !self.keeps_alive || self.is_abandoned || !self.wire.input.is_empty() {
            self.stage = ClientStage::Closed;
            self.wake_watcher();
        } else {
            self.stage = ClientStage::Idle;
            self.watch_idle();
        }
        self.wake_waiting();
    }

    /// While it is idle the watcher's task is woken by what comes: its waker is put to the stream here, so that the
    /// task itself has nothing to do for an ordinary exchange.
    fn watch_idle(&mut self) {
        self.wire.settle();
        if let Some(watcher) = &self.watcher
            && self.wire.poll_silence(&mut Context::from_waker(watcher)).is_ready()
        {
            self.stage = ClientStage::Closed;
            self.wake_watcher();
        }
    }

    /// Looks whether the peer has said something while it should not, the end included.
    pub(super) fn poll_watch(&mut self, cx: &mut Context<'_>) {
        if self.stage == ClientStage::Idle && self.wire.poll_silence(cx).is_ready() {
            self.stage = ClientStage::Closed;
            self.wake_waiting();
        }
    }

    /// Returns what is to be dropped when nothing is borrowed.
    fn close(&mut self) -> Option<Upload> {
        if self.stage != ClientStage::Tunnel {
            self.stage = ClientStage::Closed;
        }
        self.is_cut |= self.incoming.take().is_some();
        // The stream goes, and with it the reader's place in it.
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        self.wake_watcher();
        self.wake_waiting();
        self.upload.take()
    }

    fn wake_waiting(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

impl BodySource for ClientLine {
    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<BodyPiece, BodyError>> {
        let state = &mut *self.0.borrow_mut();
        let Some(decoder) = &mut state.incoming else {
            return Poll::Ready(Err(BodyError::Broken("connection closed".into())));
        };
        let piece = poll_piece(&mut state.wire, decoder, cx);
        if piece.is_pending() {
            match &mut state.reader {
                Some(reader) => reader.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        match ready!(piece) {
            Ok(piece) => {
                if decoder.is_ended() || matches!(piece, BodyPiece::End) {
                    state.incoming = None;
                    state.end_exchange();
                }
                Poll::Ready(Ok(piece))
            }
            Err(fault) => {
                // The upload goes with the watcher, where nothing of this is borrowed.
                state.incoming = None;
                state.is_cut = true;
                state.stage = ClientStage::Closed;
                state.wake_watcher();
                state.wake_waiting();
                Poll::Ready(Err(fault.to_error()))
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        let state = self.0.borrow();
        match &state.incoming {
            Some(decoder) => decoder.remaining(),
            None => (!state.is_cut).then_some(0),
        }
    }

    fn give_up(&self) {
        self.close();
    }
}

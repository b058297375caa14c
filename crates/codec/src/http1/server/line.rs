//! One client's connection, shared by the server, which reads heads and writes responses, and whoever reads the body of
//! the request at hand, in the same task or in another. What one of them finds that concerns the other, it wakes the
//! other for.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use crate::http1::buffered::BufferedIo;
use crate::http1::framing::{BodyDecoder, BodyPiece};
use crate::http1::output::Output;
use crate::http1::parse::Framing;
use crate::http1::recv::{BodyFault, BodySource, Http1Body, poll_piece};
use crate::{Body, BodyError, BoxIo, Violation};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The connection as both see it.
pub(super) struct ServerLine(pub(super) RefCell<ServerLineState>);

pub(super) struct ServerLineState {
    pub(super) wire: BufferedIo,
    /// The body of the request at hand.
    request: RequestBody,
    /// The client waits for a word before it sends its body.
    pub(super) expects_continue: bool,
    /// The request that may still have interim responses.
    pub(super) takes_interims_of: Option<u64>,
    /// The task that serves.
    server: Option<Waker>,
    /// It can go on only when who reads the body has taken it, or does not want it.
    server_waits: bool,
    /// Who waits for more of the body.
    reader: Option<Waker>,
}

/// How far a request's body is.
enum RequestBody {
    /// All of it was taken.
    Taken,
    /// Somebody reads it.
    Read(BodyDecoder),
    /// Nobody wants the rest.
    Unwanted(BodyDecoder),
    /// It broke off.
    Failed(BodyFault),
}

impl ServerLine {
    pub(super) fn new(io: BoxIo) -> Rc<Self> {
        Rc::new(ServerLine(RefCell::new(ServerLineState {
            wire: BufferedIo::new(io),
            request: RequestBody::Taken,
            expects_continue: false,
            takes_interims_of: None,
            server: None,
            server_waits: false,
            reader: None,
        })))
    }

    /// The body of a request whose head was taken off the input.
    pub(super) fn body(self: &Rc<Self>, framing: Framing) -> Body {
        let mut state = self.0.borrow_mut();
        let Framing::Sized(length) = framing else {
            if framing == Framing::Empty {
                return Body::empty();
            }
            state.request = RequestBody::Read(BodyDecoder::new(framing));
            return Body::http1(Http1Body::new(Rc::clone(self) as Rc<dyn BodySource>));
        };
        // All there already: nobody has to be asked for it.
        if length <= state.wire.input.len() as u64 {
            return Body::full(state.wire.input.split_to(length as usize).freeze());
        }
        state.request = RequestBody::Read(BodyDecoder::new(framing));
        Body::http1(Http1Body::new(Rc::clone(self) as Rc<dyn BodySource>))
    }

    /// Closes it for everybody, and returns the stream.
    pub(super) fn close(&self) -> Option<BoxIo> {
        let mut state = self.0.borrow_mut();
        let taken = state.wire.take();
        state.wake_reader();
        taken.map(|(_, io)| io)
    }
}

impl ServerLineState {
    /// Remembers whom to wake for what a reader finds.
    pub(super) fn set_server(&mut self, waker: &Waker) {
        match &mut self.server {
            Some(server) => server.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    pub(super) fn wake_server(&self) {
        if let Some(server) = &self.server {
            server.wake_by_ref();
        }
    }

    fn release_server(&mut self) {
        if std::mem::take(&mut self.server_waits) {
            self.wake_server();
        }
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Nobody is invited to send a body any more. Returns whether all of the request has come, and where the response
    /// is to be written.
    pub(super) fn begin_response(&mut self) -> (bool, Output) {
        self.expects_continue = false;
        self.takes_interims_of = None;
        self.discard_unwanted();
        (self.has_whole_request(), std::mem::take(&mut self.wire.output))
    }

    /// Drops what nobody wants, as far as it has come.
    pub(super) fn discard_unwanted(&mut self) {
        let RequestBody::Unwanted(decoder) = &mut self.request else { return };
        self.request = loop {
            match decoder.decode(&mut self.wire.input) {
                Ok(Some(BodyPiece::Data(_))) if !decoder.is_ended() => {}
                Ok(Some(_)) => break RequestBody::Taken,
                Ok(None) => return,
                Err(violation) => break RequestBody::Failed(BodyFault::Framing(violation)),
            }
        };
    }

    /// Whether all of the request at hand has come.
    pub(super) fn has_whole_request(&self) -> bool {
        match &self.request {
            RequestBody::Taken => true,
            RequestBody::Read(decoder) | RequestBody::Unwanted(decoder) => {
                decoder.is_whole_in(&self.wire.input)
            }
            RequestBody::Failed(_) => false,
        }
    }

    /// Whether all of it was also taken, so that what is in the input is the next one's. If not, who reads it wakes the
    /// server for that.
    pub(super) fn awaits_reader(&mut self) -> bool {
        self.server_waits = self.has_unread_request();
        self.server_waits
    }

    /// Whether something of the request is left for who reads it.
    pub(super) fn has_unread_request(&self) -> bool {
        !matches!(self.request, RequestBody::Taken)
    }

    /// The rule that the request's body broke.
    pub(super) fn violation(&self) -> Option<Violation> {
        match &self.request {
            RequestBody::Failed(BodyFault::Framing(violation)) => Some(*violation),
            _ => None,
        }
    }

    /// How the client's connection failed while the body was read.
    pub(super) fn failure(&self) -> Option<io::Error> {
        match &self.request {
            RequestBody::Failed(BodyFault::Io(error)) => {
                Some(io::Error::new(error.kind(), error.to_string()))
            }
            _ => None,
        }
    }

    /// Says that the client may send its body, if it waits for that.
    fn invite(&mut self) {
        if std::mem::take(&mut self.expects_continue) && self.wire.input.is_empty() {
            self.wire.output.buffer().extend_from_slice(CONTINUE);
            self.wake_server();
        }
    }
}

impl BodySource for ServerLine {
    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<BodyPiece, BodyError>> {
        let state = &mut *self.0.borrow_mut();
        state.invite();
        let RequestBody::Read(decoder) = &mut state.request else {
            return Poll::Ready(Err(BodyFault::Ended.to_error()));
        };
        let piece = poll_piece(&mut state.wire, decoder, cx);
        if piece.is_pending() {
            state.reader = Some(cx.waker().clone());
        }
        match ready!(piece) {
            Ok(piece) => {
                if decoder.is_ended() {
                    state.request = RequestBody::Taken;
                    // A reader in another task has taken the server's place at the stream, where it looks for the
                    // client's going away.
                    match &state.server {
                        Some(server) if !server.will_wake(cx.waker()) => state.wake_server(),
                        _ => state.release_server(),
                    }
                }
                Poll::Ready(Ok(piece))
            }
            Err(fault) => {
                let error = fault.to_error();
                state.request = RequestBody::Failed(fault);
                state.wake_server();
                Poll::Ready(Err(error))
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        match &self.0.borrow().request {
            RequestBody::Read(decoder) => decoder.remaining(),
            RequestBody::Failed(_) => None,
            _ => Some(0),
        }
    }

    fn give_up(&self) {
        let mut state = self.0.borrow_mut();
        if let RequestBody::Read(decoder) = state.request {
            state.request = RequestBody::Unwanted(decoder);
            state.release_server();
        }
    }
}

//! The sending half of a stream: takes a body and writes it as fast as the peer's window allows.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};

use super::connection::TURN_BYTES;
use super::frame::ErrorCode;
use super::handle::StreamHandle;
use super::stall::{Bounds, Lost, Stall};
use crate::{Body, BodyEnd, BodyError};

/// Bytes of a piece that is sent without a look at what comes behind it.
const SMALL_PIECE_BYTES: usize = 1024;

/// Writes one body. Ends when it is written, or when nobody wants it any more.
pub(super) struct Pump {
    stream: StreamHandle,
    body: Body,
    /// Taken from the body, as far as the windows had no room for it.
    piece: Bytes,
    /// Of the whole piece.
    piece_len: usize,
    /// What came behind the piece, when that was looked at: `None` in it is the end.
    ahead: Option<Option<Result<Frame<Bytes>, BodyError>>>,
    bounds: Bounds,
    /// From the first time on that bytes wait for the peer's window, or for the socket.
    stall: Option<Stall>,
    /// Bytes that were sent since it was polled.
    sent: usize,
}

/// Sends a body that is in hand at once, if there is room for all of it. Returns whether it did.
pub(super) fn send_now(stream: &StreamHandle, body: &mut Body) -> bool {
    let Some(len) = body.full_len() else { return false };
    if stream.connection().room(stream.key()) < len {
        return false;
    }
    if let Some(bytes) = body.take_full() {
        stream.connection().send_data(stream.key(), bytes, true);
    }
    true
}

impl Pump {
    pub(super) fn new(stream: StreamHandle, body: Body, bounds: Bounds) -> Self {
        Pump { stream, body, piece: Bytes::new(), piece_len: 0, ahead: None, bounds, stall: None, sent: 0 }
    }

    /// Ready when the connection takes something more, without a look at the stream's window: only the body tells
    /// whether it needs one. Until then nothing is read from its source; it would only wait here.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Option<ErrorCode>>> {
        let space = self.stream.connection().poll_space(self.stream.key(), cx);
        if space.is_pending() {
            let lost = ready!(self.poll_stall(cx));
            return Poll::Ready(Err(Some(self.give_up(lost))));
        }
        if let Some(stall) = &mut self.stall {
            stall.end();
        }
        Poll::Ready(Ok(()))
    }

    /// Ready with room for some of the piece; with an error when the stream shall be, or was, reset.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Option<ErrorCode>>> {
        let room = self.stream.connection().poll_room(self.stream.key(), cx, self.piece.len());
        match room {
            Poll::Ready(room) => Poll::Ready(room.map_err(|()| None)),
            Poll::Pending => {
                let lost = ready!(self.poll_stall(cx));
                Poll::Ready(Err(Some(self.give_up(lost))))
            }
        }
    }

    fn give_up(&mut self, lost: Lost) -> ErrorCode {
        let (end, code) = match lost {
            Lost::Idle => (BodyEnd::Unread, ErrorCode::CANCEL),
            Lost::Shed => (BodyEnd::Shed, ErrorCode::ENHANCE_YOUR_CALM),
        };
        self.body.give_up(end);
        code
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        let stall = self.stall.get_or_insert_with(|| Stall::new(&self.bounds));
        let piece_len = if self.piece.is_empty() { 0 } else { self.piece_len };
        let (body, is_timed) = (&mut self.body, !self.piece.is_empty());
        stall.poll_lost(cx, &self.stream, &self.bounds, is_timed, || body.unread() + 2 * piece_len)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Option<ErrorCode>> {
        self.sent = 0;
        loop {
            // Reset by the peer or by who reads the response, or the connection is gone.
            if self.stream.poll_broken(cx).is_ready() {
                return Poll::Ready(None);
            }
            if self.piece.is_empty() {
                // What was taken already waits as a piece, and costs what it is.
                if self.ahead.is_none()
                    && let Err(code) = ready!(self.poll_turn(cx))
                {
                    return Poll::Ready(code);
                }
                match ready!(self.poll_body(cx)) {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(code) => return Poll::Ready(code),
                }
            }
            let mut room = match ready!(self.poll_room(cx)) {
                Ok(room) => room,
                Err(code) => return Poll::Ready(code),
            };
            if room == self.piece.len() && self.ahead.is_none() {
                self.gather(cx);
                room = self.stream.connection().room(self.stream.key()).min(self.piece.len());
            }
            let part = self.piece.split_to(room.min(TURN_BYTES));
            let (len, last) = (part.len(), self.piece.is_empty() && self.is_at_end());
            if len == 0 {
                continue;
            }
            self.stream.connection().send_data(self.stream.key(), part, last);
            if last {
                return Poll::Ready(None);
            }
            self.note(len);
            self.sent += len;
            if self.sent >= TURN_BYTES {
                ready!(self.poll_next_turn(cx));
            }
        }
    }

    /// Lets other streams have their turn. Always pending: it is woken when it may go on.
    fn poll_next_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_alone = self.stream.connection().poll_next_turn(self.stream.key(), cx).is_ready();
        if is_alone {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Takes the next piece from the body, or ends the stream as the body ended.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<ControlFlow<Option<ErrorCode>>> {
        let frame = match self.ahead.take() {
            Some(frame) => frame,
            None => ready!(Pin::new(&mut self.body).poll_frame(cx)),
        };
        let frame = match frame {
            None => {
                self.stream.connection().send_data(self.stream.key(), Bytes::new(), true);
                return Poll::Ready(ControlFlow::Break(None));
            }
            Some(Err(_)) => return Poll::Ready(ControlFlow::Break(Some(ErrorCode::INTERNAL_ERROR))),
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                (self.piece_len, self.piece) = (data.len(), data);
                Poll::Ready(ControlFlow::Continue(()))
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                self.stream.connection().send_trailers(self.stream.key(), &trailers);
                Poll::Ready(ControlFlow::Break(None))
            }
        }
    }

    /// Whether nothing comes behind the piece.
    fn is_at_end(&self) -> bool {
        match &self.ahead {
            None => self.body.is_end_stream(),
            Some(frame) => frame.is_none(),
        }
    }

    /// Puts small pieces that are there together: a frame costs its receiver more than the few bytes in it, and
    /// many a receiver cuts a connection when too many of them wait for who reads one of them. Only
    /// where there is room for all of it: a body that was asked counts the time until it is asked again as its
    /// sender's, and one that was read to its end as sent.
    fn gather(&mut self, cx: &mut Context<'_>) {
        let mut all = BytesMut::new();
        loop {
            let len = all.len().max(self.piece.len());
            let room = self.stream.connection().room(self.stream.key());
            if len >= SMALL_PIECE_BYTES || room < len || self.body.is_end_stream() {
                break;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else { break };
            match &frame {
                Some(Ok(frame))
                    if let Some(data) = frame.data_ref().filter(|data| data.len() < SMALL_PIECE_BYTES) =>
                {
                    if all.is_empty() {
                        all.extend_from_slice(&self.piece);
                    }
                    all.extend_from_slice(data);
                }
                _ => {
                    self.ahead = Some(frame);
                    break;
                }
            }
        }
        if !all.is_empty() {
            (self.piece_len, self.piece) = (all.len(), all.freeze());
        }
    }

    /// `len` bytes found room: enough of them end a stall, and so does the end of the piece.
    fn note(&mut self, len: usize) {
        if let Some(stall) = &mut self.stall {
            stall.note(len, self.piece.is_empty());
        }
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let pump = self.get_mut();
        if let Some(code) = ready!(pump.poll_write(cx)) {
            pump.stream.connection().reset(pump.stream.key(), code);
        }
        Poll::Ready(())
    }
}

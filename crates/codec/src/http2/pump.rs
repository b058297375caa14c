//! The sending half of a stream: takes a body and writes it as fast as the peer's window allows.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;
use tokio::time::{Instant, Sleep};

use super::meter::Findings;
use crate::Body;
use crate::options::STALL_BYTES_MIN;

/// Writes one body. Ends when it is written, or when nobody wants it any more.
pub(super) struct Pump {
    stream: SendStream<Bytes>,
    body: Body,
    /// Taken from the body. The library gets only what the window has room for: it would keep the rest for ever.
    piece: Bytes,
    stall_timeout: Duration,
    /// Only while bytes wait for the peer's window.
    stall: Option<Stall>,
    findings: Rc<Findings>,
    cancel: Option<Rc<Cancel>>,
}

/// Bytes are waiting for a window.
struct Stall {
    timer: Pin<Box<Sleep>>,
    /// Bytes that found room since the timer started.
    moved: usize,
}

/// Tells a pump that its request was given up.
#[derive(Debug, Default)]
pub(super) struct Cancel {
    asked: Cell<bool>,
    pump: RefCell<Option<Waker>>,
}

/// Gives a request up when dropped before `disarm`.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(Option<Rc<Cancel>>);

impl CancelOnDrop {
    pub(super) fn new(cancel: &Rc<Cancel>) -> Self {
        CancelOnDrop(Some(Rc::clone(cancel)))
    }

    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = self.0.take() {
            cancel.asked.set(true);
            if let Some(pump) = cancel.pump.borrow_mut().take() {
                pump.wake();
            }
        }
    }
}

/// Sends a body that is in hand at once, if the window has room for all of it. Returns whether it did.
pub(super) fn send_now(stream: &mut SendStream<Bytes>, body: &mut Body) -> bool {
    let Some(len) = body.full_len() else { return false };
    stream.reserve_capacity(len);
    if stream.capacity() < len {
        return false;
    }
    if let Some(bytes) = body.take_full() {
        // Fails only if the stream is gone.
        let _ = stream.send_data(bytes, true);
    }
    true
}

impl Pump {
    pub(super) fn new(
        stream: SendStream<Bytes>,
        body: Body,
        stall_timeout: Duration,
        findings: Rc<Findings>,
        cancel: Option<Rc<Cancel>>,
    ) -> Self {
        Pump { stream, body, piece: Bytes::new(), stall_timeout, stall: None, findings, cancel }
    }

    /// Ready when nobody wants the rest: with what to tell the peer, if anything.
    fn poll_unwanted(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reason>> {
        if let Some(cancel) = &self.cancel {
            if cancel.asked.get() {
                return Poll::Ready(Some(Reason::CANCEL));
            }
            let mut pump = cancel.pump.borrow_mut();
            if !pump.as_ref().is_some_and(|pump| pump.will_wake(cx.waker())) {
                *pump = Some(cx.waker().clone());
            }
        }
        // Reset by the peer, or the connection is gone.
        self.stream.poll_reset(cx).map(|_| None)
    }

    /// Ready with room for some of the piece; with an error when the stream shall be, or was, reset.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Option<Reason>>> {
        self.stream.reserve_capacity(self.piece.len());
        loop {
            let room = self.stream.capacity().min(self.piece.len());
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(Err(None)),
                Poll::Pending => {
                    ready!(self.poll_stall(cx));
                    return Poll::Ready(Err(Some(Reason::CANCEL)));
                }
            }
        }
    }

    /// Ready when the peer's window has been shut, or has trickled, for too long.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stall = self.stall.get_or_insert_with(|| Stall {
            timer: Box::pin(tokio::time::sleep(self.stall_timeout)),
            moved: 0,
        });
        while stall.timer.as_mut().poll(cx).is_ready() {
            // Not the window but the socket: the connection has its own deadline for that.
            if !self.findings.outlet.is_blocked() {
                return Poll::Ready(());
            }
            stall.timer.as_mut().reset(Instant::now() + self.stall_timeout);
        }
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reason>> {
        loop {
            if let Poll::Ready(reason) = self.poll_unwanted(cx) {
                return Poll::Ready(reason);
            }
            if self.piece.is_empty() {
                match ready!(self.poll_body(cx)) {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(reason) => return Poll::Ready(reason),
                }
            }
            let room = match ready!(self.poll_room(cx)) {
                Ok(room) => room,
                Err(reason) => return Poll::Ready(reason),
            };
            let part = self.piece.split_to(room);
            let last = self.piece.is_empty() && self.body.is_end_stream();
            if self.stream.send_data(part, last).is_err() || last {
                return Poll::Ready(None);
            }
            self.note(room);
        }
    }

    /// Takes the next piece from the body, or ends the stream as the body ended.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<ControlFlow<Option<Reason>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            // Fails only if the stream is gone, here and below.
            None => {
                let _ = self.stream.send_data(Bytes::new(), true);
                return Poll::Ready(ControlFlow::Break(None));
            }
            Some(Err(_)) => return Poll::Ready(ControlFlow::Break(Some(Reason::INTERNAL_ERROR))),
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                self.piece = data;
                Poll::Ready(ControlFlow::Continue(()))
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                self.stream.reserve_capacity(0);
                let _ = self.stream.send_trailers(trailers);
                Poll::Ready(ControlFlow::Break(None))
            }
        }
    }

    /// `len` bytes found room: enough of them end a stall, and so does the end of the piece.
    fn note(&mut self, len: usize) {
        if let Some(stall) = &mut self.stall {
            stall.moved += len;
            if self.piece.is_empty() || stall.moved >= STALL_BYTES_MIN {
                self.stall = None;
            }
        }
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let pump = self.get_mut();
        if let Some(reason) = ready!(pump.poll_write(cx)) {
            pump.stream.send_reset(reason);
        }
        Poll::Ready(())
    }
}

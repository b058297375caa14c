//! The sending half of a stream: takes a body and writes it as fast as the peer's window allows.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;
use tokio::time::Sleep;

use crate::Body;

/// Writes one body. Ends when it is written, or when nobody wants it any more.
pub(super) struct Pump {
    stream: SendStream<Bytes>,
    body: Body,
    stall_timeout: Duration,
    /// Only while the peer's window is closed.
    stall: Option<Pin<Box<Sleep>>>,
    cancel: Option<Rc<Cancel>>,
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

impl Pump {
    pub(super) fn new(
        stream: SendStream<Bytes>,
        body: Body,
        stall_timeout: Duration,
        cancel: Option<Rc<Cancel>>,
    ) -> Self {
        Pump { stream, body, stall_timeout, stall: None, cancel }
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

    /// Ready with room in the window; with an error when the stream shall be, or was, reset.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Option<Reason>>> {
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(Err(None)),
                Poll::Pending => {
                    let stall =
                        self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.stall_timeout)));
                    ready!(stall.as_mut().poll(cx));
                    return Poll::Ready(Err(Some(Reason::CANCEL)));
                }
            }
        }
        self.stall = None;
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reason>> {
        loop {
            if let Poll::Ready(reason) = self.poll_unwanted(cx) {
                return Poll::Ready(reason);
            }
            if let Err(reason) = ready!(self.poll_room(cx)) {
                return Poll::Ready(reason);
            }
            let sent = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(self.stream.send_data(Bytes::new(), true).err().and(None)),
                Some(Err(_)) => return Poll::Ready(Some(Reason::INTERNAL_ERROR)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let last = self.body.is_end_stream();
                        let sent = self.stream.send_data(data, last);
                        if last {
                            return Poll::Ready(None);
                        }
                        sent
                    }
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        self.stream.reserve_capacity(0);
                        // Fails only if the stream is gone.
                        let _ = self.stream.send_trailers(trailers);
                        return Poll::Ready(None);
                    }
                },
            };
            if sent.is_err() {
                return Poll::Ready(None);
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

//! One connection to the API: its bytes, its place among all of them, and its end when nothing happens on it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

/// A connection on which no byte has moved for so long is closed. Longer than any call may take.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// A connection on which nobody who may call has called by then is closed, whatever comes on it: strangers hold no places.
pub(crate) const ADMISSION_TIMEOUT: Duration = Duration::from_secs(10);

/// What carries the bytes.
trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Carrier for T {}

/// An accepted connection.
pub(crate) struct ApiStream {
    carrier: Box<dyn Carrier>,
    idle: Pin<Box<Sleep>>,
    /// Until somebody is admitted; then none.
    admission: Option<(Pin<Box<Sleep>>, Arc<AtomicBool>)>,
    _slot: OwnedSemaphorePermit,
}

impl ApiStream {
    pub(crate) fn new<T>(carrier: T, slot: OwnedSemaphorePermit, is_admitted: Arc<AtomicBool>) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let after = |time| Box::pin(tokio::time::sleep(time));
        Self {
            carrier: Box::new(carrier),
            idle: after(IDLE_TIMEOUT),
            admission: Some((after(ADMISSION_TIMEOUT), is_admitted)),
            _slot: slot,
        }
    }

    /// Ready when the time for admission is over.
    fn poll_turned_away(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((over, is_admitted)) = &mut self.admission else { return Poll::Pending };
        if is_admitted.load(Ordering::Relaxed) {
            self.admission = None;
            return Poll::Pending;
        }
        over.as_mut().poll(cx)
    }

    fn moved(&mut self) {
        self.idle.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
    }
}

impl AsyncRead for ApiStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.poll_turned_away(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        match Pin::new(&mut this.carrier).poll_read(cx, buf) {
            Poll::Ready(result) => {
                this.moved();
                Poll::Ready(result)
            }
            Poll::Pending => {
                ready!(this.idle.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncWrite for ApiStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.carrier).poll_write(cx, bytes));
        this.moved();
        Poll::Ready(result)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().carrier).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().carrier).poll_shutdown(cx)
    }
}

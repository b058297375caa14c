//! A connection's stream with the meter in it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::blocks::Blocks;
use super::findings::Findings;
use super::meter::FloodCounter;
use crate::FloodLimits;

/// A stream with the meter in it. After a flood it reads nothing more.
#[derive(Debug)]
pub(super) struct Metered<I> {
    io: I,
    counter: FloodCounter,
    findings: Rc<Findings>,
    /// Read and not yet passed on.
    held: BytesMut,
}

impl<I> Metered<I> {
    /// `preface`: whether the peer is a client, which sends one, and requests.
    /// `blocks`: follows its fields.
    pub(super) fn new(
        io: I,
        limits: FloodLimits,
        preface: bool,
        blocks: Option<Blocks>,
        findings: Rc<Findings>,
    ) -> Self {
        Metered { io, counter: FloodCounter::new(limits, preface, blocks), findings, held: BytesMut::new() }
    }

    /// Nothing wakes the reader: who empties the library polls it again.
    fn keep_waiting<T>(&self) -> Poll<T> {
        self.findings.is_kept_waiting.set(true);
        Poll::Pending
    }

    /// Passes on what was held back, as far as it may go now. `None`: nothing was.
    fn pass_held(&mut self, buf: &mut ReadBuf<'_>) -> Option<Poll<()>> {
        if self.held.is_empty() {
            return None;
        }
        let len = self.held.len().min(buf.remaining());
        let passed = self.counter.count(&self.held[..len], &self.findings);
        buf.put_slice(&self.held[..passed]);
        self.held.advance(passed);
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
        Some(if passed > 0 { Poll::Ready(()) } else { self.keep_waiting() })
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Metered<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let metered = self.get_mut();
        if metered.findings.flood.get().is_some() {
            return Poll::Pending;
        }
        let start = buf.filled().len();
        if let Some(passed) = metered.pass_held(buf) {
            ready!(passed);
        } else {
            if let Err(cause) = ready!(Pin::new(&mut metered.io).poll_read(cx, buf)) {
                let cause = Arc::new(cause);
                metered.findings.broken.replace(Some(Arc::clone(&cause)));
                return Poll::Ready(Err(io::Error::new(cause.kind(), cause)));
            }
            let heard = metered.findings.heard.get() + (buf.filled().len() - start) as u64;
            metered.findings.heard.set(heard);
            let passed = start + metered.counter.count(&buf.filled()[start..], &metered.findings);
            if passed < buf.filled().len() {
                metered.held.extend_from_slice(&buf.filled()[passed..]);
                buf.set_filled(passed);
                // Empty would be the end of the stream.
                if passed == start && metered.findings.flood.get().is_none() {
                    return metered.keep_waiting();
                }
            }
        }
        if metered.findings.flood.get().is_some() {
            // What came with the flood is not worth handling.
            buf.set_filled(start);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Metered<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let metered = self.get_mut();
        let written = Pin::new(&mut metered.io).poll_write(cx, buf);
        metered.findings.outlet.note(&written);
        let len = ready!(written)?;
        metered.counter.wrote(len);
        metered.findings.note_words(buf, len);
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let metered = self.get_mut();
        let written = Pin::new(&mut metered.io).poll_write_vectored(cx, bufs);
        metered.findings.outlet.note(&written);
        let len = ready!(written)?;
        metered.counter.wrote(len);
        // A GOAWAY is never written together with the data of a body.
        if let [alone] = bufs {
            metered.findings.note_words(alone, len);
        }
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.findings.outlet.note_flush(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

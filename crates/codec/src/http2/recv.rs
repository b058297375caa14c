//! The receiving half of a stream as a body.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::findings::Interest;
use super::open::StreamGuard;
use super::pump::CancelOnDrop;
use crate::headers::has_odd_name;
use crate::{BodyError, ResetCode};

/// A body that arrives on a stream.
pub(crate) struct RecvBody {
    stream: RecvStream,
    /// Bytes still to come, if declared.
    remaining: Option<u64>,
    data_ended: bool,
    /// Looked at already, see [`RecvBody::poll_first`].
    first: Option<Bytes>,
    /// Released at the body's end, or with it.
    open: Option<StreamGuard>,
    /// Knows of trailers that the crate passed on in part.
    interest: Interest,
    /// Stops sending the request when its response is given up.
    cancel: Option<CancelOnDrop>,
}

impl RecvBody {
    pub(super) fn new(
        stream: RecvStream,
        length: Option<u64>,
        open: Option<StreamGuard>,
        interest: Interest,
    ) -> Self {
        let mut body = RecvBody {
            stream,
            remaining: length,
            data_ended: false,
            first: None,
            open,
            interest,
            cancel: None,
        };
        if body.stream.is_end_stream() {
            body.end();
        }
        body
    }

    pub(super) fn cancelling(mut self, cancel: Option<CancelOnDrop>) -> Self {
        self.cancel = cancel;
        if self.data_ended {
            self.end();
        }
        self
    }

    fn end(&mut self) {
        self.data_ended = true;
        self.open = None;
        if let Some(mut cancel) = self.cancel.take() {
            cancel.disarm();
        }
    }

    /// Looks at what has arrived already, if there is a length to compare it with: a body that contradicts it
    /// is found while there is still time for an answer of our own.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        if self.data_ended || self.remaining.is_none_or(|remaining| remaining == 0) {
            return Ok(());
        }
        match self.poll_next(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                // Trailers before the last byte: the library finds the length wrong.
                self.first = frame.into_data().ok();
                Ok(())
            }
            Poll::Ready(Some(Err(error))) => Err(error),
            Poll::Ready(None) | Poll::Pending => Ok(()),
        }
    }

    /// Bytes that have come and were not handed over.
    pub(crate) fn unread(&mut self) -> usize {
        self.stream.flow_control().used_capacity()
    }

    /// Whether the trailers are not what the peer sent.
    fn is_refused(&self, trailers: Option<&HeaderMap>) -> bool {
        self.interest.is_refused() || trailers.is_some_and(has_odd_name)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.first.is_none() && (self.data_ended || self.stream.is_end_stream())
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match (self.is_end_stream(), self.remaining) {
            (true, _) => SizeHint::with_exact(0),
            (false, Some(remaining)) => SizeHint::with_exact(remaining),
            (false, None) => SizeHint::default(),
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match self.first.take() {
            Some(data) => Some(Ok(Frame::data(data))),
            None => ready!(self.poll_next(cx)),
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            // Given back when handed over: a reader that does not read gives nothing back.
            let _ = self.stream.flow_control().release_capacity(data.len());
            if let Some(remaining) = &mut self.remaining {
                *remaining = remaining.saturating_sub(data.len() as u64);
            }
        }
        Poll::Ready(frame)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if self.data_ended {
                return Poll::Ready(None);
            }
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    if data.is_empty() {
                        // The end, if this was it, is found by the next turn.
                        continue;
                    }
                    if self.stream.is_end_stream() {
                        self.end();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(cause)) => {
                    self.end();
                    return Poll::Ready(Some(Err(body_error(cause))));
                }
                None => {
                    let trailers = ready!(self.stream.poll_trailers(cx));
                    self.end();
                    return Poll::Ready(match trailers {
                        Ok(trailers) if self.is_refused(trailers.as_ref()) => Some(Err(BodyError::Broken(
                            "trailers that have no reading, or are too large".into(),
                        ))),
                        Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
                        Ok(None) => None,
                        Err(cause) => Some(Err(body_error(cause))),
                    });
                }
            }
        }
    }
}

pub(crate) fn body_error(cause: h2::Error) -> BodyError {
    match cause.reason() {
        Some(reason) if cause.is_reset() => BodyError::Reset(ResetCode::from_h2(reason)),
        _ => BodyError::Broken(cause.into()),
    }
}

//! The receiving half of a stream as a body.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};

use super::frame::ErrorCode;
use super::handle::StreamHandle;
use super::stream::{RecvState, StreamError};
use crate::{BodyError, InterimSink};

/// What becomes of a stream when nobody reads it to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It goes on the other way: the answer to a request is written whether or not that is read.
    GoesOn,
    /// It is given up: nobody wants the rest of a response, nor sends the rest of its request.
    IsReset,
}

/// A body that arrives on a stream.
#[derive(Debug)]
pub(crate) struct RecvBody {
    /// Released at the body's end, or with it.
    stream: Option<StreamHandle>,
    unread: Unread,
}

impl RecvBody {
    pub(super) fn new(stream: StreamHandle, unread: Unread) -> Self {
        let mut body = RecvBody { stream: Some(stream), unread };
        body.end_if_drained();
        body
    }

    /// Ready with the head of the response, or how the stream broke off before it. A body that contradicts its length
    /// from its first byte on is found while there is still time for an answer of our own.
    /// Interim responses that came before it go to `interims`.
    pub(super) fn poll_head(
        &mut self,
        cx: &Context<'_>,
        interims: &dyn InterimSink,
    ) -> Poll<Result<Response<()>, StreamError>> {
        while let Some(interim) = self.take_interim() {
            interims.interim(interim);
        }
        let Some(handle) = &self.stream else { return Poll::Ready(Err(StreamError::GivenUp)) };
        let mut connection = handle.connection();
        let Some(stream) = connection.stream(handle.key()) else {
            return Poll::Ready(Err(StreamError::GivenUp));
        };
        let has_nothing_good =
            matches!(stream.error, Some(StreamError::Violated(_))) && stream.data.is_empty();
        let head = match (stream.head.take().filter(|_| !has_nothing_good), &stream.error) {
            (Some(head), _) => head,
            (None, Some(error)) => return Poll::Ready(Err(error.clone())),
            (None, None) => {
                stream.listen_as_reader(cx);
                return Poll::Pending;
            }
        };
        drop(connection);
        Poll::Ready(Ok(head))
    }

    fn take_interim(&mut self) -> Option<Response<()>> {
        let handle = self.stream.as_ref()?;
        handle.connection().stream(handle.key())?.interim_heads.pop_front()
    }

    /// The stream, to be read and written as bytes.
    pub(super) fn into_stream(mut self) -> Option<StreamHandle> {
        self.stream.take()
    }

    /// Lets go of the stream where nothing more comes, as of a response without a body. Of a tunnel that is half of it.
    pub(super) fn end_if_drained(&mut self) {
        let Some(handle) = &self.stream else { return };
        let is_over = handle.connection().stream(handle.key()).is_none_or(|stream| stream.is_drained());
        if is_over {
            self.stream = None;
        }
    }

    /// Bytes that have come and were not handed over.
    pub(crate) fn unread(&mut self) -> usize {
        let Some(handle) = &self.stream else { return 0 };
        handle.connection().stream(handle.key()).map_or(0, |stream| stream.unread)
    }

    /// How many bytes they are, if all has come in one piece and nothing was taken.
    pub(crate) fn whole_len(&self) -> Option<usize> {
        let handle = self.stream.as_ref()?;
        let mut connection = handle.connection();
        let stream = connection.stream(handle.key())?;
        match (stream.recv, &stream.trailers, stream.data.len()) {
            (RecvState::Ended, None, 1) => stream.data.front().map(Bytes::len),
            _ => None,
        }
    }

    /// Takes them, and is at its end.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        self.whole_len()?;
        let handle = self.stream.take()?;
        let mut connection = handle.connection();
        let data = connection.take_data(handle.key())?;
        connection.note_read(handle.key(), data.len());
        Some(data)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let Some(handle) = &self.stream else { return true };
        handle.connection().stream(handle.key()).is_none_or(|stream| stream.is_drained())
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let Some(handle) = self.stream.as_ref().filter(|_| !self.is_end_stream()) else {
            return SizeHint::with_exact(0);
        };
        let remaining = handle.connection().stream(handle.key()).and_then(|stream| stream.remaining_unread());
        remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(handle) = &self.stream else { return Poll::Ready(None) };
        let (mut connection, key) = (handle.connection(), handle.key());
        if let Some(data) = connection.take_data(key) {
            // Given back when handed over: a reader that does not read gives nothing back.
            connection.note_read(key, data.len());
            drop(connection);
            self.end_if_drained();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(stream) = connection.stream(key) else {
            drop(connection);
            self.stream = None;
            return Poll::Ready(None);
        };
        let ended = match (stream.trailers.take(), stream.recv, &stream.error) {
            (Some(trailers), _, _) => Some(Ok(Frame::trailers(trailers))),
            (None, RecvState::Ended, _) => None,
            (None, _, Some(error)) => Some(Err(BodyError::from(error.clone()))),
            (None, _, None) => {
                stream.listen_as_reader(cx);
                return Poll::Pending;
            }
        };
        drop(connection);
        self.stream = None;
        Poll::Ready(ended)
    }
}

impl Drop for RecvBody {
    fn drop(&mut self) {
        let Some(handle) = &self.stream else { return };
        let mut connection = handle.connection();
        match self.unread {
            Unread::GoesOn => connection.stop_reading(handle.key()),
            Unread::IsReset => connection.reset(handle.key(), ErrorCode::CANCEL),
        }
    }
}

//! What streams send: heads, data, trailers, resets; and how a stream ends.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};

use super::super::frame::{
    CONTINUATION, END_HEADERS, END_STREAM, ErrorCode, FRAME_HEAD_BYTES, FrameHead, HEADERS, RST_STREAM, put,
};
use super::super::hpack::HpackEncoder;
use super::super::stream::{Purpose, RecvState, Stream, StreamError};
use super::super::streams::StreamKey;
use super::{Fatal, Multiplexer, PeerRole};
use crate::Flood;

/// The pseudo-fields of a request.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct RequestTarget<'a> {
    pub(in super::super) method: &'a str,
    pub(in super::super) authority: &'a str,
    /// Of extended CONNECT.
    pub(in super::super) protocol: Option<&'a str>,
    /// Scheme and path, which plain CONNECT has not.
    pub(in super::super) resource: Option<(&'a str, &'a str)>,
}

impl Multiplexer {
    /// Opens a stream with a request, if one can be opened. Whoever asked holds it.
    pub(in super::super) fn open(
        &mut self,
        purpose: Purpose,
        target: RequestTarget<'_>,
        headers: &HeaderMap,
        is_last: bool,
    ) -> Option<StreamKey> {
        if self.is_closed() {
            return None;
        }
        let id = self.next_stream;
        self.next_stream += 2;
        self.floods.note_opened();
        self.put_block(id, is_last, |encoder, out| {
            encoder.field(out, b":method", target.method.as_bytes(), false);
            if let Some(protocol) = target.protocol {
                encoder.field(out, b":protocol", protocol.as_bytes(), false);
            }
            if let Some((scheme, path)) = target.resource {
                encoder.field(out, b":scheme", scheme.as_bytes(), false);
                encoder.field(out, b":authority", target.authority.as_bytes(), false);
                encoder.field(out, b":path", path.as_bytes(), false);
            } else {
                encoder.field(out, b":authority", target.authority.as_bytes(), false);
            }
            put_headers(encoder, out, headers);
        });
        let (window, peer_window) = (self.recv_stream_window(), self.peer.stream_window);
        let mut stream = Stream::new(purpose, RecvState::AwaitingHead, window, peer_window);
        stream.sent_end = is_last;
        stream.handles = 1;
        stream.is_looked_at = true;
        self.open += 1;
        self.wake_driver();
        Some(self.streams.insert(id, stream))
    }

    /// The head of a response. Nothing happens if the stream is gone, here and below.
    pub(in super::super) fn respond(
        &mut self,
        key: StreamKey,
        status: StatusCode,
        headers: &HeaderMap,
        is_last: bool,
    ) {
        if !self.is_sending(key) {
            return;
        }
        self.put_head(key.id, status, headers, is_last);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.has_responded = true;
        }
        self.sent(key, is_last);
    }

    /// The head of an interim response, if it comes in time and the peer takes what is written.
    pub(in super::super) fn send_interim(&mut self, key: StreamKey, head: &Response<()>) {
        let awaits = |stream: &Stream| stream.error.is_none() && !stream.has_responded;
        if self.streams.get(key).is_some_and(awaits) && !self.outbox.is_overflowing() {
            self.put_head(key.id, head.status(), head.headers(), false);
            self.wake_driver();
        }
    }

    fn put_head(&mut self, id: u32, status: StatusCode, headers: &HeaderMap, is_last: bool) {
        self.put_block(id, is_last, |encoder, out| {
            encoder.field(out, b":status", status.as_str().as_bytes(), false);
            put_headers(encoder, out, headers);
        });
    }

    /// A response of nothing but a status.
    pub(super) fn put_status(&mut self, id: u32, status: StatusCode) {
        self.put_block(id, true, |encoder, out| {
            encoder.field(out, b":status", status.as_str().as_bytes(), false);
        });
    }

    /// Data for which there is room; an end without data needs none.
    pub(in super::super) fn send_data(&mut self, key: StreamKey, mut data: Bytes, is_last: bool) {
        let frame_bytes_max = self.peer.frame_bytes_max;
        let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.error.is_none()) else { return };
        debug_assert!(!stream.sent_end, "data behind the end");
        stream.send_window.take(data.len());
        loop {
            let frame = data.split_to(data.len().min(frame_bytes_max));
            let is_end = data.is_empty();
            self.outbox.put_data(key.id, frame, is_last && is_end);
            if is_end {
                break;
            }
        }
        self.sent(key, is_last);
    }

    pub(in super::super) fn send_trailers(&mut self, key: StreamKey, trailers: &HeaderMap) {
        if self.is_sending(key) {
            self.put_block(key.id, true, |encoder, out| put_headers(encoder, out, trailers));
            self.sent(key, true);
        }
    }

    fn is_sending(&self, key: StreamKey) -> bool {
        self.streams.get(key).is_some_and(|stream| stream.error.is_none() && !stream.sent_end)
    }

    fn sent(&mut self, key: StreamKey, is_last: bool) {
        if let (Some(stream), true) = (self.streams.get_mut(key), is_last) {
            stream.sent_end = true;
        }
        self.settle(key);
        self.wake_driver();
    }

    /// A block of fields in as many frames as it needs.
    fn put_block(&mut self, id: u32, is_last: bool, fields: impl FnOnce(&mut HpackEncoder, &mut BytesMut)) {
        let (encoder, frame_bytes_max) = (&mut self.encoder, self.peer.frame_bytes_max);
        let flags = if is_last { END_STREAM } else { 0 };
        self.outbox.put(|out| {
            let start = out.len();
            out.put_slice(&[0; FRAME_HEAD_BYTES]);
            encoder.begin(out);
            fields(encoder, out);
            let len = out.len() - start - FRAME_HEAD_BYTES;
            if len > frame_bytes_max {
                return split_block(out, start, id, flags, frame_bytes_max);
            }
            let head = FrameHead { len, kind: HEADERS, flags: flags | END_HEADERS, stream: id };
            if let Some(place) = out.get_mut(start..start + FRAME_HEAD_BYTES) {
                place.copy_from_slice(&head.bytes());
            }
        });
    }

    /// Resets a stream because nobody wants the rest.
    pub(in super::super) fn reset(&mut self, key: StreamKey, code: ErrorCode) {
        let Some(stream) = self.streams.get(key) else { return };
        if !stream.is_closed() {
            self.outbox.put(|out| put(out, RST_STREAM, 0, key.id, &code.0.to_be_bytes()));
            self.break_off(key, StreamError::GivenUp);
            self.wake_driver();
        }
    }

    /// Resets a stream because the peer broke a rule on it.
    pub(super) fn fail_stream(
        &mut self,
        key: StreamKey,
        code: ErrorCode,
        why: StreamError,
    ) -> Result<(), Fatal> {
        self.outbox.answer(|out| put(out, RST_STREAM, 0, key.id, &code.0.to_be_bytes()));
        self.break_off(key, why);
        self.note_error()
    }

    /// Something came on a stream that has ended and is forgotten.
    pub(super) fn reset_unknown(&mut self, id: u32) -> Result<(), Fatal> {
        let code = ErrorCode::STREAM_CLOSED;
        self.outbox.answer(|out| put(out, RST_STREAM, 0, id, &code.0.to_be_bytes()));
        self.note_error()
    }

    /// One more error of the peer's for which a stream was reset.
    pub(super) fn note_error(&mut self) -> Result<(), Fatal> {
        self.errors += 1;
        if self.errors > self.bounds.errors_max {
            return Err(Fatal::Flood(Flood::StreamErrors));
        }
        Ok(())
    }

    /// A stream goes no further, in neither direction.
    pub(super) fn break_off(&mut self, key: StreamKey, why: StreamError) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let was_closed = stream.is_closed();
        if stream.error.is_none() {
            stream.error = Some(why);
        }
        stream.wake_reader();
        stream.wake_writer();
        if !was_closed {
            self.open = self.open.saturating_sub(1);
        }
        self.leave_queue(key);
    }

    /// One of the halves of a stream may just have ended, and both with it.
    pub(super) fn settle(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.error.is_none() && stream.sent_end && stream.recv == RecvState::Ended && !stream.is_settled
        {
            stream.is_settled = true;
            self.open = self.open.saturating_sub(1);
        }
    }

    /// One more holds it.
    pub(in super::super) fn hold(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.handles += 1;
        }
    }

    /// One less holds it. When nobody does, what is not over is reset, and nothing is kept of it.
    pub(in super::super) fn release(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.handles = stream.handles.saturating_sub(1);
        if stream.handles > 0 {
            return;
        }
        if !stream.is_closed() {
            let is_answered = self.peer_is == PeerRole::Client && stream.sent_end;
            self.reset(key, if is_answered { ErrorCode::NO_ERROR } else { ErrorCode::CANCEL });
        }
        self.discard_unread(key);
        self.leave_queue(key);
        let is_ours = self.streams.get(key).is_some_and(|stream| stream.was_reset_by_us());
        if is_ours {
            self.streams.remove_reset(key);
        } else {
            self.streams.remove(key);
        }
        self.freed.notify_one();
        if self.streams.is_empty() {
            // It may be the end of the connection.
            self.wake_driver();
        }
    }
}

fn put_headers(encoder: &mut HpackEncoder, out: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers {
        encoder.field(out, name.as_str().as_bytes(), value.as_bytes(), value.is_sensitive());
    }
}

/// Takes a block that is too large for one frame apart. It begins behind room for the head of a frame at `start`.
#[cold]
fn split_block(out: &mut BytesMut, start: usize, id: u32, flags: u8, frame_bytes_max: usize) {
    let block = out.split_off(start + FRAME_HEAD_BYTES);
    out.truncate(start);
    let mut pieces = block.chunks(frame_bytes_max).peekable();
    let mut first = Some((HEADERS, flags));
    while let Some(piece) = pieces.next() {
        let (kind, flags) = first.take().unwrap_or((CONTINUATION, 0));
        let ends = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        put(out, kind, flags | ends, id, piece);
    }
}

//! What each side may send when: windows that the peer widens, those that we give back, and the queue of streams
//! that wait for what all of them share.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::super::flow::FIRST_WINDOW_BYTES;
use super::super::frame::{self, ErrorCode, WINDOW_UPDATE};
use super::super::stream::{RecvState, StreamError};
use super::super::streams::StreamKey;
use super::{Fatal, Multiplexer};

/// Bytes that one stream sends before the others get their turn.
pub(in super::super) const TURN_BYTES: usize = 64 * 1024;
/// What a stream that waits for the outbox is taken to want.
const SPACE_SHARE_BYTES: usize = 16 * 1024;

impl Multiplexer {
    /// What a new stream lets the peer send. It may not know our settings yet.
    pub(super) fn recv_stream_window(&self) -> u32 {
        self.bounds.stream_window.max(if self.has_settings { 0 } else { FIRST_WINDOW_BYTES })
    }

    /// Takes data that has come. Its window is given back by whoever reads it.
    pub(in super::super) fn take_data(&mut self, key: StreamKey) -> Option<Bytes> {
        let stream = self.streams.get_mut(key)?;
        let data = stream.data.pop_front()?;
        self.small_frames.forget(data.len());
        Some(data)
    }

    /// So many bytes of data have found their reader, or are nobody's.
    pub(in super::super) fn give_back(&mut self, key: StreamKey, len: usize) {
        if len == 0 {
            return;
        }
        if let Some(stream) = self.streams.get_mut(key)
            && stream.recv == RecvState::Streaming
            && stream.error.is_none()
            && let Some(by) = stream.recv_window.give_back(len)
        {
            // No answer: portions bound them, and two peers that wait for each other to read would wait for ever.
            self.outbox.put(|out| frame::put(out, WINDOW_UPDATE, 0, key.id, &by.to_be_bytes()));
            self.wake_driver();
        }
        self.give_back_connection(len);
    }

    /// As `give_back`, and they are not unread any more.
    pub(in super::super) fn note_read(&mut self, key: StreamKey, len: usize) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.unread = stream.unread.saturating_sub(len);
        }
        self.give_back(key, len);
    }

    pub(super) fn give_back_connection(&mut self, len: usize) {
        if self.loss.is_none()
            && let Some(by) = self.recv_window.give_back(len)
        {
            self.outbox.put(|out| frame::put(out, WINDOW_UPDATE, 0, 0, &by.to_be_bytes()));
            self.wake_driver();
        }
    }

    /// Nobody reads what comes on the stream any more.
    pub(in super::super) fn stop_reading(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.is_discarding = true;
            self.discard_unread(key);
        }
    }

    /// What has come and was not read is for nobody; others need the window.
    pub(super) fn discard_unread(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (unread, data) = (std::mem::take(&mut stream.unread), std::mem::take(&mut stream.data));
        stream.trailers = None;
        for piece in &data {
            self.small_frames.forget(piece.len());
        }
        self.give_back_connection(unread);
    }

    pub(super) fn widen_connection(&mut self, by: u32) -> Result<(), Fatal> {
        if by == 0 {
            return Err(Fatal::Violation(ErrorCode::PROTOCOL_ERROR, "window widened by nothing"));
        }
        if self.outbox.window.shift(i64::from(by)).is_err() {
            return Err(Fatal::Violation(
                ErrorCode::FLOW_CONTROL_ERROR,
                "window of the connection too large",
            ));
        }
        Ok(())
    }

    pub(super) fn widen_stream(&mut self, key: StreamKey, by: u32) -> Result<(), Fatal> {
        let Some(stream) = self.streams.get_mut(key).filter(|stream| !stream.is_closed()) else {
            return Ok(());
        };
        let code = match stream.send_window.shift(i64::from(by)) {
            Ok(()) if by > 0 => {
                stream.wake_writer();
                return Ok(());
            }
            Ok(()) => ErrorCode::PROTOCOL_ERROR,
            Err(_) => ErrorCode::FLOW_CONTROL_ERROR,
        };
        self.fail_stream(key, code, StreamError::Violated("window of the stream widened wrongly"))
    }

    /// The peer gives each stream so much more or less.
    pub(super) fn shift_windows(&mut self, by: i64) -> Result<(), Fatal> {
        if by == 0 {
            return Ok(());
        }
        for stream in self.streams.iter_mut().filter(|stream| !stream.is_closed()) {
            if stream.send_window.shift(by).is_err() {
                return Err(Fatal::Violation(ErrorCode::FLOW_CONTROL_ERROR, "window of a stream too large"));
            }
            if by > 0 {
                stream.wake_writer();
            }
        }
        Ok(())
    }

    /// Bytes that may be sent on the stream now.
    pub(in super::super) fn room(&self, key: StreamKey) -> usize {
        let stream = self.streams.get(key).filter(|stream| stream.error.is_none());
        stream.map_or(0, |stream| stream.send_window.room().min(self.outbox.room()))
    }

    /// Ready with how many of `wanted` bytes may be sent on the stream now, or when it is broken.
    pub(in super::super) fn poll_room(
        &mut self,
        key: StreamKey,
        cx: &Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, ()>> {
        let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.error.is_none()) else {
            return Poll::Ready(Err(()));
        };
        let room = stream.send_window.room().min(wanted);
        if room == 0 {
            stream.listen_as_writer(cx);
            return Poll::Pending;
        }
        if self.outbox.room() == 0 {
            self.wait_in_queue(key, cx, wanted.min(TURN_BYTES));
            return Poll::Pending;
        }
        Poll::Ready(Ok(room.min(self.outbox.room())))
    }

    /// Ready when the outbox takes something, whatever the windows are.
    pub(in super::super) fn poll_space(&mut self, key: StreamKey, cx: &Context<'_>) -> Poll<()> {
        if !self.outbox.is_full() {
            return Poll::Ready(());
        }
        self.wait_in_queue(key, cx, 0);
        Poll::Pending
    }

    /// The stream has sent enough for now. Pending: others are waiting, and it goes behind them.
    pub(in super::super) fn poll_next_turn(&mut self, key: StreamKey, cx: &Context<'_>) -> Poll<()> {
        if self.for_window.is_empty() && self.for_space.is_empty() {
            return Poll::Ready(());
        }
        self.wait_in_queue(key, cx, 0);
        self.wake_driver();
        Poll::Pending
    }

    /// Waits for room for `wanted` bytes, or if that is nothing, for the outbox alone.
    fn wait_in_queue(&mut self, key: StreamKey, cx: &Context<'_>, wanted: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.listen_as_writer(cx);
        if stream.is_queued && (stream.wanted > 0) != (wanted > 0) {
            stream.is_queued = false;
            self.for_window.retain(|queued| *queued != key);
            self.for_space.retain(|queued| *queued != key);
        }
        stream.wanted = wanted;
        if !stream.is_queued {
            stream.is_queued = true;
            let queue = if wanted > 0 { &mut self.for_window } else { &mut self.for_space };
            queue.push_back(key);
        }
    }

    /// Wakes as many of those that wait as there is room for, each at its place in the queue. Returns whether more
    /// could go: one that does not come for its share leaves it to those that are woken the next time.
    pub(in super::super) fn grant(&mut self) -> bool {
        if self.for_window.is_empty() && self.for_space.is_empty() {
            return false;
        }
        let (mut window, mut space) = (self.outbox.room(), self.outbox.space());
        while window > 0
            && let Some(key) = self.for_window.pop_front()
        {
            let share = self.wake_queued(key);
            (window, space) = (window.saturating_sub(share), space.saturating_sub(share));
        }
        while space > 0
            && let Some(key) = self.for_space.pop_front()
        {
            space = space.saturating_sub(self.wake_queued(key).max(SPACE_SHARE_BYTES));
        }
        let is_open = self.outbox.room() > 0;
        (is_open && !self.for_window.is_empty()) || (!self.outbox.is_full() && !self.for_space.is_empty())
    }

    /// Wakes a stream that was in the queue; returns what it wants.
    fn wake_queued(&mut self, key: StreamKey) -> usize {
        let Some(stream) = self.streams.get_mut(key) else { return 0 };
        stream.is_queued = false;
        stream.wake_writer();
        stream.wanted
    }

    pub(super) fn leave_queue(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key)
            && stream.is_queued
        {
            stream.is_queued = false;
            self.for_window.retain(|queued| *queued != key);
            self.for_space.retain(|queued| *queued != key);
        }
        if !self.for_window.is_empty() || !self.for_space.is_empty() {
            // It may have been woken for room that it does not take.
            self.wake_driver();
        }
    }
}

//! The peer's frames: each is counted, checked, and changes its stream or the connection.
//!
//! Data goes on as it comes, however long its frame is; any other frame waits until all of it is there.

use bytes::{Buf, Bytes, BytesMut};
use http::Request;

use super::super::frame::{
    self, ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ErrorCode, FRAME_HEAD_BYTES, FrameHead, GOAWAY,
    HEADERS, PADDED, PING, PRIORITY, PRIORITY_BYTES, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::super::stream::{RecvState, StreamError};
use super::super::streams::{Known, StreamKey};
use super::{FAREWELL_PING, Farewell, Fatal, Multiplexer, PeerRole};
use crate::{Flood, HTTP2_PREFACE};

/// Bytes of data that are copied out of what was read; more share its memory, which then stays as long as they do.
const COPIED_BYTES_MAX: usize = 8 * 1024;
/// Bytes of data that go on before all of their frame is there: each piece that nobody reads costs beside its bytes.
const PIECE_BYTES_MIN: usize = 1024;
/// How often larger than what we take a head may be. Larger: the connection is cut.
pub(super) const HEAD_ABUSE_FACTOR: usize = 4;

/// A request that has come.
pub(in super::super) struct Arrival {
    pub(in super::super) key: StreamKey,
    pub(in super::super) request: Request<()>,
}

/// What is known of the frame at hand.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Bytes of the preface that are still to come.
    preface_left: usize,
    /// Its head, when the rest has not come yet.
    head: Option<FrameHead>,
    /// Of the data at hand.
    data: Option<DataLeft>,
    /// Bytes to pass over.
    skip: usize,
    /// The stream whose data end with the frame at hand, once all of it has come, padding too.
    ending: Option<StreamKey>,
    /// A block of fields of which frames are still to come.
    block: Option<OpenBlock>,
}

/// The rest of a frame of data.
#[derive(Clone, Copy, Debug)]
struct DataLeft {
    key: StreamKey,
    left: usize,
}

/// The beginning of a block of fields.
#[derive(Debug)]
struct OpenBlock {
    stream: u32,
    is_last: bool,
    bytes: BytesMut,
}

impl Incoming {
    pub(super) fn new(peer_is: PeerRole) -> Self {
        let preface_left = if peer_is == PeerRole::Client { HTTP2_PREFACE.len() } else { 0 };
        Incoming { preface_left, head: None, data: None, skip: 0, ending: None, block: None }
    }

    pub(super) fn is_within_head(&self) -> bool {
        let is_head = |head: FrameHead| matches!(head.kind, HEADERS | CONTINUATION);
        self.block.is_some() || self.preface_left > 0 || self.head.is_some_and(is_head)
    }
}

fn violation<T>(code: ErrorCode, why: &'static str) -> Result<T, Fatal> {
    Err(Fatal::Violation(code, why))
}

impl Multiplexer {
    /// Takes what it can from `input`, until a request has come. `None`: it needs more, or the peer must read first.
    pub(in super::super) fn receive(&mut self, input: &mut BytesMut) -> Result<Option<Arrival>, Fatal> {
        while !self.outbox.is_overflowing() {
            let head = match self.incoming.head {
                Some(head) => head,
                None => {
                    if !self.receive_rest(input)? {
                        return Ok(None);
                    }
                    let Some(head) = FrameHead::read(input) else { return Ok(None) };
                    input.advance(FRAME_HEAD_BYTES);
                    self.begin_frame(head)?;
                    self.incoming.head = Some(head);
                    head
                }
            };
            if head.kind == DATA {
                if !self.begin_data(head, input)? {
                    return Ok(None);
                }
                self.incoming.head = None;
                continue;
            }
            let is_read = matches!(
                head.kind,
                HEADERS | PRIORITY | RST_STREAM | SETTINGS | PING | GOAWAY | WINDOW_UPDATE | CONTINUATION
            );
            if !is_read {
                (self.incoming.skip, self.incoming.head) = (head.len, None);
                continue;
            }
            let Some(payload) = input.get(..head.len) else { return Ok(None) };
            self.incoming.head = None;
            let arrived = self.frame(head, payload)?;
            input.advance(head.len);
            if arrived.is_some() {
                return Ok(arrived);
            }
        }
        Ok(None)
    }

    /// Bytes that are needed for the frame at hand.
    pub(in super::super) fn needed(&self) -> usize {
        self.incoming.head.map_or(FRAME_HEAD_BYTES, |head| head.len)
    }

    /// Whether the peer ended in the middle of something.
    pub(in super::super) fn is_within_frame(&self) -> bool {
        let incoming = &self.incoming;
        incoming.head.is_some() || incoming.data.is_some() || incoming.skip > 0 || incoming.block.is_some()
    }

    /// Takes the rest of what was begun. Returns whether a frame comes next.
    fn receive_rest(&mut self, input: &mut BytesMut) -> Result<bool, Fatal> {
        let incoming = &mut self.incoming;
        if incoming.preface_left > 0 {
            let len = incoming.preface_left.min(input.len());
            let expected =
                HTTP2_PREFACE.get(HTTP2_PREFACE.len() - incoming.preface_left..).unwrap_or_default();
            if expected.get(..len) != input.get(..len) {
                return violation(ErrorCode::PROTOCOL_ERROR, "no preface");
            }
            input.advance(len);
            incoming.preface_left -= len;
        }
        if let Some(mut data) = incoming.data.take() {
            let len = data.left.min(input.len());
            if len < data.left && len < PIECE_BYTES_MIN {
                incoming.data = Some(data);
                return Ok(false);
            }
            data.left -= len;
            if data.left > 0 {
                incoming.data = Some(data);
            }
            self.data_piece(data.key, input, len)?;
        }
        let incoming = &mut self.incoming;
        let len = incoming.skip.min(input.len());
        input.advance(len);
        incoming.skip -= len;
        Ok(self.incoming.preface_left == 0 && self.end_of_frame())
    }

    /// Whether all of a frame of data has come; what ends with it, ends.
    fn end_of_frame(&mut self) -> bool {
        let is_whole = self.incoming.data.is_none() && self.incoming.skip == 0;
        if is_whole && let Some(key) = self.incoming.ending.take() {
            self.end_of_data(key);
        }
        is_whole
    }

    /// What is the same for all frames.
    fn begin_frame(&mut self, head: FrameHead) -> Result<(), Fatal> {
        if let Some(flood) = self.floods.count(head, self.outbox.written()) {
            return Err(Fatal::Flood(flood));
        }
        if head.len > self.bounds.frame_bytes_max {
            return violation(ErrorCode::FRAME_SIZE_ERROR, "frame too large");
        }
        let is_expected = match &self.incoming.block {
            Some(block) => head.kind == CONTINUATION && head.stream == block.stream,
            None => head.kind != CONTINUATION && (self.has_settings || head.kind == SETTINGS),
        };
        if !is_expected || head.kind == PUSH_PROMISE {
            return violation(ErrorCode::PROTOCOL_ERROR, "frame where it must not be");
        }
        let is_of_connection = match head.kind {
            SETTINGS | PING | GOAWAY => true,
            DATA | HEADERS | PRIORITY | RST_STREAM | CONTINUATION => false,
            _ => return Ok(()),
        };
        if is_of_connection != (head.stream == 0) {
            return violation(ErrorCode::PROTOCOL_ERROR, "frame on a stream of another kind");
        }
        if head.kind == PRIORITY && head.len != PRIORITY_BYTES {
            return violation(ErrorCode::FRAME_SIZE_ERROR, "PRIORITY of a wrong size");
        }
        Ok(())
    }

    /// A frame that is there as a whole.
    fn frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Arrival>, Fatal> {
        match head.kind {
            HEADERS | PRIORITY if frame::depends_on_itself(head, payload) => {
                return violation(ErrorCode::PROTOCOL_ERROR, "stream that depends on itself");
            }
            PRIORITY => {}
            HEADERS => return self.headers(head, payload),
            CONTINUATION => return self.continuation(head, payload),
            RST_STREAM => self.rst_stream(head, payload)?,
            SETTINGS => self.settings(head, payload)?,
            PING => self.pinged(head, payload)?,
            GOAWAY => self.goaway(payload)?,
            _ => self.window_update(head, payload)?,
        }
        Ok(None)
    }

    /// A frame of data begins. Returns false when its first byte is needed and not there.
    fn begin_data(&mut self, head: FrameHead, input: &mut BytesMut) -> Result<bool, Fatal> {
        let mut overhead = 0;
        if head.has(PADDED) && head.len > 0 {
            let Some(padding) = input.first() else { return Ok(false) };
            overhead = 1 + usize::from(*padding);
            input.advance(1);
        }
        let is_padded_wrongly = head.has(PADDED) && head.len == 0;
        let Some(len) = head.len.checked_sub(overhead).filter(|_| !is_padded_wrongly) else {
            return violation(ErrorCode::PROTOCOL_ERROR, "more padding than there is frame");
        };
        let is_last = head.has(END_STREAM);
        if len == 0 && overhead > 0 && !is_last && self.floods.is_one_empty_too_many() {
            return Err(Fatal::Flood(Flood::EmptyFrames));
        }
        if !self.recv_window.take(head.len) {
            return violation(ErrorCode::FLOW_CONTROL_ERROR, "more data than the connection's window");
        }
        self.incoming.skip = overhead.saturating_sub(1);
        let target = match self.streams.find(head.stream) {
            Known::Open(key) => self.accept_data(key, head.len, len, is_last)?.then_some(key),
            Known::Reset => None,
            Known::No if self.is_idle(head.stream) => {
                return violation(ErrorCode::PROTOCOL_ERROR, "data on a stream that was never opened");
            }
            Known::No => {
                self.reset_unknown(head.stream)?;
                None
            }
        };
        match target {
            Some(key) => {
                self.give_back(key, overhead);
                self.incoming.ending = is_last.then_some(key);
                self.incoming.data = (len > 0).then_some(DataLeft { key, left: len });
                self.end_of_frame();
            }
            None => {
                self.incoming.skip += len;
                self.give_back_connection(head.len);
            }
        }
        Ok(true)
    }

    /// Whether data on a stream is good, of which `len` bytes are no padding, and somebody may want it.
    fn accept_data(
        &mut self,
        key: StreamKey,
        frame_len: usize,
        len: usize,
        is_last: bool,
    ) -> Result<bool, Fatal> {
        let Some(stream) = self.streams.get_mut(key) else { return Ok(false) };
        match &stream.error {
            Some(StreamError::Reset(_)) => return self.reset_unknown(key.id).map(|()| false),
            Some(_) => return Ok(false),
            None => {}
        }
        let fault = match stream.recv {
            RecvState::AwaitingHead => Some((ErrorCode::PROTOCOL_ERROR, "data before the head")),
            RecvState::Ended => Some((ErrorCode::STREAM_CLOSED, "data behind the end")),
            RecvState::Streaming if !stream.recv_window.take(frame_len) => {
                Some((ErrorCode::FLOW_CONTROL_ERROR, "more data than the window"))
            }
            RecvState::Streaming => {
                let len = len as u64;
                match &mut stream.remaining {
                    Some(remaining) if len > *remaining => {
                        Some((ErrorCode::PROTOCOL_ERROR, "more data than was declared"))
                    }
                    Some(remaining) if is_last && len < *remaining => {
                        Some((ErrorCode::PROTOCOL_ERROR, "less data than was declared"))
                    }
                    Some(remaining) => {
                        *remaining -= len;
                        None
                    }
                    None => None,
                }
            }
        };
        let Some((code, why)) = fault else { return Ok(true) };
        self.fail_stream(key, code, StreamError::Violated(why))?;
        Ok(false)
    }

    /// `len` more bytes of data.
    fn data_piece(&mut self, key: StreamKey, input: &mut BytesMut, len: usize) -> Result<(), Fatal> {
        let stream = self.streams.get_mut(key).filter(|stream| stream.error.is_none());
        let Some(stream) = stream else {
            input.advance(len);
            self.give_back_connection(len);
            return Ok(());
        };
        if stream.is_discarding {
            input.advance(len);
            self.give_back_connection(len);
        } else if len > 0 {
            let piece = if len > COPIED_BYTES_MAX {
                input.split_to(len).freeze()
            } else {
                let copy = Bytes::copy_from_slice(input.get(..len).unwrap_or_default());
                input.advance(len);
                copy
            };
            stream.unread += len;
            stream.data.push_back(piece);
            stream.wake_reader();
            if self.small_frames.is_exceeded_by(len) {
                return Err(Fatal::Flood(Flood::EmptyFrames));
            }
        }
        Ok(())
    }

    /// The peer has sent its end.
    pub(super) fn end_of_data(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.error.is_none()) {
            stream.recv = RecvState::Ended;
            stream.wake_reader();
        }
        self.settle(key);
    }

    /// A block of fields, or its beginning.
    fn headers(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Arrival>, Fatal> {
        let Ok(fields) = frame::fields_in(head, payload) else {
            return violation(ErrorCode::PROTOCOL_ERROR, "more padding than there is frame");
        };
        if self.streams.find(head.stream) == Known::No
            && self.is_idle(head.stream)
            && !self.may_open(head.stream)
        {
            return violation(ErrorCode::PROTOCOL_ERROR, "head on a stream that may not be opened so");
        }
        let (block, is_last) = (payload.get(fields).unwrap_or_default(), head.has(END_STREAM));
        if head.has(END_HEADERS) {
            return self.block(head.stream, is_last, block);
        }
        self.incoming.block = Some(OpenBlock { stream: head.stream, is_last, bytes: BytesMut::from(block) });
        Ok(None)
    }

    fn continuation(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Arrival>, Fatal> {
        let Some(mut block) = self.incoming.block.take() else { return Ok(None) };
        if block.bytes.len() + payload.len() > self.bounds.header_bytes_max.saturating_mul(HEAD_ABUSE_FACTOR)
        {
            return Err(Fatal::Flood(Flood::HeaderBytes));
        }
        block.bytes.extend_from_slice(payload);
        if head.has(END_HEADERS) {
            return self.block(block.stream, block.is_last, &block.bytes);
        }
        self.incoming.block = Some(block);
        Ok(None)
    }

    fn rst_stream(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Fatal> {
        let Ok(code) = <[u8; 4]>::try_from(payload) else {
            return violation(ErrorCode::FRAME_SIZE_ERROR, "RST_STREAM of a wrong size");
        };
        match self.streams.find(head.stream) {
            Known::Open(key) => {
                let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
                let is_unseen = self.peer_is == PeerRole::Client && !stream.is_looked_at;
                self.break_off(key, StreamError::Reset(ErrorCode(u32::from_be_bytes(code))));
                if is_unseen {
                    self.taken_back += 1;
                    if self.taken_back > self.bounds.taken_back_max {
                        return Err(Fatal::Flood(Flood::Resets));
                    }
                }
                Ok(())
            }
            Known::No if self.is_idle(head.stream) => {
                violation(ErrorCode::PROTOCOL_ERROR, "RST_STREAM on a stream that was never opened")
            }
            Known::No | Known::Reset => Ok(()),
        }
    }

    fn settings(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Fatal> {
        if head.has(ACK) {
            return match payload {
                [] => Ok(()),
                _ => violation(ErrorCode::FRAME_SIZE_ERROR, "SETTINGS acknowledged with more"),
            };
        }
        let window = self.peer.stream_window;
        if let Err(code) = self.peer.update(payload) {
            return violation(code, "SETTINGS that must not be");
        }
        if let Some(bytes) = self.peer.table_bytes_max {
            self.encoder.set_table_bytes_max(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        match self.peer.streams_max {
            Some(most) => self.max_streams = usize::try_from(most).unwrap_or(usize::MAX),
            None if !self.has_settings => self.max_streams = usize::MAX,
            None => {}
        }
        self.has_settings = true;
        self.shift_windows(i64::from(self.peer.stream_window) - i64::from(window))?;
        self.outbox.answer(|out| frame::put(out, SETTINGS, ACK, 0, &[]));
        self.freed.notify_waiters();
        Ok(())
    }

    fn pinged(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Fatal> {
        if payload.len() != FAREWELL_PING.len() {
            return violation(ErrorCode::FRAME_SIZE_ERROR, "PING of a wrong size");
        }
        if !head.has(ACK) {
            self.outbox.answer(|out| frame::put(out, PING, ACK, 0, payload));
        } else if payload == FAREWELL_PING && self.farewell == Farewell::Announced {
            self.say_end(ErrorCode::NO_ERROR);
        }
        Ok(())
    }

    fn goaway(&mut self, payload: &[u8]) -> Result<(), Fatal> {
        let Some([a, b, c, d, e, f, g, h]) = payload.first_chunk::<8>() else {
            return violation(ErrorCode::FRAME_SIZE_ERROR, "GOAWAY of a wrong size");
        };
        let last = u32::from_be_bytes([*a, *b, *c, *d]) & super::STREAM_ID_MAX;
        self.goaway = Some((last, ErrorCode(u32::from_be_bytes([*e, *f, *g, *h]))));
        if self.peer_is == PeerRole::Server {
            for key in self.streams.above(last) {
                self.break_off(key, StreamError::Unprocessed);
            }
        }
        self.freed.notify_waiters();
        Ok(())
    }

    fn window_update(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Fatal> {
        let Ok(by) = <[u8; 4]>::try_from(payload) else {
            return violation(ErrorCode::FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size");
        };
        let by = u32::from_be_bytes(by) & super::STREAM_ID_MAX;
        if head.stream == 0 {
            return self.widen_connection(by);
        }
        match self.streams.find(head.stream) {
            Known::Open(key) => self.widen_stream(key, by),
            Known::No if self.is_idle(head.stream) => {
                violation(ErrorCode::PROTOCOL_ERROR, "WINDOW_UPDATE on a stream that was never opened")
            }
            Known::No | Known::Reset => Ok(()),
        }
    }

    /// Whether the peer may open a stream of this number, if it is the next.
    fn may_open(&self, id: u32) -> bool {
        self.peer_is == PeerRole::Client && id % 2 == 1
    }

    /// Whether a stream has never been opened.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        match (self.peer_is, id % 2) {
            (PeerRole::Client, 1) => id > self.last_peer_stream,
            (PeerRole::Server, 1) => id >= self.next_stream,
            // Nobody pushes.
            _ => true,
        }
    }
}

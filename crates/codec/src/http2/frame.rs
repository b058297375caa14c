//! Frames of HTTP/2 (RFC 9113 section 4): their nine bytes of head, their kinds and flags, and those we write whole.

use bytes::{BufMut, BytesMut};

use crate::ResetCode;

/// Bytes before each payload.
pub(super) const FRAME_HEAD_BYTES: usize = 9;
/// What a peer takes as payload until its SETTINGS say more, and what none may be set below.
pub(super) const FRAME_BYTES_MIN: usize = 16 * 1024;
/// What none may be set above.
pub(super) const FRAME_BYTES_LIMIT: usize = (1 << 24) - 1;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// Of SETTINGS and PING.
pub(super) const ACK: u8 = 0x1;
/// Of DATA and HEADERS.
pub(super) const END_STREAM: u8 = 0x1;
/// Of HEADERS and CONTINUATION.
pub(super) const END_HEADERS: u8 = 0x4;
/// Of DATA and HEADERS.
pub(super) const PADDED: u8 = 0x8;
/// Of HEADERS.
pub(super) const HAS_PRIORITY: u8 = 0x20;

/// Bytes of a priority, at which nobody looks.
pub(super) const PRIORITY_BYTES: usize = 5;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Bytes of its payload.
    pub(super) len: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    /// Reads one, if all of it is there.
    pub(super) fn read(bytes: &[u8]) -> Option<FrameHead> {
        let [high, middle, low, kind, flags, a, b, c, d] = *bytes.first_chunk::<FRAME_HEAD_BYTES>()?;
        Some(FrameHead {
            len: usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low),
            kind,
            flags,
            stream: u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff,
        })
    }

    pub(super) fn bytes(self) -> [u8; FRAME_HEAD_BYTES] {
        debug_assert!(self.len <= FRAME_BYTES_LIMIT, "payload of {} bytes", self.len);
        let [_, high, middle, low] = (self.len as u32).to_be_bytes();
        let [a, b, c, d] = self.stream.to_be_bytes();
        [high, middle, low, self.kind, self.flags, a, b, c, d]
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A payload that is shorter than its padding, or its own parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPadding;

/// What of the payload of HEADERS is fields: where they begin, and how many bytes they are.
pub(super) fn fields_in(head: FrameHead, payload: &[u8]) -> Result<std::ops::Range<usize>, BadPadding> {
    let (mut start, mut end) = (0, payload.len());
    if head.has(PADDED) {
        let padding = usize::from(*payload.first().ok_or(BadPadding)?);
        end = end.checked_sub(padding).ok_or(BadPadding)?;
        start += 1;
    }
    if head.has(HAS_PRIORITY) {
        start += PRIORITY_BYTES;
    }
    if start > end { Err(BadPadding) } else { Ok(start..end) }
}

/// Whether the stream of HEADERS or PRIORITY depends on itself, which nothing can (RFC 7540 section 5.3.1).
pub(super) fn depends_on_itself(head: FrameHead, payload: &[u8]) -> bool {
    let start = match head.kind {
        PRIORITY => 0,
        HEADERS if head.has(HAS_PRIORITY) => usize::from(head.has(PADDED)),
        _ => return false,
    };
    let on = payload.get(start..).and_then(<[u8]>::first_chunk::<4>);
    on.is_some_and(|on| u32::from_be_bytes(*on) & (u32::MAX >> 1) == head.stream)
}

/// Writes a frame of control, whose payload is short.
pub(super) fn put(out: &mut BytesMut, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.reserve(FRAME_HEAD_BYTES + payload.len());
    out.put_slice(&FrameHead { len: payload.len(), kind, flags, stream }.bytes());
    out.put_slice(payload);
}

/// GOAWAY without debug data.
pub(super) fn put_goaway(out: &mut BytesMut, last_stream: u32, code: ErrorCode) {
    let [a, b, c, d] = last_stream.to_be_bytes();
    let [e, f, g, h] = code.0.to_be_bytes();
    put(out, GOAWAY, 0, 0, &[a, b, c, d, e, f, g, h]);
}

/// Why a stream or a connection ended (RFC 9113 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ErrorCode(pub(super) u32);

impl ErrorCode {
    pub(super) const NO_ERROR: ErrorCode = ErrorCode(0);
    pub(super) const PROTOCOL_ERROR: ErrorCode = ErrorCode(1);
    pub(super) const INTERNAL_ERROR: ErrorCode = ErrorCode(2);
    pub(super) const FLOW_CONTROL_ERROR: ErrorCode = ErrorCode(3);
    pub(super) const STREAM_CLOSED: ErrorCode = ErrorCode(5);
    pub(super) const FRAME_SIZE_ERROR: ErrorCode = ErrorCode(6);
    pub(super) const REFUSED_STREAM: ErrorCode = ErrorCode(7);
    pub(super) const CANCEL: ErrorCode = ErrorCode(8);
    pub(super) const COMPRESSION_ERROR: ErrorCode = ErrorCode(9);
    pub(super) const ENHANCE_YOUR_CALM: ErrorCode = ErrorCode(11);
}

impl From<ResetCode> for ErrorCode {
    fn from(code: ResetCode) -> Self {
        match code {
            ResetCode::RefusedStream => ErrorCode::REFUSED_STREAM,
            ResetCode::Cancel => ErrorCode::CANCEL,
            ResetCode::InternalError => ErrorCode::INTERNAL_ERROR,
        }
    }
}

impl From<ErrorCode> for ResetCode {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::REFUSED_STREAM => ResetCode::RefusedStream,
            ErrorCode::CANCEL | ErrorCode::NO_ERROR => ResetCode::Cancel,
            _ => ResetCode::InternalError,
        }
    }
}

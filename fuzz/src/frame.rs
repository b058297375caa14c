//! Frames of HTTP/2 (RFC 9113 section 4), written and taken apart without a look at what they mean.

/// Bytes before each payload.
pub(crate) const HEAD_BYTES: usize = 9;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Of SETTINGS.
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
/// Of HEADERS.
pub(crate) const HAS_PRIORITY: u8 = 0x20;

/// A frame of which the head is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: &'a [u8],
    /// All of the payload is there.
    pub(crate) is_whole: bool,
}

impl Frame<'_> {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// All frames in `bytes`, one after the other.
pub(crate) fn frames(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (head, behind) = rest.split_first_chunk::<HEAD_BYTES>()?;
        let len = payload_bytes(head);
        let (payload, next) = behind.split_at(len.min(behind.len()));
        rest = next;
        let [.., kind, flags, a, b, c, d] = *head;
        let is_whole = payload.len() == len;
        Some(Frame { kind, flags, stream: stream_number([a, b, c, d]), payload, is_whole })
    })
}

/// How many bytes follow a head.
pub(crate) fn payload_bytes(head: &[u8; HEAD_BYTES]) -> usize {
    let [high, middle, low, ..] = *head;
    u32::from_be_bytes([0, high, middle, low]) as usize
}

/// Without the bit in front, which means something else.
pub(crate) fn stream_number(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}

/// Writes a frame.
pub(crate) fn put(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let len = (payload.len() as u32).to_be_bytes();
    bytes.extend_from_slice(&len[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

//! SETTINGS (RFC 9113 section 6.5): what the peer's say, and ours.

use bytes::BytesMut;

use super::flow::{FIRST_WINDOW_BYTES, WINDOW_BYTES_MAX};
use super::frame::{self, ErrorCode, FRAME_BYTES_LIMIT, FRAME_BYTES_MIN};

/// A setting: its identifier and its value.
pub(super) const SETTING_BYTES: usize = 6;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
/// RFC 8441 section 3.
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// What the peer wants, as far as it matters to us.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerSettings {
    /// Of the window of each stream.
    pub(super) stream_window: u32,
    /// Bytes of a frame's payload.
    pub(super) frame_bytes_max: usize,
    /// Bytes of the table with which we may encode; said anew only when it changes.
    pub(super) table_bytes_max: Option<u32>,
    /// Streams that we may open at once; `None`: as many as we like, or nothing was said.
    pub(super) streams_max: Option<u32>,
    /// Whether extended CONNECT may be sent.
    pub(super) takes_protocol: bool,
}

impl PeerSettings {
    /// Until its first SETTINGS.
    pub(super) fn first() -> Self {
        PeerSettings {
            stream_window: FIRST_WINDOW_BYTES,
            frame_bytes_max: FRAME_BYTES_MIN,
            table_bytes_max: None,
            streams_max: None,
            takes_protocol: false,
        }
    }

    /// Takes over what a frame says.
    pub(super) fn update(&mut self, payload: &[u8]) -> Result<(), ErrorCode> {
        let (settings, rest) = payload.as_chunks::<SETTING_BYTES>();
        if !rest.is_empty() {
            return Err(ErrorCode::FRAME_SIZE_ERROR);
        }
        self.table_bytes_max = None;
        for [high, low, a, b, c, d] in settings {
            let value = u32::from_be_bytes([*a, *b, *c, *d]);
            match u16::from_be_bytes([*high, *low]) {
                HEADER_TABLE_SIZE => self.table_bytes_max = Some(value),
                ENABLE_PUSH | ENABLE_CONNECT_PROTOCOL if value > 1 => return Err(ErrorCode::PROTOCOL_ERROR),
                MAX_CONCURRENT_STREAMS => self.streams_max = Some(value),
                INITIAL_WINDOW_SIZE if value > WINDOW_BYTES_MAX => {
                    return Err(ErrorCode::FLOW_CONTROL_ERROR);
                }
                INITIAL_WINDOW_SIZE => self.stream_window = value,
                MAX_FRAME_SIZE => {
                    let bytes = usize::try_from(value).unwrap_or(usize::MAX);
                    if !(FRAME_BYTES_MIN..=FRAME_BYTES_LIMIT).contains(&bytes) {
                        return Err(ErrorCode::PROTOCOL_ERROR);
                    }
                    self.frame_bytes_max = bytes;
                }
                // Once said it stays so (RFC 8441 section 3).
                ENABLE_CONNECT_PROTOCOL if value == 0 && self.takes_protocol => {
                    return Err(ErrorCode::PROTOCOL_ERROR);
                }
                ENABLE_CONNECT_PROTOCOL => self.takes_protocol = value == 1,
                // Whoever sends more than the peer takes finds out by its answer.
                _ => {}
            }
        }
        Ok(())
    }
}

/// What we want.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnSettings {
    pub(super) stream_window: u32,
    pub(super) frame_bytes_max: u32,
    pub(super) header_bytes_max: u32,
    /// Streams that the peer may open; `None`: it is a server, which opens none.
    pub(super) streams_max: Option<u32>,
    /// Whether the peer may send extended CONNECT.
    pub(super) takes_protocol: bool,
}

impl OwnSettings {
    pub(super) fn write(self, out: &mut BytesMut) {
        let streams = match self.streams_max {
            Some(streams) => (MAX_CONCURRENT_STREAMS, streams),
            None => (ENABLE_PUSH, 0),
        };
        let settings = [
            streams,
            (INITIAL_WINDOW_SIZE, self.stream_window),
            (MAX_FRAME_SIZE, self.frame_bytes_max),
            (MAX_HEADER_LIST_SIZE, self.header_bytes_max),
        ];
        let connect = self.takes_protocol.then_some((ENABLE_CONNECT_PROTOCOL, 1));
        let mut payload = [0; 5 * SETTING_BYTES];
        let places = payload.chunks_exact_mut(SETTING_BYTES);
        for (at, (name, value)) in places.zip(settings.into_iter().chain(connect)) {
            at[..2].copy_from_slice(&name.to_be_bytes());
            at[2..].copy_from_slice(&value.to_be_bytes());
        }
        let len = if connect.is_some() { payload.len() } else { payload.len() - SETTING_BYTES };
        frame::put(out, frame::SETTINGS, 0, 0, payload.get(..len).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;

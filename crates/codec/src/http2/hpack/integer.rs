//! Numbers in HPACK (RFC 7541 section 5.1): some bits of a first byte, and seven of each that follows.

use super::error::HpackError;
use bytes::{BufMut, BytesMut};

/// Bits that may follow the first byte's: enough for 256 MB, which no length here is.
const SHIFT_MAX: u32 = 21;

/// Writes `value` in the last `prefix` bits of a byte that begins with `flags`, and in those that follow.
pub(super) fn encode(out: &mut BytesMut, flags: u8, prefix: u32, value: usize) {
    debug_assert!((1..8).contains(&prefix), "prefix of {prefix} bits");
    let full = (1_usize << prefix) - 1;
    if value < full {
        out.put_u8(flags | value as u8);
        return;
    }
    out.put_u8(flags | full as u8);
    let mut rest = value - full;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// Takes a number off the front of `block`; it begins in the last `prefix` bits of the first byte.
pub(super) fn decode(block: &mut &[u8], prefix: u32) -> Result<usize, HpackError> {
    debug_assert!((1..8).contains(&prefix), "prefix of {prefix} bits");
    let (&first, mut rest) = block.split_first().ok_or(HpackError::Truncated)?;
    let full = (1_usize << prefix) - 1;
    let mut value = usize::from(first) & full;
    if value == full {
        let mut shift = 0;
        loop {
            let (&byte, behind) = rest.split_first().ok_or(HpackError::Truncated)?;
            rest = behind;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > SHIFT_MAX {
                return Err(HpackError::NumberTooLarge);
            }
        }
    }
    *block = rest;
    Ok(value)
}

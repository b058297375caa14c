//! The code of strings (RFC 7541 section 5.2 and appendix B). It is canonical: the lengths of the codes say all, and
//! all tables here are made of them when this is compiled.

use super::error::HpackError;
use bytes::{BufMut, BytesMut};

/// Bits of the code of each byte, and of the end of a string, which is never sent.
const BITS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];
/// Bits of the longest code.
const BITS_MAX: u32 = 30;
/// Bits that are looked up at once: all letters, digits and what paths are made of are no longer.
const QUICK_BITS: u32 = 10;
/// Bits of the least byte that these can be: bounds how long a string can become.
const BITS_MIN: usize = 5;

/// What each byte is sent as.
static CODES: [u32; 256] = codes();
/// For all that the next `QUICK_BITS` bits can be: how many of them are a code, above it the byte; 0: it is longer.
static QUICK: [u16; 1 << QUICK_BITS] = quick();
/// For each number of bits: the first code that is longer, aligned to the left, and where in `BY_CODE` the codes of
/// this length would begin if they began at zero.
static LONG: [(u32, u32); BITS_MAX as usize + 1] = long();
/// Bytes in the order of their codes.
static BY_CODE: [u8; 256] = by_code();

const fn codes() -> [u32; 256] {
    let mut codes = [0; 256];
    let (mut next, mut bits) = (0_u32, 0);
    while bits <= BITS_MAX as u8 {
        let mut byte = 0;
        while byte < 256 {
            if BITS[byte] == bits {
                codes[byte] = next;
                next += 1;
            }
            byte += 1;
        }
        bits += 1;
        next <<= 1;
    }
    codes
}

const fn quick() -> [u16; 1 << QUICK_BITS] {
    let mut quick = [0; 1 << QUICK_BITS];
    let codes = codes();
    let mut byte = 0;
    while byte < 256 {
        let bits = BITS[byte] as u32;
        if bits <= QUICK_BITS {
            let mut at = codes[byte] << (QUICK_BITS - bits);
            let end = at + (1 << (QUICK_BITS - bits));
            while at < end {
                quick[at as usize] = (byte as u16) << 8 | bits as u16;
                at += 1;
            }
        }
        byte += 1;
    }
    quick
}

const fn long() -> [(u32, u32); BITS_MAX as usize + 1] {
    let mut long = [(0, 0); BITS_MAX as usize + 1];
    let (mut next, mut before, mut bits) = (0_u32, 0_u32, 0);
    while bits <= BITS_MAX {
        let first = next;
        let mut byte = 0;
        while byte < 256 {
            if BITS[byte] as u32 == bits {
                next += 1;
            }
            byte += 1;
        }
        let end = if bits == 0 { 0 } else { next << (32 - bits) };
        long[bits as usize] = (end, before.wrapping_sub(first));
        before += next - first;
        next <<= 1;
        bits += 1;
    }
    long
}

const fn by_code() -> [u8; 256] {
    let mut sorted = [0; 256];
    let (mut at, mut bits) = (0, 0);
    while bits <= BITS_MAX as u8 {
        let mut byte = 0;
        while byte < 256 {
            if BITS[byte] == bits {
                sorted[at] = byte as u8;
                at += 1;
            }
            byte += 1;
        }
        bits += 1;
    }
    sorted
}

/// How many bytes `text` is when it is coded.
pub(super) fn coded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(BITS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

/// Writes `text` coded.
pub(super) fn encode(text: &[u8], out: &mut BytesMut) {
    // The last `bits` bits of `window` are not written yet.
    let (mut window, mut bits) = (0_u64, 0_u32);
    for byte in text {
        let at = usize::from(*byte);
        window = window << BITS[at] | u64::from(CODES[at]);
        bits += u32::from(BITS[at]);
        if bits >= 32 {
            bits -= 32;
            out.put_u32((window >> bits) as u32);
        }
    }
    while bits >= 8 {
        bits -= 8;
        out.put_u8((window >> bits) as u8);
    }
    if bits > 0 {
        // Padded with ones.
        out.put_u8(((window << (8 - bits)) as u8) | (0xff >> bits));
    }
}

/// Appends to `out` what `coded` stands for.
pub(super) fn decode(coded: &[u8], out: &mut BytesMut) -> Result<(), HpackError> {
    let start = out.len();
    out.resize(start + coded.len() * 8 / BITS_MIN, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let len = decode_into(coded, room)?;
    out.truncate(start + len);
    Ok(())
}

/// Writes what `coded` stands for to `room`, and says how many bytes it is.
fn decode_into(mut coded: &[u8], room: &mut [u8]) -> Result<usize, HpackError> {
    let whole = room.len();
    let mut room = room.iter_mut();
    // The first `bits` bits of `window` are what comes next.
    let (mut window, mut bits) = (0_u64, 0_u32);
    loop {
        if let Some(word) = coded.first_chunk::<8>() {
            window |= u64::from_be_bytes(*word) >> bits;
            let taken = (64 - bits) / 8;
            coded = coded.get(taken as usize..).unwrap_or_default();
            bits += taken * 8;
        } else {
            while bits <= 56
                && let Some((byte, rest)) = coded.split_first()
            {
                window |= u64::from(*byte) << (56 - bits);
                bits += 8;
                coded = rest;
            }
            if bits < BITS_MAX {
                break;
            }
        }
        while bits >= BITS_MAX {
            let (byte, used) = next(window)?;
            *room.next().ok_or(HpackError::BadCode)? = byte;
            window <<= used;
            bits -= used;
        }
    }
    // The end, where a code may be longer than what there is: then that is padding, of ones.
    while bits > 0 {
        if bits < 8 && window >> (64 - bits) == (1 << bits) - 1 {
            break;
        }
        let (byte, used) = next(window)?;
        bits = bits.checked_sub(used).ok_or(HpackError::BadCode)?;
        *room.next().ok_or(HpackError::BadCode)? = byte;
        window <<= used;
    }
    Ok(whole - room.len())
}

/// The byte whose code `window` begins with, and how many bits that is.
#[inline]
fn next(window: u64) -> Result<(u8, u32), HpackError> {
    match QUICK[(window >> (64 - QUICK_BITS)) as usize] {
        0 => next_long((window >> 32) as u32),
        entry => Ok(((entry >> 8) as u8, u32::from(entry & 0xff))),
    }
}

/// As `next`, for codes that are not looked up at once.
#[cold]
fn next_long(window: u32) -> Result<(u8, u32), HpackError> {
    let bits = (QUICK_BITS + 1..=BITS_MAX)
        .find(|bits| window < LONG[*bits as usize].0)
        .ok_or(HpackError::BadCode)?;
    let at = (window >> (32 - bits)).wrapping_add(LONG[bits as usize].1);
    let byte = BY_CODE.get(at as usize).ok_or(HpackError::BadCode)?;
    Ok((*byte, bits))
}

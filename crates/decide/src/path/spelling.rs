//! How bytes of a path are spelled where it is compared: each in one way.

use std::borrow::Cow;

/// RFC 3986 section 2.3: an escape of such a byte means the same as the byte.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Those that stand for themselves in a segment (RFC 3986, `pchar`); all others are spelled `%XX`.
pub(super) fn is_raw(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
        || matches!(byte, b':' | b'@')
}

/// Whether a path has one reading, itself: the common case, in one pass without memory. A `;` may begin
/// parameters, and a `+` may mean a space.
pub(super) fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return false;
    }
    let mut segment = 0; // where the current segment begins
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        if *byte == b'/' {
            if matches!(&bytes[segment + 1..at], b"" | b"." | b"..") {
                return false;
            }
            segment = at;
        } else if !is_raw(*byte) || matches!(byte, b';' | b'+') {
            return false;
        }
    }
    !matches!(&bytes[segment + 1..], b"." | b"..")
}

/// The byte that an escape at the beginning of `bytes` stands for.
pub(super) fn decode_escape(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
    if bytes.first() != Some(&b'%') {
        return None;
    }
    Some((digit(1)? * 16 + digit(2)?) as u8)
}

/// Decodes every escape once; what is none stays. `None`: there was none.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match decode_escape(&bytes[at..]) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    (decoded.len() < bytes.len()).then_some(decoded)
}

/// Spells the bytes of a segment.
pub(super) fn spell_into(path: &mut String, segment: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in segment {
        if is_raw(*byte) {
            path.push(char::from(*byte));
        } else {
            path.push('%');
            path.push(char::from(DIGITS[usize::from(byte >> 4)]));
            path.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// Spells a path, or a part of one, that a user wrote in a rule or policy as the readings of requests are
/// spelled. Slashes and dots stay as they are.
pub fn pattern(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte == b'/' || is_raw(byte)) {
        return Cow::Borrowed(text);
    }
    let mut spelled = String::with_capacity(text.len() + 8);
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match decode_escape(&bytes[at..]) {
            Some(byte) => {
                spell_into(&mut spelled, &[byte]);
                at += 3;
            }
            None if *byte == b'/' => {
                spelled.push('/');
                at += 1;
            }
            None => {
                spell_into(&mut spelled, &[*byte]);
                at += 1;
            }
        }
    }
    Cow::Owned(spelled)
}

//! One canonical path: routing, policy, log and upstream all see this and nothing else (design, D10).
//!
//! What has two readings is refused rather than guessed (bad inputs, section 2.2; the choices are at
//! [`canonical`]). Paths that users write in routes and policies go through [`pattern`], so that both sides
//! are spelled alike.

#[cfg(test)]
mod tests;

use model::Reason;
use std::borrow::Cow;
use std::fmt::Write as _;

/// How a byte of a segment is spelled in a canonical path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// As itself.
    Raw,
    /// As `%XX`.
    Escaped,
    /// Not at all.
    Refused,
}

/// Unreserved bytes and those delimiters that mean nothing in a path are raw. `+` is escaped, because some
/// servers read a raw one as a space and all read `%2B` alike.
fn spelling(byte: u8) -> Spelling {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Spelling::Raw,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b',' | b'=' | b':' | b'@' => Spelling::Raw,
        b'/' | b'\\' | 0..=0x1f | 0x7f => Spelling::Refused,
        _ => Spelling::Escaped,
    }
}

/// Canonicalises the path of a request, given without its query. Idempotent; borrows when there is nothing
/// to do.
///
/// - Escapes are decoded once and written back only where needed, so every byte has one spelling (P02, P06:
///   letters keep their case).
/// - Encoded `/`, `\` and controls, a raw `\`, `#`, `?`, space or control, and broken escapes are refused
///   (P02, P04, P07). So is what would still be an escape after decoding, and bytes that are not UTF-8:
///   a server that decodes twice or leniently would see another path (P03).
/// - Runs of slashes become one (P01), except at the end, where `/admin//` is refused: it is neither clearly
///   `/admin` nor clearly `/admin/`. A single trailing slash stays and makes a different path.
/// - Parameters (`;x=y`) are taken off each segment (P05), before dot segments are removed as in RFC 3986
///   section 5.2.4 (P03: `/..;/` too).
/// - An empty path is `/`; `*` (OPTIONS) stays.
///
/// # Errors
/// [`Reason::BadPath`] for what is refused.
pub fn canonical(raw: &str) -> Result<Cow<'_, str>, Reason> {
    match raw {
        "" => return Ok(Cow::Borrowed("/")),
        "*" => return Ok(Cow::Borrowed("*")),
        _ if is_canonical(raw) => return Ok(Cow::Borrowed(raw)),
        _ => {}
    }
    let segments = raw.strip_prefix('/').ok_or(Reason::BadPath)?.split('/');
    let mut path = String::with_capacity(raw.len() + 8);
    let mut data = Vec::new();
    let mut ends_open = false; // with a slash
    let mut empty_run = 0;
    for segment in segments {
        decode_segment(segment, &mut data)?;
        empty_run = if data.is_empty() { empty_run + 1 } else { 0 };
        ends_open = matches!(data.as_slice(), b"" | b"." | b"..");
        match data.as_slice() {
            b"" | b"." => {}
            b".." => path.truncate(path.rfind('/').unwrap_or(0)),
            data => {
                path.push('/');
                encode_into(&mut path, data);
            }
        }
    }
    if empty_run > 1 && !path.is_empty() {
        return Err(Reason::BadPath);
    }
    if ends_open || path.is_empty() {
        path.push('/');
    }
    Ok(Cow::Owned(path))
}

/// Spells a path, or a part of one, that a user wrote in a route or policy as [`canonical`] would spell
/// its bytes. Slashes and dots stay as they are.
pub fn pattern(text: &str) -> Cow<'_, str> {
    let raw = |byte: u8| byte == b'/' || spelling(byte) == Spelling::Raw;
    if text.bytes().all(raw) {
        return Cow::Borrowed(text);
    }
    let mut spelled = String::with_capacity(text.len() + 8);
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escape = if *byte == b'%' { decode_escape(&bytes[at..]) } else { None };
        match escape {
            Some(byte) => {
                encode_into(&mut spelled, &[byte]);
                at += 3;
            }
            None if *byte == b'/' => {
                spelled.push('/');
                at += 1;
            }
            None => {
                encode_into(&mut spelled, &[*byte]);
                at += 1;
            }
        }
    }
    Cow::Owned(spelled)
}

/// Whether there is nothing to do: the common case, in one pass without memory.
fn is_canonical(raw: &str) -> bool {
    let bytes = raw.as_bytes();
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
        } else if spelling(*byte) != Spelling::Raw {
            return false;
        }
    }
    !matches!(&bytes[segment + 1..], b"." | b"..")
}

/// The bytes that a segment means, without its parameters.
fn decode_segment(segment: &str, data: &mut Vec<u8>) -> Result<(), Reason> {
    data.clear();
    let bytes = segment.as_bytes();
    let mut end = None; // of the data, when parameters follow
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let byte = decode_escape(&bytes[at..]).ok_or(Reason::BadPath)?;
                if spelling(byte) == Spelling::Refused {
                    return Err(Reason::BadPath);
                }
                data.push(byte);
                at += 3;
                continue;
            }
            b';' => end = end.or(Some(data.len())),
            b'#' | b'?' | b' ' => return Err(Reason::BadPath),
            byte if spelling(*byte) == Spelling::Refused => return Err(Reason::BadPath),
            byte => data.push(*byte),
        }
        at += 1;
    }
    let still_escaped =
        data.windows(3).any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit());
    if still_escaped || std::str::from_utf8(data).is_err() {
        return Err(Reason::BadPath);
    }
    data.truncate(end.unwrap_or(data.len()));
    // Cutting at `;` cannot cut a character, but it can leave half of an escaped one before it.
    std::str::from_utf8(data).map(|_| ()).map_err(|_| Reason::BadPath)
}

fn decode_escape(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
    Some((digit(1)? * 16 + digit(2)?) as u8)
}

fn encode_into(path: &mut String, data: &[u8]) {
    for byte in data {
        if spelling(*byte) == Spelling::Raw {
            path.push(*byte as char);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
}

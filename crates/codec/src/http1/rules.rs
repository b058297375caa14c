//! What is allowed within a line: stricter than RFC 9112 wherever leniency would give a message two readings.

use memchr::{memchr, memrchr};

use crate::Violation;

/// Digits of a content length: more would not fit.
const LENGTH_DIGITS_MAX: usize = 18;

/// Name and trimmed value of a field line, as the index of the colon and the bounds of the value.
pub(super) fn split_field(text: &[u8]) -> Result<(usize, usize, usize), Violation> {
    let colon = memchr(b':', text).ok_or(Violation::HeaderLine)?;
    let name = &text[..colon];
    match (name.first(), name.last()) {
        (Some(first), Some(last)) if *first > b' ' && *last > b' ' => {}
        _ => return Err(Violation::HeaderLine),
    }
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let (mut start, mut end) = (colon + 1, text.len());
    while start < end && blank(&text[start]) {
        start += 1;
    }
    while start < end && blank(&text[end - 1]) {
        end -= 1;
    }
    Ok((colon, start, end))
}

/// Whether `name` is `wanted`; a spelling with underscores is one that some backends take for it.
pub(super) fn is_framing_name(name: &[u8], wanted: &[u8]) -> Result<bool, Violation> {
    if name.eq_ignore_ascii_case(wanted) {
        return Ok(true);
    }
    let alike = name
        .iter()
        .zip(wanted)
        .all(|(have, want)| have.eq_ignore_ascii_case(want) || (*want == b'-' && *have == b'_'));
    if alike { Err(Violation::HeaderLine) } else { Ok(false) }
}

/// Whether `name` is a spelling with underscores of a name that frames messages.
pub(crate) fn is_alias_of_framing(name: &[u8]) -> bool {
    let is_alias = |wanted: &[u8]| name.len() == wanted.len() && is_framing_name(name, wanted).is_err();
    is_alias(b"content-length") || is_alias(b"transfer-encoding")
}

/// The value of a `content-length`: digits alone.
pub(super) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > LENGTH_DIGITS_MAX || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// One host with an optional port: no list, no user, no path.
pub(crate) fn is_host(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte))
}

/// A host and a port: what CONNECT asks for has no usual port (RFC 9110 section 9.3.6).
pub(crate) fn is_host_and_port(value: &[u8]) -> bool {
    let Some(colon) = memrchr(b':', value) else { return false };
    let (host, port) = (&value[..colon], &value[colon + 1..]);
    let port = parse_length(port).and_then(|port| u16::try_from(port).ok());
    is_host(host) && port.is_some_and(|port| port > 0)
}

/// Whether one of the members of a list such as `connection` is `wanted`.
pub(super) fn has_member(value: &[u8], wanted: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(wanted))
}

//! One canonical authority for routing, policy, log and upstream, and the two forms of it
//! that decisions compare: with and without its port.

#[cfg(test)]
mod tests;

use model::id::HOSTNAME_BYTES_MAX;
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The one spelling of `host[:port]`: lower case, no trailing dot, IPv6 in its shortest form, no zeros before a
/// port. Idempotent; borrows when there is nothing to do. `None` for what has no reading or several: user
/// information, a bad port, empty labels, more bytes than DNS allows, a scoped IPv6 address, and names that end
/// in a number without being an IPv4 address (`127.1`, `0x7f.1`), which some resolvers take for one.
pub fn authority(text: &str) -> Option<Cow<'_, str>> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            text.split_at(end)
        }
        None => text.split_at(find_colon(text).unwrap_or(text.len())),
    };
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => ipv6(host, v6)?,
        None => name(host)?,
    };
    let port = match port.strip_prefix(':') {
        None => (port.is_empty()).then_some("")?,
        Some(digits) => {
            let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u16>().ok())??;
            (number > 0).then(|| match digits.strip_prefix('0') {
                Some(rest) => rest.trim_start_matches('0'),
                None => digits,
            })?
        }
    };
    let length = host.len() + if port.is_empty() { 0 } else { 1 + port.len() };
    match host {
        Cow::Borrowed(_) if length == text.len() => Some(Cow::Borrowed(text)),
        host if port.is_empty() => Some(host),
        host => Some(Cow::Owned(format!("{host}:{port}"))),
    }
}

fn ipv6<'t>(bracketed: &'t str, text: &str) -> Option<Cow<'t, str>> {
    let canonical = format!("[{}]", text.parse::<Ipv6Addr>().ok()?);
    Some(if canonical == bracketed { Cow::Borrowed(bracketed) } else { Cow::Owned(canonical) })
}

fn name(text: &str) -> Option<Cow<'_, str>> {
    let text = strip_dot(text);
    let mut label = 0; // where the last label begins
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'.' if at == label => return None,
            b'.' => label = at + 1,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {}
            _ => return None,
        }
    }
    let last = &text[label..];
    if last.is_empty() || text.len() > HOSTNAME_BYTES_MAX {
        return None;
    }
    if is_number(last) && text.parse::<Ipv4Addr>().is_err() {
        return None;
    }
    Some(lower(text))
}

/// Whether a lenient reader of addresses takes this label for a number.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    label.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `authority` without port and trailing dot, in lower case. Brackets of an IPv6 literal stay.
pub fn canonical(authority: &str) -> Cow<'_, str> {
    lower(strip_dot(split_port(authority).0))
}

/// `authority` in lower case, its port kept.
pub fn with_port(authority: &str) -> Cow<'_, str> {
    lower(authority)
}

/// Splits `host:port`; the port is `None` when there is none or it is not a number up to 65535.
pub fn split_port(authority: &str) -> (&str, Option<u16>) {
    let colon = match authority.bytes().rposition(|byte| byte == b']') {
        Some(bracket) => find_colon(&authority[bracket..]).map(|at| bracket + at),
        // Several colons without brackets: an IPv6 literal, which has no port.
        None => find_colon(authority).filter(|at| find_colon(&authority[at + 1..]).is_none()),
    };
    match colon {
        Some(at) => (&authority[..at], authority[at + 1..].parse().ok()),
        None => (authority, None),
    }
}

/// Plainer than a search for a character, and so faster in texts as short as these.
fn find_colon(text: &str) -> Option<usize> {
    text.bytes().position(|byte| byte == b':')
}

fn strip_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

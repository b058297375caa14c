//! The two forms of a request's authority that decisions compare: with and without its port.

use std::borrow::Cow;

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
    let colon = match authority.rfind(']') {
        Some(bracket) => authority[bracket..].find(':').map(|at| bracket + at),
        // Several colons without brackets: an IPv6 literal, which has no port.
        None => authority.find(':').filter(|at| authority.rfind(':') == Some(*at)),
    };
    match colon {
        Some(at) => (&authority[..at], authority[at + 1..].parse().ok()),
        None => (authority, None),
    }
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

//! Which headers no configuration may change, and why; which are for one hop alone. The one table of both.

/// Why an edit does not touch a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untouched {
    /// It names the host of the request; `URLRewrite` changes that everywhere it is said.
    Host,
    /// It says where the message ends; who sends the message writes it.
    Framing,
    /// It is for one hop alone (RFC 9110 section 7.6.1), and every proxy is one.
    OneHop,
    /// Proxies tell each other by it who called.
    Protected,
}

/// How headers begin that proxies tell each other something by.
pub const PROTECTED_PREFIX: &str = "x-leno-";

/// Longest name in the table, in bytes.
const NAME_BYTES_MAX: usize = 32;

/// Whether the header is for one hop alone (RFC 9110 section 7.6.1, RFC 9113 section 8.2.2). The name is in lower
/// case. `te` counts too, although `te: trailers` is said again to the next hop.
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection"
            | b"http2-settings"
            | b"keep-alive"
            | b"proxy-connection"
            | b"te"
            | b"transfer-encoding"
            | b"upgrade"
    )
}

/// Why no [`HeaderEdit`](crate::filter::HeaderEdit) touches the header of this name, in any case; `None` for the
/// others. The proxy holds to it, and users are told beforehand.
pub fn untouched(name: &str) -> Option<Untouched> {
    let mut buffer = [0; NAME_BYTES_MAX];
    let lower = buffer.get_mut(..name.len()).map(|lower| {
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        &*lower
    });
    match lower.unwrap_or_default() {
        b"host" => return Some(Untouched::Host),
        b"content-length" | b"transfer-encoding" => return Some(Untouched::Framing),
        b"expect" => return Some(Untouched::OneHop),
        lower if is_hop_by_hop(lower) => return Some(Untouched::OneHop),
        _ => {}
    }
    let is_protected =
        is_alias(name, PROTECTED_PREFIX, false) || is_alias(name, "x-forwarded-client-cert", true);
    is_protected.then_some(Untouched::Protected)
}

/// Whether `name` begins with `known`, or is it as a `whole`, where `_` and `.` stand for `-` too: applications that
/// speak CGI take the three characters for one.
fn is_alias(name: &str, known: &str, whole: bool) -> bool {
    let same = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b) || (b == b'-' && matches!(a, b'_' | b'.'));
    let long_enough = if whole { name.len() == known.len() } else { name.len() >= known.len() };
    long_enough && name.bytes().zip(known.bytes()).all(same)
}

#[cfg(test)]
mod tests;

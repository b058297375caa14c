//! Which headers no configuration may change, and why. The one table of it.

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

/// Why no [`HeaderEdit`](crate::filter::HeaderEdit) touches the header of this name, in any case; `None` for the others. The proxy holds
/// to it, and users are told beforehand.
pub fn untouched(name: &str) -> Option<Untouched> {
    const ONE_HOP: [&str; 7] =
        ["connection", "expect", "http2-settings", "keep-alive", "proxy-connection", "te", "upgrade"];
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is("host") {
        return Some(Untouched::Host);
    }
    if is("content-length") || is("transfer-encoding") {
        return Some(Untouched::Framing);
    }
    if ONE_HOP.iter().any(|known| is(known)) {
        return Some(Untouched::OneHop);
    }
    let is_protected = is_alias(name, "x-leno-", false) || is_alias(name, "x-forwarded-client-cert", true);
    is_protected.then_some(Untouched::Protected)
}

/// Whether `name` begins with `known`, or is it as a `whole`, where `_` and `.` stand for `-` too: applications that
/// speak CGI take the three characters for one.
fn is_alias(name: &str, known: &str, whole: bool) -> bool {
    let same = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b) || (b == b'-' && matches!(a, b'_' | b'.'));
    let long_enough = if whole { name.len() == known.len() } else { name.len() >= known.len() };
    long_enough && name.bytes().zip(known.bytes()).all(same)
}

//! What header names are to proxies: which are for one hop alone, which only proxies may set, which say who called; and
//! what of them no configuration may change, and why. The one table of all.

/// What a header is to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderClass {
    /// It passes.
    EndToEnd,
    /// It is for one hop alone, and every proxy is one: [`is_hop_by_hop`], and `expect` (RFC 9110 section 10.1.1).
    HopByHop,
    /// Proxies tell each other by it who called.
    Protected,
    /// It says who called, and for what, or what proxies are to do: believed from inside, from outside only of proxies
    /// that are trusted.
    Forwarded,
}

/// Why an edit does not touch a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untouched {
    /// It names the host of the request; `URLRewrite` changes that everywhere it is said.
    Host,
    /// It says where the message ends; who sends the message writes it.
    Framing,
    /// [`HeaderClass::HopByHop`].
    OneHop,
    /// [`HeaderClass::Protected`].
    Protected,
}

/// How headers begin that proxies tell each other something by.
pub const PROTECTED_PREFIX: &str = "x-leno-";

/// Bytes of a name that are looked at; no name in the table is as long.
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

/// What the header of this name, in lower case, is to a proxy.
pub fn classify(name: &[u8]) -> HeaderClass {
    match name {
        [b'x', ..] => classify_x(name),
        b"forwarded" => HeaderClass::Forwarded,
        b"expect" => HeaderClass::HopByHop,
        _ if is_hop_by_hop(name) => HeaderClass::HopByHop,
        _ => HeaderClass::EndToEnd,
    }
}

/// Also in the spellings that applications confuse (bad input I04).
fn classify_x(name: &[u8]) -> HeaderClass {
    let starts = |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| is_alias(start, prefix));
    if starts(PROTECTED_PREFIX.as_bytes()) || is_alias(name, b"x-forwarded-client-cert") {
        return HeaderClass::Protected;
    }
    let claims: [&[u8]; 3] = [b"x-real-ip", b"x-original-url", b"x-rewrite-url"];
    // By these an Envoy behind us is told by its own how often and how long it is to try.
    let is_steering = starts(b"x-envoy-");
    if starts(b"x-forwarded-") || is_steering || claims.iter().any(|claim| is_alias(name, claim)) {
        return HeaderClass::Forwarded;
    }
    HeaderClass::EndToEnd
}

/// Whether `name` is `known`, where `_` and `.` stand for `-` too: applications that speak CGI take the three
/// characters for one.
pub fn is_alias(name: &[u8], known: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a == b || (*b == b'-' && matches!(a, b'_' | b'.'));
    name.len() == known.len() && name.iter().zip(known).all(same)
}

/// Why no [`HeaderEdit`](crate::filter::HeaderEdit) touches the header of this name, in any case; `None` for the
/// others. The proxy holds to it, and users are told beforehand.
pub fn untouched(name: &str) -> Option<Untouched> {
    let mut buffer = [0; NAME_BYTES_MAX];
    let lower = &mut buffer[..name.len().min(NAME_BYTES_MAX)];
    lower.copy_from_slice(&name.as_bytes()[..lower.len()]);
    lower.make_ascii_lowercase();
    match &*lower {
        b"host" => Some(Untouched::Host),
        b"content-length" | b"transfer-encoding" => Some(Untouched::Framing),
        lower => match classify(lower) {
            HeaderClass::HopByHop => Some(Untouched::OneHop),
            HeaderClass::Protected => Some(Untouched::Protected),
            // A route may say of its callers what it likes.
            HeaderClass::Forwarded | HeaderClass::EndToEnd => None,
        },
    }
}

#[cfg(test)]
mod tests;

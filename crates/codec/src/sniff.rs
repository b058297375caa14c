//! First bytes of a connection to protocol, without consuming any.

/// What an HTTP/2 client with prior knowledge sends first.
pub const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Longest method that is taken for HTTP; more letters are another protocol.
const METHOD_BYTES_MAX: usize = 24;

/// What the first bytes of a connection look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniff {
    /// Could still become HTTP or TLS.
    NeedMore,
    /// A request line of HTTP/1.
    Http1,
    /// The preface of HTTP/2.
    Http2,
    /// A TLS handshake record.
    Tls,
    /// None of these.
    Opaque,
}

/// Judges the first bytes that a client sent.
pub fn sniff(bytes: &[u8]) -> Sniff {
    let Some(&first) = bytes.first() else { return Sniff::NeedMore };
    if first == 0x16 {
        return match bytes.get(1) {
            None => Sniff::NeedMore,
            Some(3) => Sniff::Tls,
            Some(_) => Sniff::Opaque,
        };
    }
    let preface = bytes.len().min(HTTP2_PREFACE.len());
    if bytes[..preface] == HTTP2_PREFACE[..preface] {
        return if preface == HTTP2_PREFACE.len() { Sniff::Http2 } else { Sniff::NeedMore };
    }
    sniff_request_line(bytes)
}

fn sniff_request_line(bytes: &[u8]) -> Sniff {
    let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    if method == 0 || method > METHOD_BYTES_MAX {
        return Sniff::Opaque;
    }
    let Some(after) = bytes.get(method..).filter(|rest| !rest.is_empty()) else {
        return Sniff::NeedMore;
    };
    if after[0] != b' ' {
        return Sniff::Opaque;
    }
    let target = &after[1..];
    match (&bytes[..method], target.first()) {
        (_, None) => Sniff::NeedMore,
        (_, Some(b'/')) | (b"OPTIONS", Some(b'*')) | (b"CONNECT", Some(_)) => Sniff::Http1,
        _ => sniff_absolute(target),
    }
}

/// `http://` and `https://`: other text protocols also start with an upper-case word and a blank.
fn sniff_absolute(target: &[u8]) -> Sniff {
    for scheme in [b"http://".as_slice(), b"https://"] {
        let len = target.len().min(scheme.len());
        if target[..len].eq_ignore_ascii_case(&scheme[..len]) {
            return if len == scheme.len() { Sniff::Http1 } else { Sniff::NeedMore };
        }
    }
    Sniff::Opaque
}

#[cfg(test)]
mod tests;

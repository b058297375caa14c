//! Fields that must not pass a proxy: those of one hop, and those that only proxies may set.

use http::header::{CONNECTION, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Removes what is meant for this hop alone: `connection` and what it names, `keep-alive`, `proxy-connection`,
/// `transfer-encoding`, `upgrade`, `http2-settings`, and `te` other than
/// `trailers`. An upgrade that shall pass is put back by the caller.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none of these: one lookup each, no allocation.
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            // Naming these would let a client remove what later steps rely on.
            .filter(|name| ![http::header::HOST, http::header::CONTENT_LENGTH, TE, UPGRADE].contains(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE, HTTP2_SETTINGS] {
        headers.remove(name);
    }
    if headers.contains_key(TE) {
        let wants = headers
            .get_all(TE)
            .iter()
            .filter_map(|te| te.to_str().ok())
            .flat_map(|te| te.split(','))
            .any(|te| te.trim().eq_ignore_ascii_case("trailers"));
        headers.remove(TE);
        if wants {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// Removes every field whose name starts with `prefix` (lower case). Returns how many lines went.
pub fn strip_protected(headers: &mut HeaderMap, prefix: &str) -> usize {
    if !headers.keys().any(|name| name.as_str().starts_with(prefix)) {
        return 0;
    }
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(prefix)).cloned().collect();
    let before = headers.len();
    for name in names {
        headers.remove(name);
    }
    before - headers.len()
}

/// Removes from trailers what must never be mistaken for a header: framing, routing, authentication and
/// everything under `prefix`.
pub fn strip_trailers(trailers: &mut HeaderMap, prefix: &str) {
    const FORBIDDEN: [&str; 12] = [
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "x-forwarded-client-cert",
    ];
    for name in FORBIDDEN {
        trailers.remove(name);
    }
    strip_protected(trailers, prefix);
}

/// What a request with `connection: upgrade` asks for, lower case.
pub fn upgrade_token(headers: &HeaderMap) -> Option<String> {
    let asked = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    if !asked {
        return None;
    }
    Some(headers.get(UPGRADE)?.to_str().ok()?.trim().to_ascii_lowercase())
}

/// Whether the message declares trailers or a transfer coding that may bring them.
pub fn announces_trailers(headers: &HeaderMap) -> bool {
    headers.contains_key(TRAILER) || headers.contains_key(TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests;

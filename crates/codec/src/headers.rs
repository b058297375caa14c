//! Fields that must not pass a proxy: those of one hop, and those that trailers must not bring.

use http::header::{self, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE};
use http::{HeaderMap, HeaderValue};

/// Whether the field is for one hop alone ([`model::header::is_hop_by_hop`]).
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    model::header::is_hop_by_hop(name.as_str().as_bytes())
}

/// Whether `connection` says `keep-alive` and nothing else.
pub fn keeps_alive(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter();
    let is_all = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    values.next().is_some_and(is_all) && values.next().is_none()
}

/// Removes what is meant for this hop alone: what [`is_hop_by_hop`] says and what `connection` names, except
/// that `te: trailers` stays. An upgrade that shall pass is put back by the caller.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none, or say what is usual: one pass, no allocation.
    match headers.keys().filter(|name| is_hop_by_hop(name)).count() {
        0 => return,
        1 if keeps_alive(headers) => {
            headers.remove(CONNECTION);
            return;
        }
        _ => {}
    }
    let members = |name: HeaderName| {
        let values = headers.get_all(name).iter();
        values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    };
    // Nearly every message names only these, which mean nothing more or go anyway.
    let is_usual = |name: &[u8]| {
        [&b"keep-alive"[..], b"close", b"upgrade", b"te"].iter().any(|usual| name.eq_ignore_ascii_case(usual))
    };
    let mut doomed: Vec<HeaderName> = members(CONNECTION)
        .filter(|name| !is_usual(name))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        // Naming these would let a client remove what later steps rely on.
        .filter(|name| ![HOST, CONTENT_LENGTH].contains(name))
        .collect();
    doomed.extend(headers.keys().filter(|name| is_hop_by_hop(name)).cloned());
    let wants_trailers = members(TE).any(|te| te.eq_ignore_ascii_case(b"trailers"));
    for name in doomed {
        headers.remove(name);
    }
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes from an interim response what is for one hop, and what says where a body ends: it has none.
pub(crate) fn strip_interim(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(CONTENT_LENGTH);
}

/// Removes from trailers what must never be taken for a header: framing, routing, authentication, how to read
/// the content (RFC 9110 section 6.5.1).
pub fn strip_trailers(trailers: &mut HeaderMap) {
    let doomed: Vec<HeaderName> = trailers.keys().filter(|name| is_for_head(name)).cloned().collect();
    for name in doomed {
        trailers.remove(name);
    }
}

pub(crate) fn is_for_head(name: &HeaderName) -> bool {
    const FOR_HEAD: [HeaderName; 14] = [
        header::AUTHORIZATION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::EXPECT,
        header::HOST,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::SET_COOKIE,
        header::TRAILER,
        header::LOCATION,
        header::WWW_AUTHENTICATE,
    ];
    is_hop_by_hop(name) || FOR_HEAD.contains(name)
}

#[cfg(test)]
mod tests;

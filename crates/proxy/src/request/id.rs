//! `x-request-id`: each request has one, kept from outside where it is usable.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// Longest `x-request-id` kept from outside, in bytes; longer or stranger ones are replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// `x-request-id`, as Envoy and Istio name it.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Sees to it that there is an `x-request-id`, made from `random` where none usable came in.
pub(crate) fn ensure_request_id(headers: &mut HeaderMap, random: impl FnOnce() -> u128) {
    let is_usable = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        !bytes.is_empty() && bytes.len() <= REQUEST_ID_BYTES_MAX && bytes.iter().all(u8::is_ascii_graphic)
    };
    if headers.get(X_REQUEST_ID).is_some_and(is_usable) {
        return;
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&uuid(random()))) {
        headers.insert(X_REQUEST_ID, value);
    }
}

/// A version 4 UUID as text (RFC 9562 section 5.4).
fn uuid(random: u128) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // Where each byte's two digits go.
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    for (byte, place) in bits.to_be_bytes().into_iter().zip(PLACES) {
        text[place] = DIGITS[usize::from(byte >> 4)];
        text[place + 1] = DIGITS[usize::from(byte & 0xf)];
    }
    text
}

//! `x-request-id`: each request has one, kept from outside where it is usable.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use model::client_traffic::RequestIdAction;
use std::cell::RefCell;

/// Longest `x-request-id` kept from outside, in bytes; longer or stranger ones are replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Of an id that is made here.
const ID_BYTES: usize = 36;
/// Ids that share a piece of memory, which is free when the last of them is.
const IDS_PER_PIECE: usize = 64;

/// `x-request-id`, as Envoy and Istio name it.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes them, many in one piece of memory.
#[derive(Default)]
pub(crate) struct RequestIds(RefCell<BytesMut>);

impl RequestIds {
    /// Sees to it that there is an `x-request-id`, made from `random` where none usable came in.
    pub(crate) fn ensure(&self, headers: &mut HeaderMap, random: impl FnOnce() -> u128) {
        if headers.get(X_REQUEST_ID).is_some_and(is_usable) {
            return;
        }
        if let Ok(value) = HeaderValue::from_maybe_shared(self.bytes(&uuid(random()))) {
            headers.insert(X_REQUEST_ID, value);
        }
    }

    /// The same as is said of who calls a listener.
    pub(crate) fn apply(
        &self,
        action: RequestIdAction,
        headers: &mut HeaderMap,
        random: impl FnOnce() -> u128,
    ) {
        let keeps = match action {
            RequestIdAction::PreserveOrGenerate => true,
            RequestIdAction::Preserve => headers.get(X_REQUEST_ID).is_some_and(is_usable),
            RequestIdAction::Generate | RequestIdAction::Disable => false,
        };
        if !keeps {
            headers.remove(X_REQUEST_ID);
        }
        if matches!(action, RequestIdAction::PreserveOrGenerate | RequestIdAction::Generate) {
            self.ensure(headers, random);
        }
    }

    fn bytes(&self, text: &[u8; ID_BYTES]) -> Bytes {
        let mut piece = self.0.borrow_mut();
        if piece.capacity() < ID_BYTES {
            *piece = BytesMut::with_capacity(IDS_PER_PIECE * ID_BYTES);
        }
        piece.extend_from_slice(text);
        piece.split().freeze()
    }
}

fn is_usable(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    !bytes.is_empty() && bytes.len() <= REQUEST_ID_BYTES_MAX && bytes.iter().all(u8::is_ascii_graphic)
}

/// A version 4 UUID as text (RFC 9562 section 5.4).
fn uuid(random: u128) -> [u8; ID_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // Where each byte's two digits go.
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; ID_BYTES];
    for (byte, place) in bits.to_be_bytes().into_iter().zip(PLACES) {
        text[place] = DIGITS[usize::from(byte >> 4)];
        text[place + 1] = DIGITS[usize::from(byte & 0xf)];
    }
    text
}

//! Memory that a thread uses again: buffers for what is read and written, and header maps. A connection takes it when
//! there is something to hold and gives it back when it holds nothing, so that idle connections hold none.

use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderMap;

/// Bytes of a buffer: a head of ordinary size, or a small message as a whole.
pub(super) const BUFFER_BYTES: usize = 8 * 1024;
/// Buffers without use that a thread keeps; more are freed.
const BUFFERS_MAX: usize = 64;
/// Header maps without use that a thread keeps; more are freed.
const MAPS_MAX: usize = 64;
/// Fields that a new header map has room for.
const MAP_FIELDS: usize = 24;
/// Fields that a kept header map has room for at most; a larger one is freed.
const MAP_FIELDS_MAX: usize = 96;

#[derive(Default)]
struct Spare {
    buffers: Vec<BytesMut>,
    maps: Vec<HeaderMap>,
}

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

/// An empty buffer with room for [`BUFFER_BYTES`].
pub(super) fn take_buffer() -> BytesMut {
    let kept = SPARE.with_borrow_mut(|spare| spare.buffers.pop());
    kept.unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES))
}

/// Takes back what `buffer` is the last to hold. What is in it is lost.
pub(super) fn give_back_buffer(mut buffer: BytesMut) {
    buffer.clear();
    // It fails while somebody holds a slice of it: then that frees it.
    if buffer.capacity() == 0 || !buffer.try_reclaim(BUFFER_BYTES) || buffer.capacity() > BUFFER_BYTES {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.buffers.len() < BUFFERS_MAX {
            spare.buffers.push(buffer);
        }
    });
}

/// An empty header map.
pub(super) fn take_map() -> HeaderMap {
    let kept = SPARE.with_borrow_mut(|spare| spare.maps.pop());
    kept.unwrap_or_else(|| HeaderMap::with_capacity(MAP_FIELDS))
}

/// Takes `map` back. What is in it is lost.
pub(super) fn give_back_map(mut map: HeaderMap) {
    if map.capacity() == 0 || map.capacity() > MAP_FIELDS_MAX {
        return;
    }
    map.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.maps.len() < MAPS_MAX {
            spare.maps.push(map);
        }
    });
}

//! Memory that a thread uses again: buffers for what is read and written, and header maps. A connection takes it when
//! there is something to hold and gives it back when it holds nothing, so that idle connections hold none.

use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderMap;

/// Bytes of a buffer: a head of ordinary size, or a small message as a whole.
pub(super) const BUFFER_BYTES: usize = 8 * 1024;
/// Buffers without use that a thread keeps; more are freed.
const BUFFERS_MAX: usize = 64;
/// Buffers that are looked at for one that is free.
const BUFFERS_TRIED: usize = 4;
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
    let kept = SPARE.with_borrow_mut(|spare| {
        // One of which somebody still holds a slice waits until that is gone.
        let from = spare.buffers.len().saturating_sub(BUFFERS_TRIED);
        let free = (from..spare.buffers.len()).rev().find(|at| spare.buffers[*at].try_reclaim(BUFFER_BYTES));
        free.map(|at| spare.buffers.swap_remove(at))
    });
    kept.unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES))
}

/// Takes `buffer` back, also while somebody holds slices of it. What is in it is lost.
pub(super) fn give_back_buffer(mut buffer: BytesMut) {
    if buffer.capacity() == 0 || buffer.capacity() > BUFFER_BYTES {
        return;
    }
    buffer.clear();
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

#[cfg(test)]
mod tests {
    use super::{BUFFER_BYTES, give_back_buffer, take_buffer};

    #[test]
    fn a_buffer_is_used_again_once_nobody_holds_a_slice_of_it() {
        let mut buffer = take_buffer();
        buffer.extend_from_slice(b"head");
        let (place, slice) = (buffer.as_ptr(), buffer.split_to(4).freeze());
        give_back_buffer(buffer);
        let other = take_buffer();
        assert_eq!((&slice[..], other.capacity()), (&b"head"[..], BUFFER_BYTES));
        drop(slice);
        let again = take_buffer();
        assert_eq!((again.as_ptr(), again.capacity()), (place, BUFFER_BYTES));
    }
}

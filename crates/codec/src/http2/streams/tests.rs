#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::super::stream::{Purpose, RecvState};
use super::*;

fn stream() -> Stream {
    Stream::new(Purpose::Request, RecvState::Streaming, 10, 10)
}

#[test]
fn a_key_finds_its_stream_and_no_other_in_its_place() {
    let mut streams = StreamTable::new(10);
    let first = streams.insert(1, stream());
    let second = streams.insert(3, stream());
    assert_eq!(streams.find(3), Known::Open(second));
    streams.remove(first).unwrap();
    let third = streams.insert(5, stream());
    assert_eq!(third.slot, first.slot, "a place is used again");
    assert!(streams.get(first).is_none() && streams.get(third).is_some());
    assert_eq!((streams.find(1), streams.find(5)), (Known::No, Known::Open(third)));
    assert!(streams.remove(first).is_none());
    assert_eq!(streams.len(), 2);
    assert_eq!(streams.above(1), [third, second]);
}

#[tokio::test(start_paused = true)]
async fn resets_are_remembered_for_a_while_and_not_too_many() {
    let mut streams = StreamTable::new(2);
    for id in [1, 3, 5] {
        let key = streams.insert(id, stream());
        streams.remove_reset(key).unwrap();
    }
    assert_eq!([1, 3, 5].map(|id| streams.find(id)), [Known::No, Known::Reset, Known::Reset]);
    tokio::time::advance(2 * MEMORY_OF_RESETS).await;
    let key = streams.insert(7, stream());
    streams.remove_reset(key).unwrap();
    assert_eq!([3, 5, 7].map(|id| streams.find(id)), [Known::No, Known::No, Known::Reset]);
}

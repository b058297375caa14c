#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn count(total: u64, open: u32, last: u64) -> ConnectionCount {
    ConnectionCount { total, open, last: at(last) }
}

#[test]
fn who_was_not_seen_for_longest_makes_room_and_is_still_counted() {
    let mut tally = ConnectionTally::default();
    for (key, second) in [(1, 10), (2, 20), (1, 30)] {
        assert_eq!(tally.add(key, ConnectionCount::came(at(second)), 2), Counted::Named);
    }
    assert_eq!(tally.add(3, ConnectionCount::came(at(40)), 2), Counted::Named);
    assert_eq!(tally.counted, BTreeMap::from([(1, count(2, 0, 30)), (3, count(1, 0, 40))]));
    assert_eq!(tally.unnamed, Some(count(1, 0, 20)), "2 made room");
    tally.add(2, ConnectionCount::came(at(5)), 2);
    assert_eq!(tally.unnamed, Some(count(2, 0, 20)), "who was seen before all others gets no room");
}

#[test]
fn an_open_connection_keeps_its_name_and_ends_where_it_was_counted() {
    let mut tally = ConnectionTally::default();
    assert_eq!(tally.add(1, ConnectionCount::opened(at(1)), 1), Counted::Named);
    assert_eq!(tally.add(2, ConnectionCount::opened(at(2)), 1), Counted::Unnamed);
    assert_eq!(tally.counted.get(&1).unwrap().age(at(100)), Duration::ZERO, "it is seen now");
    tally.close(1, Counted::Named, at(3));
    assert_eq!(tally.add(2, ConnectionCount::opened(at(4)), 1), Counted::Named);
    tally.close(2, Counted::Unnamed, at(5));
    assert_eq!(tally.counted, BTreeMap::from([(2, count(1, 1, 4))]));
    assert_eq!(tally.unnamed, Some(count(2, 0, 5)));
    assert_eq!(tally.unnamed.unwrap().age(at(7)), Duration::from_secs(2));
}

#[test]
fn counts_of_several_workers_are_added_within_the_limit() {
    let mut all = ConnectionTally::default();
    let mut one = ConnectionTally::default();
    one.add(1, count(3, 1, 10), 2);
    one.add(2, count(1, 0, 20), 2);
    let mut other = ConnectionTally::default();
    other.add(1, count(2, 0, 30), 2);
    other.add(3, count(5, 0, 40), 2);
    other.add_unnamed(count(7, 0, 1));
    all.merge(&one, 2);
    all.merge(&other, 2);
    assert_eq!(all.counted, BTreeMap::from([(1, count(5, 1, 30)), (3, count(5, 0, 40))]));
    assert_eq!(all.unnamed, Some(count(8, 0, 20)));
}

//! Times are in minutes from the start.

use super::*;

fn at(start: Instant, minutes: u64) -> Instant {
    start + Duration::from_secs(60 * minutes)
}

#[test]
fn streams_go_on_for_an_hour_after_the_newest_certificate() {
    let start = Instant::now();
    // (newest until, now) -> until
    for (proven, now, expected) in
        [(10, 0, Some(70)), (10, 69, Some(70)), (10, 70, None), (20, 70, Some(80)), (20, 80, None)]
    {
        let judged = open_streams(at(start, proven), at(start, now));
        let expected =
            expected.map_or(OpenStreams::Cut, |until| OpenStreams::GoOn { until: at(start, until) });
        assert_eq!(judged, expected, "{proven} {now}");
    }
}

#[test]
fn the_caller_shakes_hands_when_one_of_both_ends_and_that_can_help() {
    let start = Instant::now();
    // (theirs until, ours until, our newest until, now) -> due
    for (theirs, ours, own, now, expected) in [
        (10, 10, 15, 5, false),
        (10, 10, 15, 10, true),
        (10, 20, 20, 10, true),
        (20, 10, 15, 10, true),
        // Not renewed yet: the peer would learn nothing.
        (20, 10, 10, 9, false),
        // Ours would be refused.
        (10, 10, 10, 11, false),
        (20, 10, 15, 16, false),
    ] {
        let shown = Shown { theirs: at(start, theirs), ours: at(start, ours) };
        let due = is_handshake_due(shown, at(start, own), at(start, now));
        assert_eq!(due, expected, "{theirs} {ours} {own} {now}");
    }
}

#[test]
fn it_is_due_some_seconds_ahead() {
    let now = Instant::now();
    let later = now + HANDSHAKE_AHEAD;
    let shown = Shown { theirs: later, ours: later };
    assert!(is_handshake_due(shown, later + HANDSHAKE_AHEAD, now));
    let shown = Shown { theirs: later + Duration::from_millis(1), ours: later + Duration::from_millis(1) };
    assert!(!is_handshake_due(shown, later + HANDSHAKE_AHEAD, now));
}

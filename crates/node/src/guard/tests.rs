#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_proxy_that_restarts_in_time_changes_nothing() {
    let (mut guard, start) = (Guard::new(LIMIT), Instant::now());
    assert_eq!(guard.look(true, start), None);
    assert_eq!(guard.look(false, start + Duration::from_secs(5)), None);
    assert_eq!(guard.look(false, start + Duration::from_secs(34)), None);
    assert_eq!(guard.look(true, start + Duration::from_secs(34)), None);
    // The next absence counts by itself.
    assert_eq!(guard.look(false, start + Duration::from_secs(36)), None);
}

#[test]
fn capture_goes_with_a_proxy_that_stays_away_and_comes_back_with_it() {
    let (mut guard, start) = (Guard::new(LIMIT), Instant::now());
    assert_eq!(guard.look(false, start), None);
    assert_eq!(guard.look(false, start + LIMIT), Some(GuardAction::Release));
    // It failed: asked for again.
    assert_eq!(guard.look(false, start + LIMIT), Some(GuardAction::Release));
    guard.done(GuardAction::Release);
    assert_eq!(guard.look(false, start + 2 * LIMIT), None);
    assert_eq!(guard.look(true, start + 3 * LIMIT), Some(GuardAction::Capture));
    guard.done(GuardAction::Capture);
    assert_eq!(guard.look(true, start + 3 * LIMIT), None);
}

#[test]
fn listeners_are_found_in_the_kernels_list_and_connections_are_none() {
    let head = "  sl  local_address rem_address   st tx_queue\n";
    let listening = "   0: 00000000:3A99 00000000:0000 0A 00000000:00000000\n";
    let other = "   1: 0100007F:0016 00000000:0000 0A 00000000:00000000\n";
    let connected = "   2: 0100007F:3A99 0100007F:C001 01 00000000:00000000\n";
    let found = |lines: &[&str]| has_listener(lines.concat().as_bytes(), 15_001).unwrap();
    assert!(found(&[head, other, listening]));
    assert!(!found(&[head, other, connected]));
    assert!(!found(&[head]) && !found(&[]));
}

#[test]
fn the_kernels_list_is_read() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let listens = || has_listener(BufReader::new(File::open(SOCKETS[0]).unwrap()), port).unwrap();
    assert!(listens());
    drop(listener);
    assert!(!listens());
}

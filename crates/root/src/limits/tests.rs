#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{
    ASKER_BURST, CONNECTIONS_MAX, CONNECTIONS_PER_SOURCE_MAX, SIGN_BURST, SIGNS_PER_SECOND, SigningRate,
    SourceSlots,
};
use std::net::IpAddr;
use std::time::{Duration, Instant};

#[test]
fn askers_wait_for_themselves_and_strangers_use_up_nothing_of_all() {
    let now = Instant::now();
    let rate = SigningRate::new(now);
    let asked = (0..100).filter(|_| rate.ask(1, now).is_ok()).count();
    assert_eq!(asked, ASKER_BURST as usize);
    // A thousand strangers have asked, and nobody was signed for.
    assert!((2..1000).all(|asker| rate.ask(asker, now).is_ok()));
    let signed = (0..1000).filter(|_| rate.sign(now).is_ok()).count();
    assert_eq!(signed, SIGN_BURST as usize);
    let later = now + Duration::from_secs(1);
    assert!(rate.ask(1, later).is_ok() && rate.ask(1, later).is_err());
    assert_eq!((0..1000).filter(|_| rate.sign(later).is_ok()).count(), SIGNS_PER_SECOND as usize);
}

#[test]
fn no_source_has_all_connections() {
    let slots = SourceSlots::default();
    let source = |n: usize| IpAddr::from([127, 0, 0, n as u8]);
    let of = |n: usize| -> Vec<_> { (0..100).map_while(|_| slots.take(source(n))).collect() };
    let mut held: Vec<_> = (1..=CONNECTIONS_MAX / CONNECTIONS_PER_SOURCE_MAX).map(of).collect();
    assert!(held.iter().all(|own| own.len() == CONNECTIONS_PER_SOURCE_MAX));
    assert!(slots.take(source(100)).is_none());
    held[0].pop();
    let last = slots.take(source(100)).unwrap();
    assert!(slots.take(source(1)).is_none());
    drop((held, last));
    assert!(slots.0.lock().unwrap().is_empty());
}

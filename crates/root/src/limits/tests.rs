use super::{ASKER_BURST, SIGN_BURST, SigningRate};
use std::time::{Duration, Instant};

#[test]
fn one_asker_alone_cannot_use_up_what_is_there_for_all() {
    let now = Instant::now();
    let rate = SigningRate::new(now);
    let taken = (0..100).filter(|_| rate.take(1, now).is_ok()).count();
    assert_eq!(taken, ASKER_BURST as usize);
    assert!(rate.take(2, now).is_ok());
    let all = (2..1000).filter(|asker| rate.take(*asker, now).is_ok()).count();
    assert_eq!(all, (SIGN_BURST - ASKER_BURST - 1) as usize);
    let later = now + Duration::from_secs(1);
    assert!(rate.take(1, later).is_ok() && rate.take(1, later).is_err());
}

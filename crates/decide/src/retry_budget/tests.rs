//! How many go again.

use super::*;

/// Lets requests come, all of which want to be repeated as often as they may, up to `wishes` times; returns how
/// many repetitions there were.
#[derive(Default)]
struct Service {
    window: [Second; BUDGET_WINDOW_S],
}

impl Service {
    fn requests(&mut self, now_s: u64, count: u32) {
        for _ in 0..count {
            let second = &mut self.window[place(now_s)];
            *second = after_request(*second, now_s);
        }
    }

    fn retries(&mut self, now_s: u64, wishes: u32) -> u32 {
        let mut done = 0;
        for _ in 0..wishes {
            if left(&self.window, now_s) == Budget::Left {
                let second = &mut self.window[place(now_s)];
                *second = after_retry(*second, now_s);
                done += 1;
            }
        }
        done
    }
}

#[test]
fn one_of_five_goes_again() {
    let mut service = Service::default();
    let mut done = 0;
    for second in 100..102 {
        for _ in 0..150 {
            service.requests(second, 1);
            done += service.retries(second, 2);
        }
    }
    assert_eq!(done, 60);
}

#[test]
fn a_few_always_may() {
    let mut service = Service::default();
    service.requests(7, 1);
    for second in 7..30 {
        assert_eq!(service.retries(second, 100), 10);
        assert_eq!(service.retries(second, 100), 0, "ten in each second");
    }
    assert_eq!(Service::default().retries(0, 100), 10, "the first second has none before it");
}

/// Also where the share is used up as a second ends: the next one brings no ten of its own.
#[test]
fn a_busy_service_gets_the_share_alone() {
    for rate in [50, 60, 200, 1_000] {
        let mut service = Service::default();
        let (mut requests, mut retries) = (0, 0);
        for second in 100..130 {
            for _ in 0..rate {
                service.requests(second, 1);
                requests += 1;
                retries += service.retries(second, 2);
            }
            assert!(retries <= (requests / 5).max(20), "{retries} for {requests} at {rate} a second");
        }
    }
}

#[test]
fn what_was_quiet_for_long_has_earned_it() {
    let mut service = Service::default();
    for second in 0..10 {
        service.requests(second, 100);
    }
    assert_eq!(service.retries(9, 1_000), 200);
    assert_eq!(service.retries(10, 1_000), 0, "180 are left of 900");
    let mut service = Service::default();
    service.requests(5, 1_000);
    assert_eq!(service.retries(1_000, 1_000), 10, "long ago");
    assert_eq!(service.retries(1_001, 1_000), 10);
}

#[test]
fn counts_stop_where_they_are_full() {
    let mut second = Second::new(3, REQUESTS_MAX, RETRIES_MAX);
    second = after_retry(after_request(second, 3), 3);
    assert_eq!((second.number(), second.requests(), second.retries()), (3, REQUESTS_MAX, RETRIES_MAX));
    let later = after_request(second, NUMBER_MAX + 4);
    assert_eq!((later.number(), later.requests()), (3, REQUESTS_MAX), "numbers go round");
}

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! Who gets the room, and who is told.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Waker};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Budget, HEAD_BYTES_FREE, PAUSED_BYTES_MAX, Wait, head_bytes};

fn is_shed(wait: &Wait) -> bool {
    wait.poll_shed(&Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn who_waits_longest_goes_first_and_the_last_one_stays() {
    let told = Rc::new(Cell::new(0));
    let count = Rc::clone(&told);
    let budget = Budget::new(100, move || count.set(count.get() + 1));
    let waits: Vec<_> = (0..4).map(|_| budget.wait(40)).collect();
    assert_eq!(waits.iter().map(is_shed).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!((budget.held(), told.get()), (80, 1));
    let large = budget.wait(1000);
    assert_eq!((is_shed(&waits[3]), is_shed(&large), budget.held()), (true, false, 1000));
    drop((waits, large));
    assert_eq!((budget.held(), told.get()), (0, 1));
}

#[test]
fn what_is_needed_goes_before_who_waits() {
    let budget = Budget::silent(100);
    let wait = budget.wait(60);
    let mut charge = budget.open();
    assert!(charge.grow(40) && !is_shed(&wait));
    assert!(charge.grow(1) && is_shed(&wait));
    assert!(!charge.grow(60), "what was granted stays granted");
    charge.shrink(1);
    assert!(charge.grow(60));
    drop(charge);
    assert_eq!(budget.held(), 0);
}

#[test]
fn nobody_is_given_up_for_what_does_not_fit_anyway() {
    let budget = Budget::silent(100);
    let wait = budget.wait(60);
    assert!(!budget.open().grow(101) && !is_shed(&wait));
}

#[test]
fn ordinary_heads_are_free_and_bombs_cost_what_they_hold() {
    let budget = Budget::silent(100 * 1024);
    let field = |name: &'static str, value: usize| {
        (HeaderName::from_static(name), HeaderValue::try_from("v".repeat(value)).unwrap())
    };
    let ordinary: HeaderMap = [field("cookie", 2000), field("authorization", 1000)].into_iter().collect();
    assert!(budget.charge_head(&ordinary).unwrap().is_none());
    let mut bomb = HeaderMap::new();
    for _ in 0..95 {
        bomb.append("x", HeaderValue::try_from("v".repeat(600)).unwrap());
    }
    assert!(head_bytes(&bomb) > 75_000);
    let held = budget.charge_head(&bomb).unwrap().unwrap();
    assert_eq!(budget.held(), head_bytes(&bomb) - HEAD_BYTES_FREE);
    assert!(budget.charge_head(&bomb).is_err());
    drop(held);
    assert!(budget.charge_head(&bomb).is_ok());
}

#[test]
fn a_connection_that_stands_still_pauses_so_much_at_most() {
    let budget = Budget::silent(1);
    let first = budget.pause(PAUSED_BYTES_MAX).unwrap();
    assert!(budget.pause(1).is_none());
    drop(first);
    assert!(budget.pause(1).is_some() && budget.held() == 0);
}

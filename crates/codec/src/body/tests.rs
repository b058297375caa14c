#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::cell::RefCell;
use std::rc::Rc;

use super::{Body, BodyEnd, BodyError, Watch};

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
}

#[derive(Default)]
struct Seen(RefCell<Vec<String>>);

impl Watch for Seen {
    fn data(&self, len: usize) {
        self.0.borrow_mut().push(format!("{len}"));
    }

    fn end(&self, end: BodyEnd) {
        self.0.borrow_mut().push(format!("{end:?}"));
    }
}

fn check(read: impl AsyncFnOnce(Body), body: Body, expected: &[&str]) {
    let seen = Rc::new(Seen::default());
    run(read(body.watched(Rc::<Seen>::clone(&seen))));
    assert_eq!(*seen.0.borrow(), expected);
}

#[test]
fn a_watch_sees_the_bytes_and_one_end() {
    let all = async |body: Body| drop(body.collect(9).await);
    check(all, Body::full("abc"), &["3", "Complete"]);
    check(all, Body::empty(), &["Complete"]);
    check(async |body| drop(body), Body::full("abc"), &["Dropped"]);
    // Who knows the length does not ask for the end.
    check(async |mut body: Body| drop(body.frame().await), Body::full("abc"), &["3", "Complete"]);
}

#[test]
fn collecting_has_a_limit() {
    assert_eq!(run(Body::full("abc").collect(3)).unwrap(), "abc");
    assert!(matches!(run(Body::full("abcd").collect(3)), Err(BodyError::TooLarge { limit: 3 })));
}

#[test]
fn bytes_in_hand_can_be_sent_again() {
    let body = Body::full("abc");
    assert_eq!(run(body.replay().unwrap().collect(9)).unwrap(), run(body.collect(9)).unwrap());
}

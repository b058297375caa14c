use super::*;

#[test]
fn what_is_given_back_is_told_in_portions() {
    let mut window = RecvWindow::new(1000);
    assert!(window.take(500));
    assert_eq!(window.give_back(499), None);
    assert_eq!(window.give_back(1), Some(500));
    assert!(window.take(1000));
    assert!(!window.take(1), "no more than it was told");
}

#[test]
fn a_window_has_an_end_and_may_be_below_nothing() {
    let mut window = SendWindow::new(FIRST_WINDOW_BYTES);
    window.take(65_000);
    assert_eq!(window.shift(-1000), Ok(()));
    assert_eq!(window.room(), 0);
    assert_eq!(window.shift(465), Ok(()));
    assert_eq!(window.room(), 0);
    assert_eq!(window.shift(1), Ok(()));
    assert_eq!(window.room(), 1);
    assert_eq!(window.shift(i64::from(WINDOW_BYTES_MAX)), Err(WindowOverflow));
    assert_eq!(window.room(), 1);
}

/// Streams that nobody reads hold more than half of a connection's window: what the others give back is told all the
/// same, once the peer has less than that.
#[test]
fn a_window_of_which_most_is_held_is_given_back_in_small_portions() {
    let mut window = RecvWindow::new(1000);
    assert!(window.take(600));
    for _ in 0..20 {
        assert!(window.take(300), "the peer has no window left");
        let told: u32 = (0..3).filter_map(|_| window.give_back(100)).sum();
        assert!(told > 0);
    }
    assert_eq!(window.give_back(0), None);
}

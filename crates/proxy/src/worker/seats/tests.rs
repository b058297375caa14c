use super::*;

#[test]
fn a_seat_is_free_again_when_its_holder_goes() {
    let seats = Seats::new(2);
    let (first, second) = (seats.take(), seats.take());
    assert!(first.is_some() && second.is_some() && seats.take().is_none());
    drop(first);
    assert!(seats.take().is_some());
}

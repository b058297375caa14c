use super::*;

#[test]
fn a_seat_is_free_again_when_its_holder_goes() {
    let seats = Seats::new(2);
    let (first, second) = (seats.take(), seats.take());
    assert!(first.is_some() && second.is_some() && seats.take().is_none());
    drop(first);
    assert!(seats.take().is_some());
}

#[test]
fn one_address_has_its_share_and_leaves_the_rest_to_others() {
    let seats = SourceSeats::new(3, 2);
    let [one, other]: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
    let (first, second) = (seats.take(one), seats.take(one));
    assert!(first.is_some() && second.is_some() && seats.take(one).is_none());
    let third = seats.take(other);
    assert!(third.is_some() && seats.take(other).is_none(), "no seat is left");
    drop(first);
    assert!(seats.take(one).is_some());
    drop((second, third));
    assert!(seats.held.borrow().is_empty(), "nobody is remembered for ever");
}

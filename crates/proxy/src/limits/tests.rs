use super::*;

const CAPTURED: Mark = Mark::Captured;

fn limits(callers: usize, upstream: usize) -> ConnectionLimits {
    ConnectionLimits::new(Capacity { callers, own: 1, upstream, idle: 1 })
}

fn address(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// As many as one can get.
fn all<T>(take: impl Fn() -> Option<T>) -> Vec<T> {
    std::iter::from_fn(take).collect()
}

#[test]
fn a_seat_is_free_again_when_its_holder_goes() {
    let permits = Limit::new(2);
    let (first, second) = (permits.take(), permits.take());
    assert!(first.is_some() && second.is_some() && permits.take().is_none());
    drop(first);
    assert!(permits.take().is_some());
}

#[test]
fn one_address_has_its_share_and_leaves_the_rest_to_others() {
    let permits = PerSourceLimit::new(3, 2);
    let [one, other]: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
    let (first, second) = (permits.take(one), permits.take(one));
    assert!(first.is_some() && second.is_some() && permits.take(one).is_none());
    let third = permits.take(other);
    assert!(third.is_some() && permits.take(other).is_none(), "no permit is left");
    drop(first);
    assert!(permits.take(one).is_some());
    drop((second, third));
    assert!(permits.held.borrow().is_empty(), "nobody is remembered for ever");
}

#[test]
fn one_address_may_take_four_fifths_of_the_seats_and_others_find_some() {
    let limits = limits(1000, 1);
    let greedy = all(|| limits.callers.take(address(1)));
    assert_eq!(greedy.len(), 800);
    let second = all(|| limits.callers.take(address(2)));
    assert_eq!(second.len(), 160);
    assert!(limits.callers.take(address(3)).is_some());
    drop((greedy, second));
    assert!(limits.callers.sources.borrow().is_empty(), "nobody is remembered for ever");
}

#[test]
fn an_ipv6_host_is_one_address_whichever_of_its_own_it_uses() {
    let limits = limits(10, 1);
    let from = |last: u16| limits.callers.take(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]));
    let taken: Vec<_> = (0..100).map_while(from).collect();
    assert_eq!(taken.len(), 8);
    assert!(limits.callers.take(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1])).is_some());
}

#[test]
fn greedy_connections_leave_places_to_the_next_one() {
    let limits = limits(100, 120);
    let _permit = limits.callers.take(address(1));
    let share = || limits.share(Whose::Edge(address(1)));
    let mut taken = vec![];
    for (number, expected) in [(1, 24), (2, 20), (3, 16), (4, 12), (5, 10), (6, 8)] {
        let share = share();
        let mine = all(|| share.take());
        assert_eq!(mine.len(), expected, "connection {number}");
        taken.push(mine);
    }
    let next = share().take();
    assert!(next.is_some());
    drop((taken, next));
    assert_eq!(limits.upstream.taken.get(), 0);
}

#[test]
fn many_small_connections_of_one_address_leave_places_to_other_addresses() {
    let limits = limits(1000, 170);
    let _permit = [limits.callers.take(address(1)), limits.callers.take(address(2))];
    let taken: Vec<_> =
        std::iter::from_fn(|| limits.share(Whose::Edge(address(1))).take()).take(170).collect();
    assert_eq!(taken.len(), 160);
    assert!(limits.share(Whose::Edge(address(2))).take().is_some());
    assert!(limits.share(Whose::Own).take().is_some(), "the local application");
}

/// What is not traffic has its descriptors, however few there are.
#[test]
fn all_that_workers_may_open_leaves_descriptors_for_the_rest() {
    for mark in [Mark::Free, CAPTURED] {
        for (descriptors, workers) in [(256, 1), (1024, 1), (1024, 8), (20_000, 2), (1 << 20, 64)] {
            let limits = Capacity::within(descriptors, workers, mark);
            let own = if mark == CAPTURED { 2 * limits.own } else { 0 };
            let open = (limits.callers + own + limits.upstream + limits.idle) * workers;
            assert!(
                open as u64 <= descriptors - descriptors.min(512) / 2,
                "{descriptors} {workers} {limits:?}"
            );
        }
    }
    let plenty = Capacity::within(1 << 20, 4, CAPTURED);
    assert_eq!((plenty.callers, plenty.own, plenty.upstream), (CALLERS_MAX, OWN_MAX, UPSTREAM_MAX));
}

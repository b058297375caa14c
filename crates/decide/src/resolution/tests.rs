use super::*;
use crate::dice::Pcg;

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// Waits of up to a fifth more than this.
fn about(wait: Duration, expected_s: u64) {
    let least = Duration::from_secs(expected_s);
    assert!(wait >= least && wait <= least + least / 5, "{wait:?} for {expected_s} s");
}

#[test]
fn an_answer_counts_as_long_as_it_says_within_bounds() {
    let (mut state, now, mut dice) = (NameState::default(), Instant::now(), Pcg::new(1));
    for (ttl, expected) in [(0, 5), (30, 30), (86_400, 3600)] {
        let answer = NameAnswer::Addresses(vec![ip(1), ip(2)], Duration::from_secs(ttl));
        about(state.judge(now, answer, &mut dice), expected);
        assert_eq!(state.addresses(), [ip(1), ip(2)]);
    }
    about(state.judge(now, NameAnswer::Absent(Duration::from_secs(60)), &mut dice), 60);
    assert!(state.addresses().is_empty(), "a name that is gone has no addresses");
}

#[test]
fn what_was_known_stays_for_an_hour_when_nobody_answers() {
    let (mut state, now, mut dice) = (NameState::default(), Instant::now(), Pcg::new(1));
    state.judge(now, NameAnswer::Addresses(vec![ip(1)], TTL_MIN), &mut dice);
    for expected in [1, 2, 4, 8, 16, 30, 30] {
        about(state.judge(now + TTL_MIN, NameAnswer::Failed, &mut dice), expected);
        assert_eq!(state.addresses(), [ip(1)]);
    }
    state.judge(now + STALE_MAX, NameAnswer::Failed, &mut dice);
    assert!(state.addresses().is_empty());
    state.judge(now + STALE_MAX, NameAnswer::Addresses(vec![ip(2)], TTL_MIN), &mut dice);
    about(state.judge(now + STALE_MAX, NameAnswer::Failed, &mut dice), 1);
    assert_eq!(state.addresses(), [ip(2)], "failures count anew");
}

#[test]
fn a_name_that_never_had_an_answer_has_no_addresses() {
    let mut state = NameState::default();
    state.judge(Instant::now(), NameAnswer::Failed, &mut Pcg::new(1));
    assert!(state.addresses().is_empty());
    let many = (0..=255).map(ip).chain([ip(0); 10]).collect();
    state.judge(Instant::now(), NameAnswer::Addresses(many, TTL_MIN), &mut Pcg::new(1));
    assert_eq!(state.addresses().len(), ADDRESSES_MAX);
}

#[test]
fn another_order_is_no_change_but_where_the_first_counts() {
    let check = |in_use: &[&str], now: &[&str], order: AddressOrder, expected: bool| {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(is_other(&read(in_use), &read(now), order), expected, "{in_use:?} {now:?} {order:?}");
    };
    use AddressOrder::{Any, FirstCounts};
    let (a, b, c) = ("192.0.2.1", "192.0.2.2", "2001:db8::1");
    check(&[a, b, c], &[c, a, b], Any, false);
    check(&[a, b, c], &[c, a, b], FirstCounts, true);
    check(&[a, b, c], &[a, c, b], FirstCounts, false);
    for order in [Any, FirstCounts] {
        check(&[a, b], &[a, b], order, false);
        check(&[a, b], &[a], order, true);
        check(&[a], &[a, b], order, true);
        check(&[a, b], &[a, c], order, true);
        check(&[], &[a], order, true);
        check(&[], &[], order, false);
    }
}

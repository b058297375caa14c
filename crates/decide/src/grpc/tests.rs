use super::{Limit, limit, timeout, timeout_value};
use model::Reason;
use std::time::Duration;

#[test]
fn a_timeout_has_up_to_eight_digits_and_a_unit() {
    let check =
        |value: &str, expected: Option<Duration>| assert_eq!(timeout(value.as_bytes()), expected, "{value}");
    check("2H", Some(Duration::from_secs(7200)));
    check("3M", Some(Duration::from_secs(180)));
    check("4S", Some(Duration::from_secs(4)));
    check("5m", Some(Duration::from_millis(5)));
    check("6u", Some(Duration::from_micros(6)));
    check("7n", Some(Duration::from_nanos(7)));
    check("99999999H", Some(Duration::from_secs(99_999_999 * 3600)));
    for wrong in ["", "S", "5", "5s", "5 S", "-5S", "+5S", "5.5S", "123456789S", "5Sx", "0S", "00m"] {
        check(wrong, None);
    }
}

#[test]
fn what_is_left_is_told_in_the_finest_unit_that_fits() {
    let check = |left: Duration, expected: &str| {
        assert_eq!(timeout_value(left), expected);
    };
    check(Duration::ZERO, "1u");
    check(Duration::from_nanos(1), "1u");
    check(Duration::from_millis(1500), "1500000u");
    check(Duration::from_micros(99_999_999), "99999999u");
    check(Duration::from_secs(100), "100000m");
    check(Duration::from_secs(100_000), "100000S");
    check(Duration::from_secs(100_000_000), "1666666M");
    check(Duration::from_secs(6_000_000_000), "1666666H");
    check(Duration::MAX, "99999999H");
}

#[test]
fn the_shorter_one_of_route_and_caller_counts() {
    let second = Duration::from_secs(1);
    let check = |route, asked, expected: Option<(Duration, Reason)>| {
        assert_eq!(limit(route, asked), expected.map(|(after, reason)| Limit { after, reason }));
    };
    check(None, None, None);
    check(Some(second), None, Some((second, Reason::RequestTimeout)));
    check(None, Some(second), Some((second, Reason::GrpcTimeout)));
    check(Some(2 * second), Some(second), Some((second, Reason::GrpcTimeout)));
    check(Some(second), Some(2 * second), Some((second, Reason::RequestTimeout)));
    check(Some(second), Some(second), Some((second, Reason::RequestTimeout)));
}

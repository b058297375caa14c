use super::*;

fn check(text: &str, millis: Option<u64>) {
    assert_eq!(parse(text), millis.map(Duration::from_millis), "{text}");
}

#[test]
fn gep_2257_examples() {
    check("1h", Some(3_600_000));
    check("1m30s", Some(90_000));
    check("100ms", Some(100));
    check("0s", Some(0));
    check("1h2m3s4ms", Some(3_723_004));
}

#[test]
fn what_go_allows_and_gateway_api_does_not() {
    for text in ["", "1", "1.5s", "-1s", "1us", "100000s", "1h1h1h1h1h", "s", "1s ", "1d"] {
        check(text, None);
    }
}

#[test]
fn istio_writes_durations_as_go_does() {
    let check = |text: &str, micros: Option<u64>| {
        assert_eq!(parse_go(text), micros.map(Duration::from_micros), "{text}");
    };
    check("5s", Some(5_000_000));
    check("1.5s", Some(1_500_000));
    check(".5s", Some(500_000));
    check("1h2m3.5s", Some(3_723_500_000));
    check("100ms", Some(100_000));
    check("3us", Some(3));
    check("0s", Some(0));
    check("0", Some(0));
    for text in ["", "1", "s", "-1s", "1.2.3s", "1d", "1s ", "10000h", "5 s", "1e3s"] {
        check(text, None);
    }
}
